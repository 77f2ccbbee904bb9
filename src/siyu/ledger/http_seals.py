"""Routes of what is sealed: checkpoints, that one continues another, the proof of a transfer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import Parameter

from siyu.ledger import proving
from siyu.ledger import seal_records as records
from siyu.ledger.seal_records import Block
from siyu.store.postgres import Database
from siyu.trust import Proof

PAGE_MAX = 500
Size = Annotated[int, Parameter(ge=1, lt=proving.NUMBER_MAX)]


class CheckpointView(msgspec.Struct, frozen=True):
    """A signed head of the log. `checkpoint` is what is signed; the rest says the same for reading."""

    number: int
    size: int
    """Transfers sealed up to here."""
    root: str
    """Of the tree, hexadecimal."""
    chain: str
    """The newest link of the hash chain, hexadecimal."""
    sealed_at: datetime
    public_key: str
    checkpoint: str


class CheckpointPage(msgspec.Struct, frozen=True):
    """Newest first; pass `next_before` as `before` for the next."""

    origin: str | None
    """Names the log; null: nothing was sealed yet."""
    waiting: int
    """Transfers that are not sealed yet."""
    items: list[CheckpointView]
    next_before: int | None


class Consistency(msgspec.Struct, frozen=True):
    """The larger tree begins with the smaller one: `path` as in RFC 9162, 2.1.4, hexadecimal."""

    old: CheckpointView
    new: CheckpointView
    path: list[str]


def _view(log: str, block: Block) -> CheckpointView:
    verifier, found = proving.opened_block(log, block)
    return CheckpointView(
        block.number,
        block.size,
        found.root.hex(),
        found.chain.hex(),
        block.sealed_at,
        str(verifier),
        block.checkpoint,
    )


@get("/api/ledger/checkpoints", summary="Signed checkpoints of the ledger", tags=["ledger"])
async def checkpoints(
    db: Database,
    limit: Annotated[int, Parameter(ge=1, le=PAGE_MAX)] = 50,
    before: Annotated[int | None, Parameter(ge=1, lt=proving.NUMBER_MAX)] = None,
) -> CheckpointPage:
    """Newest first. Keep one outside of this installation, and nobody can change what it covers unseen."""
    async with db.driver() as connection:
        log = await proving.log_of(connection)
        found = await records.blocks(connection, before or proving.NUMBER_MAX, limit)
        waiting = (await records.state(connection)).waiting
    items = [_view(log or "", block) for block in found]
    return CheckpointPage(log, waiting, items, items[-1].number if len(items) == limit else None)


@get("/api/ledger/consistency", summary="That one checkpoint continues another", tags=["ledger"])
async def consistency(db: Database, old: Size, new: Size) -> Consistency:
    """`old` and `new` are sizes of checkpoints. 404 CHECKPOINT_NOT_FOUND."""
    async with db.driver() as connection:
        log = await proving.log_of(connection)
        first, second, path = await proving.consistency(connection, old, new)
    return Consistency(_view(log or "", first), _view(log or "", second), [one.hex() for one in path])


@get("/api/ledger/transfers/{transfer_id:int}/proof", summary="Proof of a transfer", tags=["ledger"])
async def transfer_proof(transfer_id: int, db: Database) -> Proof:
    """For the brand and its auditor: everything in clear. 404 TRANSFER_NOT_FOUND, 409 NOT_SEALED within a second of it.

    For a payee: `GET /api/persons/{id}/proofs/{transfer_id}`."""
    async with db.driver() as connection:
        return await proving.proof_of(connection, transfer_id)


routes: list[Any] = [checkpoints, consistency, transfer_proof]
