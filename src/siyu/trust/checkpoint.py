"""Checkpoints (C2SP tlog-checkpoint): the head of a log in three lines, and two of ours. Pure."""

from __future__ import annotations

import base64
import re
from typing import Final, NamedTuple

from siyu.trust.invalid import ProofInvalid
from siyu.trust.merkle import HASH_BYTES
from siyu.trust.note import Signer, Verifier

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_CHAIN: Final = "chain "
_TIME: Final = "time "


class Checkpoint(NamedTuple):
    """A log as it stood: so many leaves, their root."""

    origin: str
    """Names the log."""
    size: int
    root: bytes
    chain: bytes
    """The newest link of the hash chain."""
    at_us: int
    """When it was signed: microseconds since 1970-01-01T00:00:00Z."""

    def text(self) -> str:
        """What is signed."""
        lines = (self.origin, str(self.size), _b64(self.root), _CHAIN + _b64(self.chain), _TIME + str(self.at_us))
        return "".join(f"{line}\n" for line in lines)

    def signed(self, signer: Signer) -> str:
        """As a note."""
        return signer.sign(self.text())

    @classmethod
    def opened(cls, note: str, verifier: Verifier) -> Checkpoint:
        """What a note says that this key signed. Raises ProofInvalid."""
        found = cls.read(verifier.open(note))
        if found.origin != verifier.name:
            raise ProofInvalid("The checkpoint is of another log than the key.")
        return found

    @classmethod
    def read(cls, text: str) -> Checkpoint:
        """What the text of a note says, whoever signed it. Raises ProofInvalid."""
        lines = text.split("\n")[:-1]
        if len(lines) != 5 or not (lines[3].startswith(_CHAIN) and lines[4].startswith(_TIME)):
            raise ProofInvalid("The note is no checkpoint of a ledger.")
        size, at = lines[1], lines[4].removeprefix(_TIME)
        if not (_NUMBER.fullmatch(size) and _NUMBER.fullmatch(at)):
            raise ProofInvalid("The note is no checkpoint of a ledger.")
        found = cls(lines[0], int(size), _hash(lines[2]), _hash(lines[3].removeprefix(_CHAIN)), int(at))
        if found.text() != text:
            raise ProofInvalid("The checkpoint is not written as it must be.")
        return found


def _b64(blob: bytes) -> str:
    return base64.b64encode(blob).decode()


def _hash(text: str) -> bytes:
    try:
        blob = base64.b64decode(text, validate=True)
    except ValueError:
        blob = b""
    if len(blob) != HASH_BYTES:
        raise ProofInvalid("A hash of the checkpoint is not one of 32 bytes.")
    return blob
