"""The hash chain: each link stands on all before it. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

START: Final = bytes(32)
"""What stands before the first link."""


def link(before: bytes, leaf: bytes) -> bytes:
    """h(n) = SHA-256(h(n-1) ‖ leaf hash n)."""
    return sha256(before + leaf).digest()
