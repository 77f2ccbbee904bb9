"""Codes of coupons: unguessable, readable aloud, and of no use to who finds the table. Pure.

A code made here has 14 letters and digits of an alphabet without look-alikes: 68 bits. What is stored of it can be
found and opened with the installation's secret only (decision 0312).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without 0 O 1 I L U."""
LENGTH: Final = 14
CODE_CHARS_MAX: Final = 64
CODE_CHARS_MIN: Final = 4
"""Of a code brought from outside. Such a code may be guessed as easily as whoever made it allowed."""
_SEPARATORS: Final = str.maketrans("", "", " -_\t\r\n")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp", "Pd"})
"""Categories of what nobody reads aloud: control and format characters (byte order mark), blanks, dashes."""
_DRAWS_SPARE: Final = 1.2

_LETTERS: Final = frozenset(ALPHABET)
_BLOCK: Final = 16

Codes = npt.NDArray[np.uint8]
"""Codes of ours, or what is stored of them: one a row, its bytes."""
Random = Callable[[int], bytes]
"""So many random bytes, such as `os.urandom`."""


class Sealed(NamedTuple):
    """A code as it is stored."""

    number: UUID
    body: bytes


def normal(code: str) -> str:
    """A code as it is compared: capital letters, no spaces or dashes; what Chinese keyboards and Excel make of it
    (full-width letters, long dashes, a byte order mark) is the same code. A NUL stays, to be refused."""
    if code.isascii():
        return code.translate(_SEPARATORS).upper()
    # Until nothing changes: what is dropped may have stood between a letter and its accent.
    while (plain := _plainer(code)) != code:
        code = plain
    return code


def _plainer(code: str) -> str:
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", code).upper()).translate(_SEPARATORS)
    return "".join(one for one in plain if one == "\x00" or unicodedata.category(one) not in _UNSEEN)


def shown(code: str) -> str:
    """A code of our own as people read it: `ABCDE-FGHJK-MNPQ`."""
    return "-".join(code[start : start + 5] for start in range(0, len(code), 5)) if len(code) == LENGTH else code


def draw(count: int, random: Random) -> Codes:
    """Different codes, evenly drawn; one a row, in no order that says anything."""
    letters = np.frombuffer(ALPHABET.encode(), np.uint8)
    found: Codes = np.empty((0, LENGTH), np.uint8)
    while len(found) < count:
        wanted = (count - len(found)) * LENGTH
        drawn = np.frombuffer(random(int(wanted * _DRAWS_SPARE) + 64), np.uint8) & 31
        # What lies beyond the alphabet is thrown away: every letter is equally likely.
        drawn = drawn[drawn < len(letters)]
        rows = letters[drawn[: len(drawn) // LENGTH * LENGTH]].reshape(-1, LENGTH)
        found = np.unique(np.concatenate((found, rows[: count - len(found)])), axis=0)
    return found


def make_code(random: Random) -> str:
    """One code."""
    return draw(1, random).tobytes().decode()


def is_ours(code: str) -> bool:
    """Whether a code in normal form could have been made here."""
    return len(code) == LENGTH and _LETTERS.issuperset(code)


class Vault:
    """Hashes, seals and opens codes of one installation.

    A code of ours is a block of AES under a key of the installation: found by it, opened from it. A code from outside
    may be of any length: it is found by a keyed hash, and sealed with a stream that belongs to that hash only."""

    def __init__(self, secret: bytes) -> None:
        root = hashlib.sha256(b"coupon codes\n" + secret).digest()
        self._cipher = Cipher(algorithms.AES(root), modes.ECB())  # noqa: S305 - one block each, and no two are equal
        self._hash = hashlib.blake2b(key=root, digest_size=16, person=b"number").copy
        self._stream = hashlib.blake2b(key=root, digest_size=64, person=b"seal").copy

    def number(self, code: str) -> UUID:
        """What a code is found by."""
        text = normal(code)
        if is_ours(text):
            return UUID(bytes=self._cipher.encryptor().update(text.encode().ljust(_BLOCK, b"\0")))
        keyed = self._hash()
        keyed.update(text.encode())
        return UUID(bytes=keyed.digest())

    def seal(self, code: str) -> Sealed:
        """A code as it is stored."""
        number, text = self.number(code), normal(code)
        return Sealed(number, b"" if is_ours(text) else self._mixed(number, text.encode()))

    def seal_all(self, codes: Iterable[str]) -> list[Sealed]:
        """Many at once."""
        return [self.seal(code) for code in codes]

    def blocks(self, codes: Codes) -> Codes:
        """The numbers of many codes of ours, 16 bytes a row, ascending: an index takes them in that order at once."""
        plain = np.zeros((len(codes), _BLOCK), np.uint8)
        plain[:, :LENGTH] = codes
        sealed = np.frombuffer(self._cipher.encryptor().update(plain.tobytes()), ">u8").reshape(-1, 2)
        ordered = sealed[np.lexsort((sealed[:, 1], sealed[:, 0]))]
        return np.frombuffer(ordered.tobytes(), np.uint8).reshape(-1, _BLOCK)

    def open(self, number: UUID, body: bytes) -> str:
        """The code again."""
        if not body:
            return self._cipher.decryptor().update(number.bytes).rstrip(b"\0").decode()
        return self._mixed(number, body).decode()

    def _mixed(self, number: UUID, body: bytes) -> bytes:
        """`body` with the stream of one hash."""
        stream = self._stream()
        stream.update(number.bytes)
        mask = stream.digest()[: len(body)]
        return (int.from_bytes(body) ^ int.from_bytes(mask)).to_bytes(len(body))


def usable(codes: Sequence[str]) -> list[str]:
    """Codes from outside in normal form, each once, those of a wrong length left out."""
    cleaned = dict.fromkeys(normal(code) for code in codes)
    return [code for code in cleaned if CODE_CHARS_MIN <= len(code.encode()) <= CODE_CHARS_MAX and "\x00" not in code]
