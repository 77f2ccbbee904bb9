"""Every SQL statement on keys. `connection` is a SQLAlchemy connection."""

from __future__ import annotations

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
    access_keys.c.scope,
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


async def live_keys(connection: AsyncConnection) -> list[tuple[bytes, AccessKey]]:
    """The keys that are not revoked, each with the hash of its secret."""
    statement = select(access_keys.c.secret_hash, *_COLUMNS).where(access_keys.c.revoked_at.is_(None))
    return [(bytes(digest), AccessKey(*row)) for digest, *row in await connection.execute(statement)]


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
