"""Proofs out of what is sealed: of one transfer, and that one checkpoint continues another."""

from __future__ import annotations

from typing import Any, Final

from siyu.errors import Conflict, MalformedRequest, NotFound
from siyu.ledger import seal_records as records
from siyu.ledger.seal import leaf_text, opened_parts
from siyu.ledger.seal_records import Block
from siyu.trust import Checkpoint, Proof, Verifier
from siyu.trust.merkle import Range, consistency_ranges, hashes_of, inclusion_ranges, subtrees
from siyu.trust.proof import FORMAT

NUMBER_MAX: Final = 2**62


class TransferNotFound(NotFound):
    """No transfer has this number, or none that is meant here."""

    code = "TRANSFER_NOT_FOUND"


class NotSealed(Conflict):
    """It was committed a moment ago: ask again in a second."""

    code = "NOT_SEALED"


class NoCheckpoint(NotFound):
    """No checkpoint of this size was ever signed."""

    code = "CHECKPOINT_NOT_FOUND"


async def log_of(connection: Any) -> str | None:
    """The origin of the checkpoints; None: nothing was ever sealed."""
    found = await connection.fetchval("SELECT log FROM ledger_sealer")
    return None if found is None else str(found)


def opened_block(log: str, block: Block) -> tuple[Verifier, Checkpoint]:
    """A checkpoint with the key that signed it. Raises ProofInvalid."""
    verifier = Verifier(log, block.key)
    return verifier, Checkpoint.opened(block.checkpoint, verifier)


async def public_key(connection: Any) -> str | None:
    """The key of the newest checkpoint, as it is published; None: nothing was ever sealed."""
    log, newest = await log_of(connection), await records.blocks(connection, NUMBER_MAX, 1)
    return str(Verifier(log, newest[0].key)) if log is not None and newest else None


async def proof_of(connection: Any, transfer: int, holders: frozenset[str] | None = None) -> Proof:
    """Of one transfer under the newest checkpoint. `holders`: whose entries are shown in clear; None: everything.

    Raises TransferNotFound (also when nothing of it is theirs), NotSealed."""
    facts = await records.facts_of(connection, transfer) if 0 < transfer < NUMBER_MAX else None
    if facts is None:
        raise TransferNotFound(f"There is no transfer {transfer}.")
    (one,) = await records.sealables(connection, [facts])
    if holders is not None and not any(entry.holder in holders for entry in one.entries):
        raise TransferNotFound(f"Transfer {transfer} changed nothing of this person's.")
    seal, log = await records.seal_of(connection, transfer), await log_of(connection)
    newest = await records.blocks(connection, NUMBER_MAX, 1)
    if seal is None or log is None or not newest:
        raise NotSealed(f"Transfer {transfer} is not sealed yet; ask again in a second.", retry_after_s=1)
    verifier, checkpoint = opened_block(log, newest[0])
    path = await _hashes(connection, inclusion_ranges(seal.seq, checkpoint.size))
    return Proof(
        FORMAT,
        transfer,
        leaf_text(one, seal.salt),
        seal.seq,
        checkpoint.size,
        [one.hex() for one in path],
        newest[0].checkpoint,
        str(verifier),
        opened_parts(one, seal.salt, holders),
    )


async def consistency(connection: Any, old: int, size: int) -> tuple[Block, Block, list[bytes]]:
    """Two checkpoints, and the hashes that prove that the larger tree begins with the smaller one.

    Raises NoCheckpoint, MalformedRequest."""
    if old > size:
        raise MalformedRequest("The older checkpoint is the smaller one.", path="old")
    found = [await records.block_of_size(connection, one) for one in (old, size)]
    if found[0] is None or found[1] is None:
        missing = old if found[0] is None else size
        raise NoCheckpoint(f"There is no checkpoint of {missing} transfers.")
    return found[0], found[1], await _hashes(connection, consistency_ranges(old, size))


async def _hashes(connection: Any, ranges: list[Range]) -> list[bytes]:
    nodes = [one for span in ranges for one in subtrees(span)]
    found = await records.read_hashes(connection, nodes) if nodes else {}
    return hashes_of(ranges, found.__getitem__)
