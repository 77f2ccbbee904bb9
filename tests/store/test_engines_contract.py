"""The stores through their own drivers, on the real engines."""

from __future__ import annotations

import pyarrow as pa

from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database


async def test_postgres_transaction_and_driver(db: Database) -> None:
    async with db.driver() as connection:
        await connection.execute("CREATE TABLE t (n int)")
        await connection.copy_records_to_table("t", records=[(1,), (2,)])
    async with db.begin() as connection:
        await connection.exec_driver_sql("INSERT INTO t VALUES (3)")
    async with db.connect() as connection:
        rows = await connection.exec_driver_sql("SELECT sum(n) FROM t")
        assert rows.scalar_one() == 6


async def test_token_inserts_once(events: EventStore) -> None:
    await events.command(
        "CREATE TABLE t (n UInt32) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 10"
    )
    rows = pa.table({"n": pa.array([1, 2, 3], pa.uint32())})
    for token in ("a", "a", "b"):
        await events.insert("t", rows, token)
    assert await events.rows("SELECT count(), sum(n) FROM t") == [(6, 12)]
