"""Names of things: identifier kinds, identifier keys, and the ids derived from them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NewType
from uuid import UUID

PersonId = NewType("PersonId", UUID)
"""Public id of a person: the uid of its canonical identifier."""

Anchor = NewType("Anchor", int)
"""Dense number of an identifier inside one installation, 1 ≤ n < 2**32."""

SEPARATOR: Final = "\x1f"

SINGLE: Final = ("user_id", "unionid", "external_userid")
"""One of a person, for ever of that person."""
MANY: Final = ("openid", "member_card")
"""Any number of a person, each for ever of that person."""
CURRENT: Final = ("phone", "email")
"""One at a time, history kept; may pass on to another person."""
CARRIED: Final = ("anonymous_id", "device")
"""Follow the stronger identifier last seen with them."""

KIND_RANK: Final = {
    kind: rank
    for rank, kind in enumerate(
        ("user_id", "unionid", "external_userid", "openid", "member_card", "phone", "email", "anonymous_id", "device")
    )
}
"""Strength of the base kinds, 0 strongest. The strongest identifier of an event is its anchor."""


def base_kind(kind: str) -> str:
    """`openid:wx1` → `openid`: the kind without its scope (appid, corpid)."""
    return kind.partition(":")[0]


def identifier_key(kind: str, value: str) -> str:
    """The one-string form of an identifier, as it travels in frames."""
    return kind + SEPARATOR + value


def split_key(key: str) -> tuple[str, str]:
    """Inverse of `identifier_key`."""
    kind, _, value = key.partition(SEPARATOR)
    return kind, value


_VERSION_8: Final = 0x8000_8000_0000_0000_0000
_NOT_VERSION: Final = ~0xF000_C000_0000_0000_0000


@lru_cache(maxsize=8)
def _keyed_hash(secret: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16, key=hashlib.sha256(secret).digest())


def identifier_digests(keys: Sequence[str], secret: bytes) -> list[bytes]:
    """The 16 bytes of `identifier_uid` of each key: BLAKE2b keyed with the installation's secret, so that a phone
    number cannot be found by hashing all numbers. Version bits are set to 8 (RFC 9562, custom)."""
    fresh = _keyed_hash(secret).copy
    digests = []
    for key in keys:
        keyed = fresh()
        keyed.update(key.encode())
        digests.append((int.from_bytes(keyed.digest()) & _NOT_VERSION | _VERSION_8).to_bytes(16))
    return digests


def identifier_uid(key: str, secret: bytes) -> UUID:
    """Public id of an identifier."""
    return UUID(bytes=identifier_digests([key], secret)[0])
