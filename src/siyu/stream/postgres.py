"""The stream as a table in PostgreSQL: one partition, offsets without gaps in commit order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from siyu.store.postgres import Database
from siyu.stream.stream import NewFrame, StreamFrame

# The row may not be there yet: nothing may be acknowledged and lost because no processor ever ran. The upsert locks the
# partition's row until commit, so offsets become visible in their order: a reader that has seen
# offset n will never find a smaller one later.
_APPEND = """
WITH part AS (
  INSERT INTO stream_partitions AS p (partition, last_offset, accepted)
  VALUES (0, cardinality($1::int[]), (SELECT sum(n) FROM unnest($1::int[]) n))
  ON CONFLICT (partition) DO UPDATE
  SET last_offset = p.last_offset + excluded.last_offset, accepted = p.accepted + excluded.accepted
  RETURNING last_offset - cardinality($1::int[]) AS base
)
INSERT INTO stream_frames (partition, "offset", events, body)
SELECT 0, part.base + f.ordinal, f.events, f.body
FROM part, unnest($1::int[], $2::bytea[]) WITH ORDINALITY AS f(events, body, ordinal)
RETURNING pg_notify('siyu_stream', '')
"""
_READ = """
SELECT "offset", body, events FROM (
  SELECT "offset", body, events, sum(events) OVER (ORDER BY "offset") - events AS before
  FROM stream_frames WHERE partition = $1 AND "offset" > $2 ORDER BY "offset" LIMIT 2000
) f WHERE before < $3 ORDER BY "offset"
"""
_CHANNEL = "siyu_stream"


class PostgresStream:
    """`Stream` on the tables of `stream.tables`; the newest frame is announced by NOTIFY."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._arrived = asyncio.Event()
        self._listener: Any = None

    @property
    def shards(self) -> int:
        """One: PostgreSQL's stream has one partition."""
        return 1

    @property
    def frame_bytes_max(self) -> int:
        """Far below what a column can hold; keeps a batch in memory small."""
        return 16_000_000

    async def append(self, frames: Sequence[NewFrame]) -> None:
        """Make frames durable in one commit. Raises EngineUnavailable."""
        async with self._db.driver() as connection:
            await connection.execute(_APPEND, [frame.events for frame in frames], [frame.body for frame in frames])

    async def read(self, partition: int, after: int, events_max: int, wait_s: float) -> list[StreamFrame]:
        """Frames after an offset; waits for a NOTIFY up to `wait_s` seconds when there is none."""
        await self._listen()
        self._arrived.clear()
        frames = await self._fetch(partition, after, events_max)
        if frames or wait_s <= 0:
            return frames
        try:
            await asyncio.wait_for(self._arrived.wait(), wait_s)
        except TimeoutError:
            return []
        return await self._fetch(partition, after, events_max)

    async def _fetch(self, partition: int, after: int, events_max: int) -> list[StreamFrame]:
        async with self._db.driver() as connection:
            rows = await connection.fetch(_READ, partition, after, events_max)
        return [StreamFrame(partition, row[0], row[1], row[2]) for row in rows]

    async def _listen(self) -> None:
        if self._listener is not None and not self._listener.is_closed():
            return
        self._listener = await self._db.listen(_CHANNEL, self._arrived.set)

    async def assigned(self) -> list[int]:
        """Always partition 0."""
        return [0]

    async def accepted(self) -> int:
        """Events made durable since the beginning."""
        async with self._db.driver() as connection:
            return int(await connection.fetchval("SELECT coalesce(sum(accepted), 0) FROM stream_partitions"))

    async def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
