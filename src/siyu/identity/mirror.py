"""Who is who, copied from PostgreSQL into two small ClickHouse tables, so that questions find the person in the engine.

The copy runs beside the processor, never in its way: an insert into a Join table waits for running queries. One copy at
a time, in all processes (an advisory lock), so that an older state never overwrites a newer one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pyarrow as pa

from siyu.identity import link_records as records
from siyu.identity.resolution import Spans
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

MIRROR_LOCK: Final = 0x51_1D
"""Advisory lock of the one copy."""
_ROWS_MAX: Final = 200_000
_MILLIS: Final = pa.timestamp("ms", tz="UTC")
_ALL: Final = """
SELECT anchor, array_agg((extract(epoch FROM since) * 1000)::bigint ORDER BY since), array_agg(person ORDER BY since)
FROM (SELECT * FROM memberships WHERE anchor > $1 ORDER BY anchor, since LIMIT $2) m GROUP BY anchor ORDER BY anchor
"""


def person_sql(spans: bool, anchor: str = "anchor", at: str = "occurred_at") -> str:
    """ClickHouse expression: the number of the person of an event. `spans`: whether `person_spans` has rows; while it
    has none, a query is cheaper without it."""
    mapped = f"joinGet('person_map', 'person', {anchor})"
    plain = f"if({mapped} = 0, {anchor}, {mapped})"
    if not spans:
        return plain
    since = f"joinGet('person_spans', 'since', {anchor})"
    owner = f"joinGet('person_spans', 'person', {anchor})"
    return f"if(empty({since}), {plain}, {owner}[greatest(1, arrayCount(s -> s <= {at}, {since}))])"


async def mirror(db: Database, events: EventStore) -> int:
    """Copy what changed since the last copy; the number of identifiers copied. Raises EngineUnavailable."""
    copied = 0
    async with _alone(db) as connection:
        position = await _position(connection)
        if position is None:
            return await _rebuild(connection, events)
        _, changes = await records.changes_after(connection, position)
        moved = sorted({anchor for _, _, change in changes for anchor in change.moved})
        handed = {anchor for _, _, change in changes for anchor in change.handed}
        for start in range(0, len(moved), _ROWS_MAX):
            part = moved[start : start + _ROWS_MAX]
            spans = await records.spans_of(connection, part)
            await _insert(events, {id_: spans.get(id_, ((0, id_),)) for id_ in part}, handed)
            copied += len(part)
        if changes:
            await _advance(connection, changes[-1][0])
    return copied


async def rebuild_mirror(db: Database, events: EventStore) -> int:
    """Copy everything anew (at start: it also folds the small files of many inserts into one); the number of rows.

    Questions meanwhile see the old copy. Raises EngineUnavailable."""
    async with _alone(db) as connection:
        return await _rebuild(connection, events)


async def _rebuild(connection: Any, events: EventStore) -> int:
    seq = await records.last_change(connection)
    for table in ("person_map", "person_spans"):
        await events.command(f"DROP TABLE IF EXISTS {table}_next")
        await events.command(f"CREATE TABLE {table}_next AS {table}")
    copied, after = 0, -1
    while rows := await records.run(connection, _ALL, after, _ROWS_MAX):
        # The last anchor's rows may be cut by the limit: it is read again, the later row wins.
        after = rows[-1][0] if len(rows) == 1 or sum(len(row[1]) for row in rows) < _ROWS_MAX else rows[-2][0]
        spans = {row[0]: tuple(zip(row[1], row[2], strict=True)) for row in rows}
        await _insert(events, spans, {id_ for id_, parts in spans.items() if len(parts) > 1}, "_next")
        copied += len(rows)
    for table in ("person_map", "person_spans"):
        await events.command(f"EXCHANGE TABLES {table} AND {table}_next")
        await events.command(f"DROP TABLE {table}_next")
    await _advance(connection, seq)
    return copied


async def _insert(events: EventStore, spans: Mapping[int, Spans], handed: set[int], suffix: str = "") -> None:
    """Rows for these anchors. One that is its own person again gets its own number, one of a single person no spans."""
    single = [id_ for id_ in spans if len(spans[id_]) == 1]
    over_time = [id_ for id_ in spans if id_ in handed]
    await events.insert(
        f"person_map{suffix}",
        pa.table(
            {
                "anchor": pa.array(single, pa.uint32()),
                "person": pa.array([spans[id_][0][1] for id_ in single], pa.uint32()),
            }
        ),
    )
    several = [spans[id_] if len(spans[id_]) > 1 else () for id_ in over_time]
    await events.insert(
        f"person_spans{suffix}",
        pa.table(
            {
                "anchor": pa.array(over_time, pa.uint32()),
                "since": pa.array([_column(parts, 0) for parts in several], pa.list_(_MILLIS)),
                "person": pa.array([_column(parts, 1) for parts in several], pa.list_(pa.uint32())),
            }
        ),
    )


def _column(spans: Sequence[tuple[int, int]], place: int) -> list[int]:
    return [span[place] for span in spans]


@asynccontextmanager
async def _alone(db: Database) -> AsyncIterator[Any]:
    async with db.driver() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", MIRROR_LOCK)
        try:
            yield connection
        finally:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock($1)", MIRROR_LOCK)


async def _position(connection: Any) -> int | None:
    position: int | None = await connection.fetchval("SELECT seq FROM identity_mirror")
    return position


async def _advance(connection: Any, seq: int) -> None:
    """Remember how far the copy is; drop changes that every process has read long since."""
    async with connection.transaction():
        dropped = await connection.fetchval(
            "WITH old AS (DELETE FROM identity_changes WHERE seq < $1 AND changed_at < now() - interval '1 hour'"
            " RETURNING seq) SELECT coalesce(max(seq), 0) FROM old",
            seq,
        )
        await connection.execute(
            "INSERT INTO identity_mirror (seq, dropped) VALUES ($1, $2) ON CONFLICT (one) DO UPDATE"
            " SET seq = excluded.seq, dropped = greatest(identity_mirror.dropped, excluded.dropped)",
            seq,
            dropped,
        )
