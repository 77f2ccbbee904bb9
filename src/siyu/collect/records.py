"""Every SQL statement on keys. `connection` is a SQLAlchemy connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.collect.keys import AccessKey, KeyKind
from siyu.collect.tables import access_keys

_COLUMNS = (
    access_keys.c.id,
    access_keys.c.kind,
    access_keys.c.name,
    access_keys.c.end,
    access_keys.c.secret,
    access_keys.c.created_at,
    access_keys.c.revoked_at,
)


async def insert_key(connection: AsyncConnection, key: AccessKey, secret_hash: bytes) -> bool:
    """Add a key; False when the same secret exists already."""
    statement = insert(access_keys).values(**key._asdict(), secret_hash=secret_hash).on_conflict_do_nothing()
    return (await connection.execute(statement)).rowcount == 1


async def list_keys(connection: AsyncConnection, kind: KeyKind | None = None) -> list[AccessKey]:
    """All keys, oldest first."""
    statement = select(*_COLUMNS).order_by(access_keys.c.created_at, access_keys.c.id)
    if kind is not None:
        statement = statement.where(access_keys.c.kind == kind)
    return [AccessKey(*row) for row in await connection.execute(statement)]


async def live_hashes(connection: AsyncConnection) -> Sequence[tuple[bytes, str, str, str]]:
    """(hash, kind, id, end) of the keys that are not revoked."""
    c = access_keys.c
    rows = await connection.execute(select(c.secret_hash, c.kind, c.id, c.end).where(c.revoked_at.is_(None)))
    return [(row[0], row[1], row[2], row[3]) for row in rows]


async def revoke_key(connection: AsyncConnection, key_id: str, now: datetime) -> bool:
    """End a key; False when there is none with this id that lives."""
    statement = (
        update(access_keys).where(access_keys.c.id == key_id, access_keys.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    return (await connection.execute(statement)).rowcount == 1


async def end_of(connection: AsyncConnection, key_id: str) -> str:
    """The end of a write key, empty when it is not known."""
    row = await connection.execute(select(access_keys.c.end).where(access_keys.c.id == key_id))
    return row.scalar_one_or_none() or ""
