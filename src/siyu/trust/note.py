"""Signed notes (C2SP signed-note, as Go's sumdb): text that people can read, with Ed25519 signatures beneath. Pure."""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from siyu.trust.invalid import ProofInvalid

_ED25519: Final = b"\x01"
_DASH: Final = "— "
_ID_BYTES: Final = 4
NOTE_CHARACTERS_MAX: Final = 100_000
SIGNATURES_MAX: Final = 100


class Verifier:
    """A name and its public key."""

    def __init__(self, name: str, public: bytes) -> None:
        """`public`: 32 bytes. Raises ProofInvalid."""
        if not name or "+" in name or any(character.isspace() for character in name):
            raise ProofInvalid("The name of a key has no spaces and no plus sign.")
        try:
            self._key = Ed25519PublicKey.from_public_bytes(public)
        except ValueError as error:
            raise ProofInvalid("This is no Ed25519 public key.") from error
        self.name, self.public = name, public
        self.id = sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:_ID_BYTES]

    @classmethod
    def read(cls, text: str) -> Verifier:
        """From `name+id+key`, as it is published. Raises ProofInvalid."""
        name, _, rest = text.strip().partition("+")
        number, _, key = rest.partition("+")
        blob = _decoded(key)
        if blob[:1] != _ED25519:
            raise ProofInvalid("The public key is written name+id+key, of Ed25519.")
        found = cls(name, blob[1:])
        if found.id.hex() != number:
            raise ProofInvalid("The id of the public key is not that of its name and bytes.")
        return found

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encoded(_ED25519 + self.public)}"

    def open(self, note: str) -> str:
        """The text of a note, when this key signed it. Raises ProofInvalid."""
        text, _, signatures = note.rpartition("\n\n")
        text += "\n"
        lines = signatures.split("\n")
        if len(note) > NOTE_CHARACTERS_MAX or len(text) == 1 or lines.pop() or not 0 < len(lines) <= SIGNATURES_MAX:
            raise ProofInvalid("This is no signed note.")
        for name, blob in [_signature(line) for line in lines]:
            if (name, blob[:_ID_BYTES]) == (self.name, self.id):
                try:
                    self._key.verify(blob[_ID_BYTES:], text.encode())
                except InvalidSignature:
                    raise ProofInvalid("The signature of the note is wrong.") from None
                return text
        raise ProofInvalid(f"The note is not signed by {self}.")


class Signer:
    """A name and its private key."""

    def __init__(self, name: str, seed: bytes) -> None:
        """`seed`: 32 bytes."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def derived(cls, name: str, secret: bytes) -> Signer:
        """The key of this name that follows from an installation's secret."""
        return cls(name, hmac.digest(secret, b"checkpoint key\x00" + name.encode(), "sha256"))

    def sign(self, text: str) -> str:
        """A note: the text (which ends with a line break and has no empty line), and the signature."""
        if not text.endswith("\n") or "\n\n" in text:
            raise ValueError("a note is lines of text, none of them empty")
        blob = self.verifier.id + self._key.sign(text.encode())
        return f"{text}\n{_DASH}{self.verifier.name} {_encoded(blob)}\n"


def _signature(line: str) -> tuple[str, bytes]:
    """Name, and key id with signature, of a line beneath a note. Raises ProofInvalid."""
    name, _, text = line.removeprefix(_DASH).partition(" ")
    blob = _decoded(text)
    if not line.startswith(_DASH) or not name or len(blob) <= _ID_BYTES:
        raise ProofInvalid("This is no signed note.")
    return name, blob


def _encoded(blob: bytes) -> str:
    return base64.b64encode(blob).decode()


def _decoded(text: str) -> bytes:
    """Of standard base64; nothing, when it is none."""
    try:
        blob = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return blob if _encoded(blob) == text else b""
