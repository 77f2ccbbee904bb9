"""Every SQL statement of identity on the registry of identifiers.

`connection` is a raw asyncpg connection inside the caller's transaction: these run for every batch, on arrays.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from siyu.ids import SEPARATOR

_FIND = """
SELECT k.place - 1, i.id,
       (extract(epoch FROM i.first_seen) * 1000)::bigint, (extract(epoch FROM i.last_seen) * 1000)::bigint
FROM unnest($1::bytea[]) WITH ORDINALITY k(uid, place) JOIN identifiers i ON i.uid = encode(k.uid, 'hex')::uuid
"""
_NUMBERS = "SELECT array_agg(nextval('anchor_numbers')) FROM generate_series(1, $1)"
_COPY_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_END = struct.pack(">h", -1)
_COPY_COLUMNS = ("id", "uid", "first_seen", "last_seen", "kind", "value", "source")
_copy_start = struct.Struct(">hiqi16siqiq").pack
_copy_length = struct.Struct(">i").pack
_POSTGRES_EPOCH_MS = 946_684_800_000
_WIDEN = """
UPDATE identifiers i
SET first_seen = least(i.first_seen, s.low), last_seen = greatest(i.last_seen, s.high),
    source = CASE WHEN (s.low, s.source) < (i.first_seen, i.source) THEN s.source ELSE i.source END
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::text[]) AS s(id, low, high, source)
WHERE i.id = s.id
"""


class NewIdentifiers(NamedTuple):
    """Identifiers to register, as columns of equal length."""

    uids: list[bytes]
    keys: list[str]
    first_ms: list[int]
    last_ms: list[int]
    sources: list[str]


async def find_identifiers(connection: Any, uids: Sequence[bytes]) -> list[tuple[int, int, int, int]]:
    """(place in `uids`, anchor, first_seen, last_seen in epoch ms) of those that are registered."""
    return [tuple(row) for row in await connection.fetch(_FIND, uids)]


async def add_identifiers(connection: Any, new: NewIdentifiers) -> list[int]:
    """Register identifiers that are not registered yet; their anchors. Raises asyncpg's UniqueViolationError when one
    is. COPY costs half of what INSERT does."""
    numbers: list[int] = await connection.fetchval(_NUMBERS, len(new.uids))
    body = copy_body(new, numbers)

    async def source() -> AsyncIterator[bytes]:
        yield body

    await connection.copy_to_table("identifiers", source=source(), columns=_COPY_COLUMNS, format="binary")
    return numbers


def copy_body(new: NewIdentifiers, numbers: Sequence[int]) -> bytes:
    """Rows in PostgreSQL's binary COPY format: per row the number of fields, per field its length and its bytes, big
    endian; times in microseconds since 2000 (PostgreSQL's documentation of COPY)."""
    parts = [_COPY_HEAD]
    for number, uid, key, first_ms, last_ms, source in zip(numbers, *new, strict=True):
        kind, _, value = key.partition(SEPARATOR)
        text = value.encode()
        first, last = (first_ms - _POSTGRES_EPOCH_MS) * 1000, (last_ms - _POSTGRES_EPOCH_MS) * 1000
        fixed = _copy_start(len(_COPY_COLUMNS), 8, number, 16, uid, 8, first, 8, last)
        parts.append(b"%b%b%b%b%b" % (fixed, _copied(kind), _copy_length(len(text)), text, _copied(source)))
    parts.append(_COPY_END)
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _copied(word: str) -> bytes:
    """A text field of few values."""
    text = word.encode()
    return _copy_length(len(text)) + text


async def widen_identifiers(connection: Any, rows: Sequence[tuple[int, datetime, datetime, str]]) -> None:
    """Take (anchor, seen from, seen until, source) into first_seen and last_seen."""
    await connection.execute(_WIDEN, *[list(column) for column in zip(*rows, strict=True)])


async def last_tombstone(connection: Any) -> int:
    """Number of the newest erasure, 0 when there is none."""
    return int(await connection.fetchval("SELECT coalesce(max(seq), 0) FROM tombstones"))


async def find_tombstones(connection: Any, uids: Sequence[bytes]) -> list[tuple[int, datetime]]:
    """(place in `uids`, erased_at) of those that were erased."""
    rows = await connection.fetch(
        "SELECT k.place - 1, t.erased_at FROM unnest($1::bytea[]) WITH ORDINALITY k(uid, place)"
        " JOIN tombstones t ON t.uid = encode(k.uid, 'hex')::uuid",
        uids,
    )
    return [tuple(row) for row in rows]
