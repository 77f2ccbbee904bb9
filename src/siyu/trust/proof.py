"""A proof to carry away: one leaf, its place under a signed checkpoint, some of its parts in clear. Pure."""

from __future__ import annotations

import hmac
import re
from typing import Annotated, Any, Final

import msgspec

from siyu.trust.checkpoint import Checkpoint
from siyu.trust.disclosure import SALT_BYTES, Opened, commit
from siyu.trust.invalid import ProofInvalid
from siyu.trust.merkle import HASH_BYTES, leaf_hash, root_by_path
from siyu.trust.note import NOTE_CHARACTERS_MAX, Verifier

FORMAT: Final = "siyu-proof/1"
_PATH_MAX: Final = 64
_LEAF_MAX: Final = 1_000_000
_OPENED_MAX: Final = 10_000

_PLACE: Final = re.compile(r"0|[1-9][0-9]{0,5}")

Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one transfer. docs/trust.md says how to verify it in any language."""

    format: str
    transfer_id: int
    leaf: Annotated[str, msgspec.Meta(max_length=_LEAF_MAX)]
    """The bytes that were sealed: JSON, to be hashed as it stands."""
    index: Annotated[int, msgspec.Meta(ge=0)]
    size: Annotated[int, msgspec.Meta(ge=1)]
    path: Annotated[list[Hex], msgspec.Meta(max_length=_PATH_MAX)]
    checkpoint: Annotated[str, msgspec.Meta(max_length=NOTE_CHARACTERS_MAX)]
    public_key: str
    """As the brand publishes it. A verifier takes it from there, not from here."""
    opened: Annotated[list[Opened], msgspec.Meta(max_length=_OPENED_MAX)]

    def verified(self, verifier: Verifier) -> Checkpoint:
        """The checkpoint it stands under. Raises ProofInvalid, which says what does not hold."""
        if self.format != FORMAT:
            raise ProofInvalid(f"Only proofs of the format {FORMAT} can be verified here.")
        checkpoint = Checkpoint.opened(self.checkpoint, verifier)
        if checkpoint.size != self.size:
            raise ProofInvalid("The checkpoint is of another size than the proof.")
        try:
            root = root_by_path(
                leaf_hash(self.leaf.encode()), self.index, self.size, list(map(bytes.fromhex, self.path))
            )
        except ValueError as error:
            raise ProofInvalid(f"The audit path is not one of this tree: {error}.") from error
        if not hmac.compare_digest(root, checkpoint.root):
            raise ProofInvalid("The leaf does not lead to the root of the checkpoint.")
        leaf = _object(self.leaf)
        if leaf.get("transfer") != self.transfer_id:
            raise ProofInvalid("The leaf is of another transfer.")
        for one in self.opened:
            _check_part(leaf, one)
        return checkpoint


def read_proof(body: bytes) -> Proof:
    """A proof out of a file. Raises ProofInvalid."""
    try:
        return msgspec.json.decode(body, type=Proof)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ProofInvalid(f"This is no proof: {error}") from error


def _object(leaf: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(leaf, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ProofInvalid("The leaf is no JSON object.") from error


def _check_part(leaf: dict[str, Any], one: Opened) -> None:
    name, slash, place = one.part.partition("/")
    held = leaf.get(name)
    if slash:
        many = held if isinstance(held, list) else []
        held = many[int(place)] if _PLACE.fullmatch(place) and int(place) < len(many) else None
    try:
        salt = bytes.fromhex(one.salt)
    except ValueError:
        salt = b""
    if len(salt) != SALT_BYTES or not isinstance(held, str) or len(held) != 2 * HASH_BYTES:
        raise ProofInvalid(f"The leaf has no part {one.part!r}.")
    if commit(salt, one.text) != held:
        raise ProofInvalid(f"The part {one.part!r} is not what was sealed.")
