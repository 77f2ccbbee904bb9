"""I8 looked at in the rows: the chain, the tree and the checkpoints are computed again from transfers, entries and
movements of lots. A page of rows is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from siyu.ledger import seal_records as records
from siyu.ledger.seal import Facts, Sealable, leaf_text, microseconds
from siyu.ledger.seal_records import Block, Seal
from siyu.trust import Checkpoint, ProofInvalid, Verifier
from siyu.trust.chain import START, link
from siyu.trust.merkle import Frontier, Tile, leaf_hash

_PAGE: Final = 2_000
_SEALS: Final = """
SELECT s.seq, s.transfer, s.salt, s.leaf, s.chain, t.id, t.key, t.request, t.kind, t.at, t.occurred_at, t.reason,
       t.cause, t.by, t.corrects, t.refused, t.answer, t.committed_in
FROM ledger_seals s LEFT JOIN ledger_transfers t ON t.id = s.transfer WHERE s.seq > $1 ORDER BY s.seq LIMIT $2
"""
_TILES: Final = """
SELECT w.level, w.place, t.hash FROM unnest($1::smallint[], $2::bigint[]) AS w(level, place)
LEFT JOIN ledger_seal_tiles t USING (level, place)
"""
_PASSED_OVER: Final = """
SELECT t.id FROM ledger_transfers t, ledger_sealer c
WHERE (t.committed_in, t.id) <= (c.committed_in, c.transfer) AND c.cluster = (
  SELECT system_identifier::text FROM pg_control_system())
AND NOT EXISTS (SELECT FROM ledger_seals s WHERE s.transfer = t.id) ORDER BY t.committed_in, t.id LIMIT 1
"""


class Kept(NamedTuple):
    """A checkpoint that somebody kept outside of this database."""

    size: int
    root: bytes


class _Broken(Exception):
    """The first row that is not what it must be."""


async def first_broken(connection: Any, kept: Kept | None = None) -> str | None:
    """The first row that breaks the chain, as table, row and what is wrong with it; None when all of it holds.

    `connection`: raw asyncpg, in a repeatable read. `kept`: the tree must contain it too."""
    try:
        await _Reading(connection, kept).read()
    except _Broken as broken:
        return str(broken)
    return None


class _Reading:
    def __init__(self, connection: Any, kept: Kept | None) -> None:
        self._connection = connection
        self._kept = kept
        self._tree = Frontier()
        self._chain = START
        self._blocks = 0
        self._tiles = 0
        self._log: str | None = None

    async def read(self) -> None:
        fetch = self._connection.fetchval
        self._log = await fetch("SELECT log FROM ledger_sealer")
        last = await fetch("SELECT min(seq) - 1 FROM ledger_seals")
        self._keeps()
        while last is not None:
            rows = await self._connection.fetch(_SEALS, last, _PAGE)
            if not rows:
                break
            await self._page([(Seal(*row[:5]), None if row[5] is None else Facts(*row[5:])) for row in rows])
            last = rows[-1][0]
        await self._nothing_beyond()
        if self._kept is not None and self._tree.size < self._kept.size:
            raise _Broken(
                f"ledger_seals: {self._tree.size} transfers are sealed, the checkpoint that was kept is of"
                f" {self._kept.size}: the end was removed"
            )
        if (passed := await fetch(_PASSED_OVER)) is not None:
            raise _Broken(f"ledger_transfers id={passed}: has no seal, while what was committed after it has one")

    async def _page(self, page: Sequence[tuple[Seal, Facts | None]]) -> None:
        loaded = await records.sealables(self._connection, [facts for _, facts in page if facts is not None])
        sealables = {one.facts.id: one for one in loaded}
        sizes = (self._tree.size, self._tree.size + len(page))
        blocks = {block.size: block for block in await self._blocks_between(*sizes)}
        tiles: list[Tile] = []
        for seal, facts in page:
            if seal.seq != self._tree.size:
                raise _Broken(f"ledger_seals seq={self._tree.size}: is missing")
            if facts is None:
                raise _Broken(f"ledger_transfers id={seal.transfer}: is missing; it was sealed as seq={seal.seq}")
            leaf = self._leaf(seal, sealables[seal.transfer])
            self._chain = seal.chain
            tiles += self._tree.append(leaf)
            self._keeps()
            if (block := blocks.pop(self._tree.size, None)) is not None:
                self._check_block(block)
        await self._check_tiles(tiles)

    def _leaf(self, seal: Seal, one: Sealable) -> bytes:
        """The leaf computed again; when it is not the sealed one, says which row was changed."""
        leaf = leaf_hash(leaf_text(one, bytes(seal.salt)).encode())
        if link(self._chain, leaf) == seal.chain:
            if leaf != seal.leaf:
                raise _Broken(f"ledger_seals seq={seal.seq}: its leaf was changed")
            return leaf
        if leaf == seal.leaf:
            raise _Broken(f"ledger_seals seq={seal.seq}: its link was changed, or what stands before it")
        if link(self._chain, bytes(seal.leaf)) == seal.chain:
            raise _Broken(
                f"ledger_transfers id={seal.transfer} (seq={seal.seq}): the transfer, its entries (accounts"
                f" {sorted({entry.account for entry in one.entries})}), its movements of lots or its salt are not what"
                " was sealed"
            )
        raise _Broken(f"ledger_seals seq={seal.seq}: is not what was sealed there")

    async def _blocks_between(self, above: int, up_to: int) -> list[Block]:
        rows = await self._connection.fetch(
            "SELECT number, size, sealed_at, key, checkpoint FROM ledger_seal_blocks"
            " WHERE size > $1 AND size <= $2 ORDER BY size",
            above,
            up_to,
        )
        return [Block(*row) for row in rows]

    def _check_block(self, block: Block) -> None:
        self._blocks += 1
        place = f"ledger_seal_blocks number={block.number}"
        if block.number != self._blocks:
            raise _Broken(f"ledger_seal_blocks number={self._blocks}: is missing, or stands in another place")
        try:
            found = Checkpoint.opened(block.checkpoint, Verifier(self._log or "", bytes(block.key)))
        except ProofInvalid as error:
            raise _Broken(f"{place}: {error}") from error
        right = (self._tree.size, self._tree.root(), self._chain, microseconds(block.sealed_at))
        if found[1:] != right:
            raise _Broken(f"{place}: its checkpoint is not of the rows up to it")

    async def _check_tiles(self, tiles: Sequence[Tile]) -> None:
        if not tiles:
            return
        right = {(one.level, one.place): one.hash for one in tiles}
        rows = await self._connection.fetch(_TILES, [level for level, _ in right], [place for _, place in right])
        for level, place, found in rows:
            if found != right[level, place]:
                raise _Broken(f"ledger_seal_tiles level={level} place={place}: is not the hash of the seals below it")
        self._tiles += len(right)

    async def _nothing_beyond(self) -> None:
        """Rows beside those that follow from the seals, and the last block."""
        counts = await self._connection.fetchrow(
            "SELECT (SELECT count(*) FROM ledger_seal_blocks), (SELECT count(*) FROM ledger_seal_tiles),"
            " coalesce((SELECT max(size) FROM ledger_seal_blocks), 0)"
        )
        if counts[2] != self._tree.size:
            raise _Broken(f"ledger_seals seq={min(counts[2], self._tree.size)}: the newest block ends elsewhere")
        if counts[0] != self._blocks:
            raise _Broken(f"ledger_seal_blocks: there are {counts[0]} rows, {self._blocks} belong there")
        if counts[1] != self._tiles:
            raise _Broken(f"ledger_seal_tiles: there are {counts[1]} rows, {self._tiles} belong there")

    def _keeps(self) -> None:
        kept = self._kept
        if kept is not None and kept.size == self._tree.size and kept.root != self._tree.root():
            raise _Broken(f"ledger_seals: the first {kept.size} rows are not those of the checkpoint that was kept")
