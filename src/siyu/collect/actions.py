"""What people do with keys, and the ring of live keys that every process keeps."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import datetime
from typing import Final

from siyu.collect import records
from siyu.collect.keys import (
    NAME_LENGTH_MAX,
    RANDOM_BYTES,
    AccessKey,
    KeyKind,
    WriteKey,
    key_hash,
    new_secret,
)
from siyu.errors import EngineUnavailable, MalformedRequest, NotFound
from siyu.store.postgres import Database

FRESH_SECONDS: Final = 1.5
"""A key revoked anywhere stops working everywhere within this time."""


async def create_key(
    db: Database, *, kind: KeyKind, name: str, end: str, now: datetime, secret: str | None = None
) -> tuple[AccessKey, str]:
    """A new key and its secret, which is shown only now for an API token. Raises MalformedRequest."""
    name, end = name.strip(), end.strip()
    if not 0 < len(name) <= NAME_LENGTH_MAX or len(end) > NAME_LENGTH_MAX or not (name + end).isprintable():
        raise MalformedRequest(f"A key needs a name of 1 to {NAME_LENGTH_MAX} printable characters.")
    secret = secret or new_secret(kind, secrets.token_bytes(RANDOM_BYTES))
    key = AccessKey(
        id=secrets.token_hex(6),
        kind=kind,
        name=name,
        end=end,
        secret=secret if kind == "write" else None,
        created_at=now,
        revoked_at=None,
    )
    async with db.begin() as connection:
        if not await records.insert_key(connection, key, key_hash(secret)):
            raise MalformedRequest("This key exists already.")
    return key, secret


async def list_keys(db: Database, kind: KeyKind | None = None) -> list[AccessKey]:
    """All keys, revoked ones too, oldest first."""
    async with db.connect() as connection:
        return await records.list_keys(connection, kind)


async def revoke_key(db: Database, key_id: str, now: datetime) -> None:
    """End a key: it stops working within seconds, for ever. Raises NotFound."""
    async with db.begin() as connection:
        if not await records.revoke_key(connection, key_id, now):
            raise NotFound(f"There is no live key with the id {key_id}.")


async def ensure_first_keys(
    db: Database, *, write_key: str | None, api_token: str | None, now: datetime
) -> dict[str, str]:
    """At the first start one write key and one API token, with the given secrets where there are any: what was made."""
    made: dict[str, str] = {}
    existing = {key.kind for key in await list_keys(db)}
    wanted: list[tuple[KeyKind, str, str, str | None]] = [
        ("write", "write_key", "default", write_key),
        ("api", "api_token", "default", api_token),
    ]
    for kind, label, name, secret in wanted:
        if kind not in existing:
            _, made[label] = await create_key(db, kind=kind, name=name, end="", now=now, secret=secret)
    return made


class KeyRing:
    """The live keys in memory, read again when older than `FRESH_SECONDS`.

    While PostgreSQL is away the last known keys stay valid: the doors' appends fail for their own reason then."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._write: dict[bytes, WriteKey] = {}
        self._api: dict[bytes, str] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def write_key(self, secret: str) -> WriteKey | None:
        """The write key of this secret, or None."""
        if time.monotonic() - self._read_at >= FRESH_SECONDS:
            await self._refresh()
        return self._write.get(key_hash(secret))

    async def is_api_token(self, token: str) -> bool:
        """Whether this is a live API token."""
        if time.monotonic() - self._read_at >= FRESH_SECONDS:
            await self._refresh()
        return key_hash(token) in self._api

    async def _refresh(self) -> None:
        """One reading at a time: those who wait for it take its result."""
        async with self._reading:
            if time.monotonic() - self._read_at < FRESH_SECONDS:
                return
            try:
                async with self._db.connect() as connection:
                    rows = await records.live_hashes(connection)
            except EngineUnavailable:
                if self._read_at == float("-inf"):
                    raise
                return
            self._read_at = time.monotonic()
            self._write = {bytes(digest): WriteKey(key, end) for digest, kind, key, end in rows if kind == "write"}
            self._api = {bytes(digest): key for digest, kind, key, _ in rows if kind == "api"}
