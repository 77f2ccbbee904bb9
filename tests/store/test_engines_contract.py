"""The stores through their own drivers, on the real engines."""

from __future__ import annotations

import asyncio

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


async def test_a_cancelled_statement_does_not_spoil_the_pool(db: Database) -> None:
    """Whether in a transaction or on the bare driver, and with every connection of the pool."""

    async def sleep_bare() -> None:
        async with db.driver() as connection:
            await connection.execute("SELECT pg_sleep(600)")

    async def sleep_in_transaction() -> None:
        async with db.begin() as connection:
            await connection.exec_driver_sql("SELECT pg_sleep(600)")

    async def sleeping() -> int:
        async with db.driver() as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%(600)%' AND state = 'active'"
            count: int = await connection.fetchval(query + " AND pid <> pg_backend_pid()")
            return count

    for sleeper in (sleep_bare, sleep_in_transaction):
        tasks = [asyncio.create_task(sleeper()) for _ in range(8)]
        while await sleeping() < 8:  # noqa: ASYNC110 - the server's state, it sets no event
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
        await asyncio.gather(*(db.ping() for _ in range(32)))
