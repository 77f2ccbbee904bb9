"""Every SQL statement of identity on the registry of identifiers.

`connection` is a raw asyncpg connection inside the caller's transaction: these run for every batch, on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from asyncpg.pgproto.pgproto import UUID

_FIND = """
SELECT i.uid, i.id, (extract(epoch FROM i.first_seen) * 1000)::bigint, (extract(epoch FROM i.last_seen) * 1000)::bigint
FROM unnest($1::uuid[]) k(uid) JOIN identifiers i USING (uid)
"""
_INSERT = """
INSERT INTO identifiers (uid, id, kind, value, first_seen, last_seen, source)
SELECT n.uid, nextval('anchor_numbers'), n.kind, n.value, n.low, n.high, n.source
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[])
  AS n(uid, kind, value, low, high, source)
ON CONFLICT (uid) DO NOTHING
"""
_WIDEN = """
UPDATE identifiers i
SET first_seen = least(i.first_seen, s.low), last_seen = greatest(i.last_seen, s.high),
    source = CASE WHEN (s.low, s.source) < (i.first_seen, i.source) THEN s.source ELSE i.source END
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::text[]) AS s(id, low, high, source)
WHERE i.id = s.id
"""


async def find_identifiers(connection: Any, uids: Sequence[bytes]) -> dict[bytes, tuple[int, int, int]]:
    """uid → (anchor, first_seen, last_seen in epoch ms) of those that are registered."""
    rows = await connection.fetch(_FIND, [UUID(uid) for uid in uids])
    return {row[0].bytes: (row[1], row[2], row[3]) for row in rows}


async def insert_identifiers(connection: Any, rows: Sequence[tuple[bytes, str, str, datetime, datetime, str]]) -> None:
    """Register (uid, kind, value, first_seen, last_seen, source); those already there stay as they are."""
    uids, *others = [list(column) for column in zip(*rows, strict=True)]
    await connection.execute(_INSERT, [UUID(uid) for uid in uids], *others)


async def widen_identifiers(connection: Any, rows: Sequence[tuple[int, datetime, datetime, str]]) -> None:
    """Take (anchor, seen from, seen until, source) into first_seen and last_seen."""
    await connection.execute(_WIDEN, *[list(column) for column in zip(*rows, strict=True)])


async def last_tombstone(connection: Any) -> int:
    """Number of the newest erasure, 0 when there is none."""
    return int(await connection.fetchval("SELECT coalesce(max(seq), 0) FROM tombstones"))


async def find_tombstones(connection: Any, uids: Sequence[bytes]) -> list[tuple[bytes, datetime]]:
    """(uid, erased_at) of those that were erased."""
    rows = await connection.fetch(
        "SELECT uid, erased_at FROM tombstones WHERE uid = ANY($1::uuid[])", [UUID(uid) for uid in uids]
    )
    return [(row[0].bytes, row[1]) for row in rows]
