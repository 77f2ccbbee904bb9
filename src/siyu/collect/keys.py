"""Write keys and API tokens as nouns. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final, Literal, NamedTuple

KeyKind = Literal["write", "api"]
Scope = Literal["all", "read", "till"]
"""What an API token may do (`siyu.api.scopes`). A write key only sends events, whatever stands here."""

PREFIX: Final[dict[KeyKind, str]] = {"write": "wk_", "api": "at_"}
RANDOM_BYTES: Final = 24
NAME_LENGTH_MAX: Final = 100


class AccessKey(NamedTuple):
    """A key as the console lists it. `secret` is there for write keys only."""

    id: str
    kind: KeyKind
    name: str
    end: str
    secret: str | None
    created_at: datetime
    revoked_at: datetime | None
    scope: Scope = "all"


class WriteKey(NamedTuple):
    """What a door needs of a write key."""

    id: str
    end: str


def key_hash(secret: str) -> bytes:
    """SHA-256: keys are random, so no slow hash is needed, and equal time is given by looking hashes up."""
    return hashlib.sha256(secret.encode()).digest()


def new_secret(kind: KeyKind, random: bytes) -> str:
    """A key of `RANDOM_BYTES` random bytes, in hex behind a prefix that tells what it is."""
    return PREFIX[kind] + random.hex()
