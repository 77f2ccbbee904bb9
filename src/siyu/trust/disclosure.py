"""Parts of a leaf that are shown to some and not to others: the leaf holds a salted hash of each. Pure.

A part that is not shown cannot be guessed and tried, because its salt is not shown either."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec

SALT_BYTES: Final = 16


class Opened(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part in clear."""

    part: str
    """Where in the leaf its hash stands: `why`, or `entries/0`."""
    salt: str
    """Hexadecimal, 16 bytes."""
    text: str
    """JSON."""


def salt_of(salt: bytes, part: str) -> bytes:
    """The salt of a part, from that of its leaf. Half of the hash is not shown, so nothing can be appended to it."""
    return sha256(salt + part.encode()).digest()[:SALT_BYTES]


def commits(salt: bytes, parts: Iterable[tuple[str, str]]) -> list[str]:
    """`commit` of parts (name, text) of one leaf, each with the salt that follows from the leaf's."""
    return [
        sha256(sha256(salt + part.encode()).digest()[:SALT_BYTES] + text.encode()).hexdigest() for part, text in parts
    ]


def commit(salt: bytes, text: str) -> str:
    """What the leaf holds of a part: SHA-256(its salt ‖ its text as UTF-8), hexadecimal."""
    return sha256(salt + text.encode()).hexdigest()
