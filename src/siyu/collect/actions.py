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
    Scope,
    WriteKey,
    key_hash,
    new_secret,
)
from siyu.errors import EngineUnavailable, MalformedRequest, NotFound
from siyu.store.postgres import Database

FRESH_SECONDS: Final = 1.5
"""A key revoked anywhere stops working everywhere within this time."""
UNKNOWN_SECONDS: Final = 0.1
"""A key that is not known may have been made since: then they are read again, not more often than this."""


async def create_key(
    db: Database, *, kind: KeyKind, name: str, end: str, now: datetime, secret: str | None = None, scope: Scope = "all"
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
        scope=scope,
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
        self._live: dict[bytes, AccessKey] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def write_key(self, secret: str) -> WriteKey | None:
        """The write key of this secret, or None."""
        key = await self._find("write", secret)
        return None if key is None else WriteKey(key.id, key.end)

    async def scope(self, token: str) -> Scope | None:
        """What a live API token may do; None for what is no live token."""
        key = await self._find("api", token)
        return None if key is None else key.scope

    async def _find(self, kind: KeyKind, secret: str) -> AccessKey | None:
        digest = key_hash(secret)
        await self._refresh(FRESH_SECONDS if digest in self._live else UNKNOWN_SECONDS)
        key = self._live.get(digest)
        return key if key is not None and key.kind == kind else None

    async def _refresh(self, seconds: float) -> None:
        """Unless they were read within this time. One reading at a time: those who wait for it take its result."""
        if time.monotonic() - self._read_at < seconds:
            return
        async with self._reading:
            if time.monotonic() - self._read_at < seconds:
                return
            try:
                async with self._db.connect() as connection:
                    self._live = dict(await records.live_keys(connection))
            except EngineUnavailable:
                if self._read_at == float("-inf"):
                    raise
                return
            self._read_at = time.monotonic()
