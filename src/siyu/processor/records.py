"""SQL of the processor: positions of the stream and dead letters. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from siyu.processor.seen import Hashes

if TYPE_CHECKING:  # the doors ask how far processing is, and need no client of ClickHouse for it
    from siyu.store.clickhouse import EventStore

_OPEN = """
INSERT INTO stream_positions (partition, done_offset, processed) VALUES ($1, 0, 0) ON CONFLICT (partition) DO NOTHING
"""
_PLAN = """
UPDATE stream_positions SET planned_offset = $3, owner = $4
WHERE partition = $1 AND done_offset = $2 AND (planned_offset IS NULL OR planned_offset = $3)
"""
_COMMIT = """
UPDATE stream_positions
SET done_offset = $3, planned_offset = NULL, processed = processed + $5, processed_at = now()
WHERE partition = $1 AND done_offset = $2 AND planned_offset = $3 AND owner = $4
"""
_HASHES = """
SELECT toUInt32(toDate(occurred_at, 'UTC')) AS day, xxHash64(concat(source, '\\n', event_id)) AS hash
FROM events
WHERE occurred_at >= fromUnixTimestamp64Milli({low:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({high:Int64}, 'UTC')
  AND toUInt32(toDate(occurred_at, 'UTC')) IN {days:Array(UInt32)} AND batch != {batch:UInt64}
"""
_DAY_MS = 86_400_000


class Position(NamedTuple):
    """How far a partition is. Offsets start at 1; 0 = before the first."""

    done: int
    planned: int | None


class StreamState(NamedTuple):
    """What `GET /api/stream` tells."""

    accepted: int
    processed: int
    dead: int
    waiting_since: datetime | None
    """When the oldest unprocessed frame was accepted, or the processor last moved, whichever is known."""


class DeadLetter(NamedTuple):
    """A row of `dead_letters` to write."""

    source: str
    event_id: str
    code: str
    reason: str
    dialect: str
    body: bytes
    received_at: datetime


async def open_partition(connection: Any, partition: int) -> None:
    """Make sure the partition has its row."""
    await connection.execute(_OPEN, partition)


async def position(connection: Any, partition: int) -> Position:
    """Where processing stands."""
    row = await connection.fetchrow(
        "SELECT done_offset, planned_offset FROM stream_positions WHERE partition = $1", partition
    )
    return Position(row[0], row[1])


async def any_planned(connection: Any) -> bool:
    """Whether a batch was begun and not committed, in any partition."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM stream_positions WHERE planned_offset IS NOT NULL)"
    )
    return found


async def plan(connection: Any, partition: int, done: int, upto: int, owner: str) -> bool:
    """Record that `owner` is about to process (done, upto]; False when somebody else went on from there."""
    status: str = await connection.execute(_PLAN, partition, done, upto, owner)
    return status == "UPDATE 1"


async def commit(connection: Any, partition: int, done: int, upto: int, owner: str, *, events: int) -> bool:
    """Move the position; False when another processor took over since the plan: then roll back."""
    status: str = await connection.execute(_COMMIT, partition, done, upto, owner, events)
    return status == "UPDATE 1"


async def drop_frames(connection: Any, partition: int, upto: int) -> None:
    """Frames of the PostgreSQL stream that are processed go in the same transaction."""
    await connection.execute('DELETE FROM stream_frames WHERE partition = $1 AND "offset" <= $2', partition, upto)


async def add_dead_letters(connection: Any, partition: int, upto: int, letters: Sequence[DeadLetter]) -> None:
    """Keep what could not be processed; writing the same batch twice keeps it once."""
    if not letters:
        return
    clean = [letter._replace(reason=letter.reason.replace("\x00", "\\0")) for letter in letters]
    columns = [list(column) for column in zip(*clean, strict=True)]
    await connection.execute(
        """INSERT INTO dead_letters
             (partition, "offset", ordinal, source, event_id, code, reason, dialect, body, received_at)
           SELECT $1, $2, d.ordinal, d.source, d.event_id, d.code, d.reason, d.dialect, d.body, d.received_at
           FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::timestamptz[])
             WITH ORDINALITY AS d(source, event_id, code, reason, dialect, body, received_at, ordinal)
           ON CONFLICT (partition, "offset", ordinal) DO NOTHING""",
        partition,
        upto,
        *columns,
    )


async def stream_state(connection: Any) -> StreamState:
    """Totals since the beginning; `dead` counts letters not replayed yet."""
    row = await connection.fetchrow(
        """SELECT (SELECT coalesce(sum(accepted), 0)::bigint FROM stream_partitions),
                  coalesce(sum(processed), 0)::bigint,
                  (SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL),
                  coalesce((SELECT min(accepted_at) FROM stream_frames), min(processed_at))
           FROM stream_positions"""
    )
    return StreamState(max(row[0], row[1]), row[1], row[2], row[3])


async def list_dead_letters(connection: Any, limit: int, before: int | None, source: str | None) -> list[Any]:
    """Dead letters, newest first: id, source, event_id, code, reason, dialect, body, received_at, replayed_at."""
    rows: list[Any] = await connection.fetch(
        """SELECT id, source, event_id, code, reason, dialect, body, received_at, replayed_at FROM dead_letters
           WHERE ($2::bigint IS NULL OR id < $2) AND ($3::text IS NULL OR source = $3) ORDER BY id DESC LIMIT $1""",
        limit,
        before,
        source,
    )
    return rows


async def find_dead_letter(connection: Any, letter_id: int) -> Any:
    """A letter that was not replayed yet, or None."""
    return await connection.fetchrow(
        "SELECT id, source, dialect, body, received_at FROM dead_letters WHERE id = $1 AND replayed_at IS NULL",
        letter_id,
    )


async def mark_replayed(connection: Any, letter_id: int, now: datetime) -> None:
    """Take a letter off the list of those that wait."""
    await connection.execute("UPDATE dead_letters SET replayed_at = $2 WHERE id = $1", letter_id, now)


async def letters_after(connection: Any, after: int, limit: int) -> list[Any]:
    """Dead letters (id, body) in the order of their ids."""
    rows: list[Any] = await connection.fetch(
        "SELECT id, body FROM dead_letters WHERE id > $1 ORDER BY id LIMIT $2", after, limit
    )
    return rows


async def delete_letters(connection: Any, ids: Sequence[int]) -> int:
    """Delete dead letters; how many."""
    status: str = await connection.execute("DELETE FROM dead_letters WHERE id = ANY($1::bigint[])", ids)
    return int(status.removeprefix("DELETE "))


async def waiting_frames(connection: Any) -> list[tuple[int, int]]:
    """(partition, offset) of the frames in PostgreSQL that were not processed yet."""
    return [tuple(row) for row in await connection.fetch('SELECT partition, "offset" FROM stream_frames ORDER BY 1, 2')]


async def frame_body(connection: Any, partition: int, offset: int) -> bytes:
    """The body of a waiting frame."""
    body: bytes = await connection.fetchval(
        'SELECT body FROM stream_frames WHERE partition = $1 AND "offset" = $2', partition, offset
    )
    return body


async def replace_frame(connection: Any, partition: int, offset: int, body: bytes) -> None:
    """Put another body in the place of a waiting frame's."""
    await connection.execute(
        'UPDATE stream_frames SET body = $3 WHERE partition = $1 AND "offset" = $2', partition, offset, body
    )


async def stored_hashes(events: EventStore, days: list[int], batch_number: int) -> dict[int, Hashes]:
    """Dedupe hashes of the events stored for some days (days since 1970), without those of one batch.

    That batch is the one being processed: after a crash its rows may be stored already, no repeats of themselves."""
    table = await events.arrow(
        _HASHES,
        {"low": min(days) * _DAY_MS, "high": (max(days) + 1) * _DAY_MS, "days": days, "batch": batch_number},
    )
    if table.num_rows == 0:
        return {}
    day, hashes = table["day"].to_numpy(), table["hash"].to_numpy()
    if len(days) == 1:
        return {days[0]: hashes}
    order = np.argsort(day, kind="stable")
    day, hashes = day[order], hashes[order]
    names, starts = np.unique(day, return_index=True)
    return dict(zip(names.tolist(), np.split(hashes, starts[1:]), strict=True))
