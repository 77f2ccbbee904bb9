"""Sealing: transfers that are committed for good get their place in the chain and the tree, a signed block at a time.

Beside the hot path: it reads what others committed and locks nothing but its own row. By that lock one process seals at
a time; whoever is killed leaves no half of a block.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from siyu.clock import Now
from siyu.ledger import seal_records as records
from siyu.ledger.seal import Facts, leaf_text, microseconds
from siyu.ledger.seal_records import Block, Cursor, Head, Seal
from siyu.store.postgres import Database, driver_of
from siyu.trust import Checkpoint, Signer
from siyu.trust.chain import START, link
from siyu.trust.disclosure import SALT_BYTES
from siyu.trust.merkle import Tile, leaf_hash

BLOCK_MAX: Final = 1_000
"""Transfers in a block."""
_ORIGIN: Final = "siyu-ledger/"
Random = Callable[[int], bytes]


class Sealer:
    """Seals under the key that follows from the installation's secret. One per process."""

    def __init__(self, secret: bytes, random: Random = secrets.token_bytes) -> None:
        self._secret = secret
        self._random = random

    def signer(self, log: str) -> Signer:
        """The key of a log."""
        return Signer.derived(log, self._secret)

    async def seal_block(self, connection: Any, now: datetime, limit: int = BLOCK_MAX) -> int:
        """Seal the next block; of how many transfers. 0: nothing is final yet, or another process seals.

        `connection`: raw asyncpg, in a transaction."""
        cursor = await records.claim(connection)
        if cursor is None:
            if not await records.is_open(connection):
                await records.open_sealer(connection, _ORIGIN + self._random(8).hex())
            return 0
        facts, after = await _next(connection, cursor, limit)
        if facts:
            before = await records.head(connection) or Head(0, START, 0)
            sealed, block, tiles = await self._sealed(connection, facts, before, cursor.log, now)
            await records.add_block(connection, sealed, tiles, block)
        if after != cursor:
            await records.move(connection, after)
        return len(facts)

    async def _sealed(
        self, connection: Any, facts: Sequence[Facts], before: Head, log: str, now: datetime
    ) -> tuple[list[Seal], Block, list[Tile]]:
        tree = await records.frontier(connection, before.size)
        sealed: list[Seal] = []
        tiles: list[Tile] = []
        chain = before.chain
        salts = self._random(SALT_BYTES * len(facts))
        for number, one in enumerate(await records.sealables(connection, facts)):
            salt = salts[SALT_BYTES * number : SALT_BYTES * (number + 1)]
            leaf = leaf_hash(leaf_text(one, salt).encode())
            chain = link(chain, leaf)
            sealed.append(Seal(tree.size, one.facts.id, salt, leaf, chain))
            tiles += tree.append(leaf)
        signer = self.signer(log)
        note = Checkpoint(log, tree.size, tree.root(), chain, microseconds(now)).signed(signer)
        return sealed, Block(before.block + 1, tree.size, now, signer.verifier.public, note), tiles


async def _next(connection: Any, cursor: Cursor, limit: int) -> tuple[list[Facts], Cursor]:
    """What follows, and where the sealer is after it.

    A database that was restored elsewhere numbers its transactions anew: what the other cluster committed and did not
    seal comes first, then everything from the beginning that has no seal."""
    cluster = await records.cluster_of(connection)
    if cursor.cluster != cluster:
        if facts := await records.foreign_facts(connection, limit):
            return facts, cursor
        cursor = cursor._replace(cluster=cluster, committed_in=0, transfer=0, restored=True)
    facts = await records.next_facts(connection, cursor, limit)
    if facts:
        cursor = cursor._replace(committed_in=facts[-1].committed_in, transfer=facts[-1].id)
    return facts, cursor


async def seal_all(db: Database, sealer: Sealer, now: Now, stopping: asyncio.Event | None = None) -> int:
    """Seal what is final, block by block, a transaction each; how many transfers. May run anywhere, and twice."""
    done = 0
    async with db.driver() as connection:
        ready = await records.is_open(connection)
    if not ready:
        await _block(db, sealer, now)
    while sealed := await _block(db, sealer, now):
        done += sealed
        if sealed < BLOCK_MAX or (stopping is not None and stopping.is_set()):
            break
    return done


async def _block(db: Database, sealer: Sealer, now: Now) -> int:
    async with db.begin() as conn:
        return await sealer.seal_block(await driver_of(conn), now())
