"""Codes of coupons: unguessable, readable aloud, and of no use to who finds the table. Pure.

A code made here has 14 letters and digits of an alphabet without look-alikes: 68 bits. Stored are its keyed hash, by
which it is found, and the code sealed under the hash; both keys are derived from the installation's secret (decision
0312).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without 0 O 1 I L U."""
LENGTH: Final = 14
CODE_CHARS_MAX: Final = 64
CODE_CHARS_MIN: Final = 4
"""Of a code brought from outside. Such a code may be guessed as easily as whoever made it allowed."""
_SEPARATORS: Final = str.maketrans("", "", " -_\t\r\n")
_DRAWS_SPARE: Final = 1.2

Random = Callable[[int], bytes]
"""So many random bytes, such as `os.urandom`."""


class Sealed(NamedTuple):
    """A code as it is stored."""

    number: UUID
    body: bytes


def normal(code: str) -> str:
    """A code as it is compared: capital letters, no spaces or dashes."""
    return code.translate(_SEPARATORS).upper()


def shown(code: str) -> str:
    """A code of our own as people read it: `ABCDE-FGHJK-MNPQ`."""
    return "-".join(code[start : start + 5] for start in range(0, len(code), 5)) if len(code) == LENGTH else code


def make_codes(count: int, random: Random) -> list[str]:
    """Different codes, evenly drawn."""
    letters = np.frombuffer(ALPHABET.encode(), np.uint8)
    size = len(letters)
    codes: dict[str, None] = {}
    while len(codes) < count:
        wanted = (count - len(codes)) * LENGTH
        drawn = np.frombuffer(random(int(wanted * _DRAWS_SPARE) + 64), np.uint8) & 31
        # What lies beyond the alphabet is thrown away: every letter is equally likely.
        drawn = drawn[drawn < size][: len(drawn) // LENGTH * LENGTH]
        drawn = drawn[: len(drawn) // LENGTH * LENGTH]
        text = letters[drawn].tobytes().decode()
        codes.update((text[start : start + LENGTH], None) for start in range(0, len(text), LENGTH))
    return list(codes)[:count]


class Vault:
    """Hashes, seals and opens codes of one installation."""

    def __init__(self, secret: bytes) -> None:
        root = hashlib.sha256(b"coupon codes\n" + secret).digest()
        self._hash = hashlib.blake2b(key=root, digest_size=16, person=b"number").copy
        self._stream = hashlib.blake2b(key=root, digest_size=64, person=b"seal").copy

    def number(self, code: str) -> UUID:
        """What a code is found by."""
        keyed = self._hash()
        keyed.update(normal(code).encode())
        return UUID(bytes=keyed.digest())

    def seal(self, code: str) -> Sealed:
        """A code as it is stored."""
        number = self.number(code)
        return Sealed(number, self._mixed(number, normal(code).encode()))

    def seal_all(self, codes: Iterable[str]) -> list[Sealed]:
        """Many at once."""
        return [self.seal(code) for code in codes]

    def open(self, number: UUID, body: bytes) -> str:
        """The code again."""
        return self._mixed(number, body).decode()

    def _mixed(self, number: UUID, body: bytes) -> bytes:
        """`body` with a stream that belongs to one hash only, so that no stream is used for two codes."""
        stream = self._stream()
        stream.update(number.bytes)
        mask = stream.digest()[: len(body)]
        return (int.from_bytes(body) ^ int.from_bytes(mask)).to_bytes(len(body))


def usable(codes: Sequence[str]) -> list[str]:
    """Codes from outside in normal form, each once, those of a wrong length left out."""
    cleaned = dict.fromkeys(normal(code) for code in codes)
    return [code for code in cleaned if CODE_CHARS_MIN <= len(code.encode()) <= CODE_CHARS_MAX and "\x00" not in code]
