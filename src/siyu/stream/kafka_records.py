"""Where our numbers of a Kafka partition begin. `connection` is a raw asyncpg connection.

`stream_partitions.last_offset` is the newest number given by the stream in PostgreSQL; a Kafka topic goes on from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_BEGUN = """
SELECT coalesce(p.last_offset, 0), s.done_offset, coalesce((extract(epoch FROM s.processed_at) * 1000)::bigint, 0)
FROM stream_positions s LEFT JOIN stream_partitions p USING (partition) WHERE s.partition = $1
"""
_SKIP = """
UPDATE stream_positions SET done_offset = greatest(done_offset, planned_offset, (
  SELECT last_offset FROM stream_partitions p WHERE p.partition = $1)), planned_offset = NULL
WHERE partition = $1 RETURNING done_offset, processed
"""
_BASE = """
INSERT INTO stream_partitions (partition, last_offset, accepted) VALUES ($1, $2, $3)
ON CONFLICT (partition) DO UPDATE SET last_offset = $2, accepted = $3
"""
_ACCEPTED = """
INSERT INTO stream_partitions (partition, last_offset, accepted)
SELECT * FROM unnest($1::int[], array_fill(0::bigint, ARRAY[cardinality($1::int[])]), $2::bigint[])
ON CONFLICT (partition) DO UPDATE SET accepted = stream_partitions.accepted + excluded.accepted
"""


class Begun(NamedTuple):
    """What is known of a partition."""

    base: int
    """Our number before the topic's first."""
    done: int
    processed_ms: int
    """When a batch was last processed, epoch milliseconds; 0: never."""


async def begun(connection: Any, partition: int) -> Begun:
    """Where the partition's numbers begin, and how far it is processed."""
    row = await connection.fetchrow(_BEGUN, partition)
    return Begun(0, 0, 0) if row is None else Begun(*row)


async def begin_anew(connection: Any, partition: int, waiting: int) -> int:
    """Let a new topic's numbers follow all that were given, those of a batch that did not end as well: no number, and
    no token made of it, comes twice. What is lost no longer waits; `waiting`: events in the new topic. The new base."""
    base, processed = await connection.fetchrow(_SKIP, partition)
    await connection.execute(_BASE, partition, base, processed + waiting)
    return int(base)


async def count_accepted(connection: Any, events: Mapping[int, int]) -> None:
    """Add events to the totals of their partitions."""
    partitions = sorted(events)
    await connection.execute(_ACCEPTED, partitions, [events[partition] for partition in partitions])
