"""Every SQL statement of the sealer and of proofs. `connection` is a raw asyncpg connection.

Nothing here locks a row of the ledger: transfers, entries and movements of lots are read as they were committed, which
is how they stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from siyu.ledger.seal import EntryFacts, Facts, Sealable
from siyu.trust.merkle import TILE_HEIGHT, Frontier, Range, Subtree, Tile, root_of, subtrees

_OLDEST: Final = "(pg_snapshot_xmin(pg_current_snapshot())::text)::bigint"
"""The oldest transaction at work: what a smaller number wrote is committed, and nothing is added to it."""
_FACTS: Final = (
    "t.id, t.key, t.request, t.kind, t.at, t.occurred_at, t.reason, t.cause, t.by, t.corrects, t.refused, t.answer,"
    " t.committed_in"
)
_NOT_SEALED: Final = "NOT EXISTS (SELECT FROM ledger_seals s WHERE s.transfer = t.id)"
_NEXT: Final = f"""
SELECT {_FACTS} FROM ledger_transfers t
WHERE (t.committed_in, t.id) > ($1, $2) AND t.committed_in < {_OLDEST}
ORDER BY t.committed_in, t.id LIMIT $3
"""
_NEXT_RESTORED: Final = f"""
SELECT {_FACTS} FROM ledger_transfers t
WHERE (t.committed_in, t.id) > ($1, $2) AND t.committed_in < {_OLDEST} AND {_NOT_SEALED}
ORDER BY t.committed_in, t.id LIMIT $3
"""
_FOREIGN: Final = f"""
SELECT {_FACTS} FROM ledger_transfers t
WHERE t.committed_in >= (pg_snapshot_xmax(pg_current_snapshot())::text)::bigint AND {_NOT_SEALED}
ORDER BY t.committed_in, t.id LIMIT $1
"""
"""Numbers that this cluster has not given yet: written by the one that the database was restored from."""
_ENTRIES: Final = """
SELECT e.transfer, e.account, a.holder, a.currency, a.role, e.version, e.amount, e.balance_after, e.at
FROM ledger_entries e LEFT JOIN ledger_accounts a ON a.id = e.account
WHERE e.transfer = ANY($1::bigint[]) ORDER BY e.transfer, e.account, e.version
"""
_MOVES: Final = """
SELECT transfer, lot, amount FROM ledger_lot_moves WHERE transfer = ANY($1::bigint[]) ORDER BY transfer, lot
"""
_LEAVES: Final = """
SELECT w.n, s.leaf FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS w(n, start, stop)
JOIN ledger_seals s ON s.seq >= w.start AND s.seq < w.stop ORDER BY w.n, s.seq
"""
_TILES: Final = """
SELECT w.n, t.hash FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::smallint[]) AS w(n, start, stop, level)
JOIN ledger_seal_tiles t ON t.level = w.level AND t.place >= w.start AND t.place < w.stop ORDER BY w.n, t.place
"""
_WAITING_MAX: Final = 1_000_000


class Cursor(NamedTuple):
    """Where the sealer is."""

    log: str
    cluster: str
    committed_in: int
    transfer: int
    restored: bool


class Head(NamedTuple):
    """The newest seal, and the newest block."""

    size: int
    chain: bytes
    block: int


class Block(NamedTuple):
    """A signed checkpoint."""

    number: int
    size: int
    sealed_at: datetime
    key: bytes
    checkpoint: str


class Seal(NamedTuple):
    """One sealed transfer."""

    seq: int
    transfer: int
    salt: bytes
    leaf: bytes
    chain: bytes


class SealState(NamedTuple):
    """How far sealing is."""

    sealed: int
    sealed_at: datetime | None
    """When the newest block was sealed."""
    waiting: int
    """Transfers not sealed yet (counted up to a million)."""
    oldest_at: datetime | None
    """When the oldest of them was booked."""

    def lag_seconds(self, now: datetime) -> float:
        """Age of the oldest transfer that waits; 0: none does."""
        return 0.0 if self.oldest_at is None else max(0.0, (now - self.oldest_at).total_seconds())


async def open_sealer(connection: Any, log: str) -> None:
    """Make the sealer's row, when there is none yet."""
    await connection.execute(
        "INSERT INTO ledger_sealer (log, cluster, committed_in, transfer, restored)"
        " SELECT $1, system_identifier::text, 0, 0, false FROM pg_control_system() ON CONFLICT DO NOTHING",
        log,
    )


async def claim(connection: Any) -> Cursor | None:
    """Be the one who seals until the transaction ends; None while another is."""
    row = await connection.fetchrow(
        "SELECT log, cluster, committed_in, transfer, restored FROM ledger_sealer FOR UPDATE SKIP LOCKED"
    )
    return None if row is None else Cursor(*row)


async def is_open(connection: Any) -> bool:
    """Whether anything was ever sealed here."""
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM ledger_sealer)"))


async def cluster_of(connection: Any) -> str:
    """Names the PostgreSQL that numbers the transactions."""
    return str(await connection.fetchval("SELECT system_identifier::text FROM pg_control_system()"))


async def move(connection: Any, cursor: Cursor) -> None:
    """Remember where the sealer is."""
    await connection.execute(
        "UPDATE ledger_sealer SET cluster = $1, committed_in = $2, transfer = $3, restored = $4",
        *cursor[1:],
    )


async def next_facts(connection: Any, cursor: Cursor, limit: int) -> list[Facts]:
    """The transfers that follow, final in their order."""
    sql = _NEXT_RESTORED if cursor.restored else _NEXT
    rows = await connection.fetch(sql, cursor.committed_in, cursor.transfer, limit)
    return [Facts(*row) for row in rows]


async def foreign_facts(connection: Any, limit: int) -> list[Facts]:
    """Transfers that another cluster committed and did not seal."""
    return [Facts(*row) for row in await connection.fetch(_FOREIGN, limit)]


async def sealables(connection: Any, facts: Sequence[Facts]) -> list[Sealable]:
    """Transfers with their entries and movements of lots."""
    ids = [one.id for one in facts]
    entries: dict[int, list[EntryFacts]] = {}
    for row in await connection.fetch(_ENTRIES, ids):
        entries.setdefault(row[0], []).append(EntryFacts(*row))
    moves: dict[int, list[tuple[int, int]]] = {}
    for transfer, lot, units in await connection.fetch(_MOVES, ids):
        moves.setdefault(transfer, []).append((lot, units))
    return [Sealable(one, entries.get(one.id, ()), moves.get(one.id, ())) for one in facts]


async def head(connection: Any) -> Head | None:
    """What the next block stands on; None when there is none."""
    row = await connection.fetchrow(
        "SELECT s.seq + 1, s.chain, b.number FROM (SELECT seq, chain FROM ledger_seals ORDER BY seq DESC LIMIT 1) s,"
        " (SELECT number FROM ledger_seal_blocks ORDER BY number DESC LIMIT 1) b"
    )
    return None if row is None else Head(*row)


async def read_hashes(connection: Any, wanted: Iterable[Subtree]) -> dict[Subtree, bytes]:
    """Hashes of complete subtrees, from the tiles below them: at most 128 rows each. Raises KeyError for one that is
    not complete."""
    leaves = [one for one in dict.fromkeys(wanted) if one.height < TILE_HEIGHT]
    tiles = [one for one in dict.fromkeys(wanted) if one.height >= TILE_HEIGHT]
    rows: dict[Subtree, list[bytes]] = {}
    if leaves:
        for n, one in await connection.fetch(_LEAVES, *_spans(leaves)):
            rows.setdefault(leaves[n], []).append(one)
    if tiles:
        levels = [one.height // TILE_HEIGHT for one in tiles]
        for n, one in await connection.fetch(_TILES, *_spans(tiles), levels):
            rows.setdefault(tiles[n], []).append(one)
    found = {one: root_of(hashes) for one, hashes in rows.items() if len(hashes) == 1 << one.height % TILE_HEIGHT}
    if missing := [one for one in (*leaves, *tiles) if one not in found]:
        raise KeyError(missing[0])
    return found


def _spans(wanted: Sequence[Subtree]) -> tuple[list[int], list[int], list[int]]:
    wide = [one.height % TILE_HEIGHT for one in wanted]
    starts = [one.place << height for one, height in zip(wanted, wide, strict=True)]
    ends = [(one.place + 1) << height for one, height in zip(wanted, wide, strict=True)]
    return list(range(len(wanted))), starts, ends


async def frontier(connection: Any, size: int) -> Frontier:
    """The right edge of the tree of that size."""
    edge = list(subtrees(Range(0, size)))
    hashes: Mapping[Subtree, bytes] = await read_hashes(connection, edge) if edge else {}
    return Frontier(size, [hashes[one] for one in edge])


async def add_block(connection: Any, sealed: Sequence[Seal], tiles: Sequence[Tile], block: Block) -> None:
    """Write a block: its seals, the tiles it completed, its checkpoint."""
    await connection.execute(
        "INSERT INTO ledger_seals (seq, transfer, salt, leaf, chain)"
        " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[])",
        *(list(column) for column in zip(*sealed, strict=True)),
    )
    if tiles:
        await connection.execute(
            "INSERT INTO ledger_seal_tiles (level, place, hash)"
            " SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])",
            *(list(column) for column in zip(*tiles, strict=True)),
        )
    await connection.execute(
        "INSERT INTO ledger_seal_blocks (number, size, sealed_at, key, checkpoint) VALUES ($1, $2, $3, $4, $5)", *block
    )


_BLOCK: Final = "SELECT number, size, sealed_at, key, checkpoint FROM ledger_seal_blocks"


async def blocks(connection: Any, before: int, limit: int) -> list[Block]:
    """Checkpoints below a number, newest first."""
    rows = await connection.fetch(f"{_BLOCK} WHERE number < $1 ORDER BY number DESC LIMIT $2", before, limit)
    return [Block(*row) for row in rows]


async def block_of_size(connection: Any, size: int) -> Block | None:
    """The checkpoint of that size."""
    row = await connection.fetchrow(f"{_BLOCK} WHERE size = $1", size)
    return None if row is None else Block(*row)


async def seal_of(connection: Any, transfer: int) -> Seal | None:
    """The seal of a transfer."""
    row = await connection.fetchrow(
        "SELECT seq, transfer, salt, leaf, chain FROM ledger_seals WHERE transfer = $1", transfer
    )
    return None if row is None else Seal(*row)


async def sealed_among(connection: Any, transfers: Sequence[int]) -> frozenset[int]:
    """Of these transfers the sealed ones."""
    rows = await connection.fetch("SELECT transfer FROM ledger_seals WHERE transfer = ANY($1::bigint[])", transfers)
    return frozenset(row[0] for row in rows)


async def facts_of(connection: Any, transfer: int) -> Facts | None:
    """One transfer."""
    row = await connection.fetchrow(f"SELECT {_FACTS} FROM ledger_transfers t WHERE t.id = $1", transfer)
    return None if row is None else Facts(*row)


async def state(connection: Any) -> SealState:
    """How far sealing is. Reads what waits, not what is sealed."""
    row = await connection.fetchrow(
        f"""
        WITH c AS (SELECT coalesce(max(committed_in), 0) AS committed_in, coalesce(max(transfer), 0) AS transfer
                   FROM ledger_sealer),
        w AS (SELECT t.at FROM ledger_transfers t, c
              WHERE (t.committed_in, t.id) > (c.committed_in, c.transfer) AND {_NOT_SEALED} LIMIT {_WAITING_MAX})
        SELECT coalesce((SELECT max(seq) + 1 FROM ledger_seals), 0),
               (SELECT sealed_at FROM ledger_seal_blocks ORDER BY number DESC LIMIT 1),
               (SELECT count(*) FROM w), (SELECT min(at) FROM w)
        """
    )
    return SealState(*row)
