"""The ledger sealed on real PostgreSQL: what is committed is in the tree once, and no changed row goes unnoticed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from siyu.ledger import AccountName, Command, Flow, Ledger, Leg, Reverse, Role, derived_key
from siyu.ledger import seal_records as records
from siyu.ledger.seal_check import Kept, first_broken
from siyu.ledger.sealing import BLOCK_MAX, Sealer, seal_all
from siyu.store.postgres import Database, driver_of
from siyu.trust import Checkpoint, Verifier

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 6, 1, 2, tzinfo=UTC)
KEYS = count()
SECRET = b"the secret of this installation"


def now() -> datetime:
    return NOW


def account(role: Role, holder: str = "1") -> AccountName:
    return AccountName("points", holder, role)


def command(part: Any, **more: Any) -> Command:
    key = derived_key("seal", next(KEYS))
    return Command(key, key, more.pop("kind", "test"), (part,), NOW, **more)


def earn(amount: int, holder: str = "1") -> Flow:
    return Flow((Leg(account(Role.ISSUED, holder), account(Role.AVAILABLE, holder)),), amount)


def spend(amount: int, holder: str = "1") -> Flow:
    return Flow((Leg(account(Role.AVAILABLE, holder), account(Role.REDEEMED, holder)),), amount)


async def post(db: Database, *commands: Command) -> list[int]:
    async with db.begin() as conn:
        return [one.transfer for one in await Ledger(ZONE).post(await driver_of(conn), commands)]


async def seal(db: Database) -> int:
    return await seal_all(db, Sealer(SECRET), now)


async def broken(db: Database, kept: Kept | None = None) -> str | None:
    async with db.driver() as connection:
        return await first_broken(connection, kept)


TABLES = ("ledger_transfers", "ledger_entries", "ledger_lot_moves", "ledger_seals", "ledger_seal_tiles",
          "ledger_seal_blocks")  # fmt: skip

KEYS_OF = [
    *((table, f"pk_{table}") for table in TABLES),
    ("ledger_transfers", "uq_ledger_transfers_key"),
    ("ledger_seals", "uq_ledger_seals_transfer"),
    ("ledger_seal_blocks", "uq_ledger_seal_blocks_size"),
]


@asynccontextmanager
async def unguarded(db: Database, *, keep: bool = False) -> AsyncIterator[Any]:
    """What a superuser can do: triggers, rights and keys are out of the way. Undone at the end, unless kept."""
    async with db.driver() as connection:
        transaction = connection.transaction()
        await transaction.start()
        if not keep:
            for table, key in KEYS_OF:
                await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {key}")
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            await connection.execute(f"GRANT UPDATE, DELETE ON {table} TO CURRENT_USER")
        try:
            yield connection
            for table in TABLES if keep else ():
                await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        finally:
            await (transaction.commit() if keep else transaction.rollback())


async def broken_by(db: Database, statement: str, *arguments: Any) -> str | None:
    """What the check finds once a statement was carried out. Nothing of it stays."""
    async with unguarded(db) as connection:
        done = await connection.execute(statement, *arguments)
        assert not done.endswith(" 0"), statement
        return await first_broken(connection)


@pytest.fixture
async def ledger(db: Database, right_ledger: None) -> Database:
    await db.create_all()
    return db


@pytest.fixture
async def open_ledger(db: Database) -> Database:
    """One that a test breaks."""
    await db.create_all()
    return db


async def test_what_is_committed_is_sealed_once_in_its_order(ledger: Database) -> None:
    first = await post(ledger, *(command(earn(10)) for _ in range(5)))
    assert await seal(ledger) == 5
    assert await seal(ledger) == 0
    second = await post(ledger, command(spend(100)), command(spend(3)), command(earn(4, "2")))
    assert await seal(ledger) == 3
    async with ledger.driver() as connection:
        rows = await connection.fetch("SELECT seq, transfer FROM ledger_seals ORDER BY seq")
        state = await records.state(connection)
        newest, oldest = await records.blocks(connection, 2**62, 10)
    assert [tuple(row) for row in rows] == list(enumerate([*sorted(first), *sorted(second)]))
    assert state == (8, NOW, 0, None)
    assert (oldest.number, oldest.size, newest.number, newest.size) == (1, 5, 2, 8)
    signer = Sealer(SECRET).signer((await cursor(ledger)).log)
    assert Checkpoint.opened(newest.checkpoint, signer.verifier).size == 8
    assert newest.key == signer.verifier.public


async def cursor(db: Database) -> records.Cursor:
    async with db.begin() as conn:
        found = await records.claim(await driver_of(conn))
    assert found is not None
    return found


async def test_what_an_older_transaction_may_still_add_waits(ledger: Database) -> None:
    await post(ledger, command(earn(1)))
    assert await seal(ledger) == 1
    slow = await ledger_connection(ledger)
    work = slow.transaction()
    await work.start()
    (early,) = [one.transfer for one in await Ledger(ZONE).post(slow, [command(earn(1, "slow"))])]
    (late,) = await post(ledger, command(earn(2)))
    assert await seal(ledger) == 0, "the order before it is not final yet"
    async with ledger.driver() as connection:
        assert (await records.state(connection)).waiting == 1
    await work.commit()
    await slow.close()
    assert await seal(ledger) == 2
    async with ledger.driver() as connection:
        rows = await connection.fetch("SELECT transfer FROM ledger_seals ORDER BY seq")
    assert [row[0] for row in rows[1:]] == [early, late]


async def ledger_connection(db: Database) -> Any:
    async with db.driver() as connection:
        dsn = connection._params, connection._addr  # the same server and database
    params, address = dsn
    host, port = (address, None) if isinstance(address, str) else address
    if isinstance(address, str):
        folder, _, number = address.rpartition("/.s.PGSQL.")
        host, port = folder, int(number)
    return await asyncpg.connect(
        host=host, port=port, user=params.user, password=params.password, database=params.database
    )


async def test_a_block_is_limited_and_what_remains_follows(ledger: Database) -> None:
    for _ in range(3):
        await post(ledger, *(command(earn(1)) for _ in range(400)))
    assert await seal(ledger) == 1_200
    async with ledger.driver() as connection:
        sizes = [block.size for block in await records.blocks(connection, 2**62, 10)]
        tiles = await connection.fetchval("SELECT count(*) FROM ledger_seal_tiles")
    assert sizes == [1_200, BLOCK_MAX]
    assert tiles == 4


async def test_nothing_of_the_ledger_is_locked_by_the_sealer(ledger: Database) -> None:
    await post(ledger, command(earn(10)))
    await seal(ledger)
    await post(ledger, command(earn(10)))
    async with ledger.begin() as conn:
        connection = await driver_of(conn)
        assert await Sealer(SECRET).seal_block(connection, NOW) == 1
        locks = await connection.fetch(
            "SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE l.pid = pg_backend_pid() AND c.relname IN"
            " ('ledger_transfers', 'ledger_entries', 'ledger_accounts', 'ledger_lot_moves', 'ledger_lots')"
        )
        assert {row[1] for row in locks} == {"AccessShareLock"}
        await asyncio.wait_for(post(ledger, command(spend(5))), 20)


CHANGES = (
    ("ledger_transfers", "kind = kind || 'x'"),
    ("ledger_transfers", "reason = 'no reason'"),
    ("ledger_transfers", "cause = 'order/1'"),
    ("ledger_transfers", "by = 'me'"),
    ("ledger_transfers", "key = gen_random_uuid()"),
    ("ledger_transfers", "request = gen_random_uuid()"),
    ("ledger_transfers", "at = at + interval '1 microsecond'"),
    ("ledger_transfers", "occurred_at = occurred_at - interval '1 microsecond'"),
    ("ledger_transfers", "corrects = 1"),
    ("ledger_transfers", "refused = 'NO'"),
    ("ledger_transfers", "answer = answer || ' '"),
    ("ledger_transfers", "committed_in = committed_in - 1"),
    ("ledger_entries", "amount = amount + 1"),
    ("ledger_entries", "balance_after = balance_after + 1"),
    ("ledger_entries", "at = at + interval '1 microsecond'"),
    ("ledger_entries", "version = version + 1000"),
    ("ledger_lot_moves", "amount = amount + 1"),
    ("ledger_lot_moves", "lot = lot + 1"),
)


async def test_a_changed_row_is_named(ledger: Database) -> None:
    transfers = sorted(await post(ledger, *(command(earn(10)) for _ in range(6))))
    await seal(ledger)
    assert await broken(ledger) is None
    for table, change in CHANGES:
        column = "id" if table == "ledger_transfers" else "transfer"
        found = await broken_by(ledger, f"UPDATE {table} SET {change} WHERE {column} = $1", transfers[3])
        assert found is not None and found.startswith(f"ledger_transfers id={transfers[3]} "), (change, found)


def flipped(column: str, kind: str) -> str:
    """SQL of a column with one bit changed; $2 says which."""
    if kind == "bytea":
        return f"set_bit({column}, $2 % (8 * length({column})), 1 - get_bit({column}, $2 % (8 * length({column}))))"
    if kind == "text":
        return f"overlay(coalesce({column}, '') PLACING '~' FROM 1 + $2 % (1 + length(coalesce({column}, ''))) FOR 1)"
    if kind == "uuid":
        return f"encode(set_bit(uuid_send({column}), $2, 1 - get_bit(uuid_send({column}), $2)), 'hex')::uuid"
    if kind == "timestamp with time zone":
        return f"{column} + interval '1 microsecond' * (1 + $2)"
    return f"coalesce({column}, 0) # (1::{kind} << {'$2' if kind == 'bigint' else '($2 % 12)'})"


async def test_one_bit_changed_in_any_column_of_any_row_is_found(ledger: Database) -> None:
    for _ in range(3):
        await post(ledger, *(command(earn(10)) for _ in range(100)))
        await seal(ledger)
    chosen = random.Random()
    async with ledger.driver() as connection:
        columns = await connection.fetch(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_name = ANY($1)",
            TABLES,
        )
        rows = {name: [row[0] for row in await connection.fetch(f"SELECT ctid FROM {name}")] for name in TABLES}
    assert len(columns) == 13 + 6 + 3 + 5 + 3 + 5
    for table, column, kind in columns:
        for place in chosen.sample(rows[table], min(2, len(rows[table]))):
            changed = flipped(f'"{column}"', kind)
            statement = f'UPDATE {table} SET "{column}" = {changed} WHERE ctid = $1'
            bit = chosen.randrange(62)
            found = await broken_by(ledger, statement, place, bit)
            assert found is not None and found.startswith("ledger_"), (table, column, place, bit, found)


SEAL_CHANGES = (
    ("UPDATE ledger_seals SET leaf = set_byte(leaf, 31, get_byte(leaf, 31) # 1) WHERE seq = 3", "ledger_seals seq=3"),
    ("UPDATE ledger_seals SET chain = set_byte(chain, 0, get_byte(chain, 0) # 8) WHERE seq = 3", "ledger_seals seq=3"),
    ("UPDATE ledger_seals SET salt = set_byte(salt, 5, get_byte(salt, 5) # 1) WHERE seq = 3", "ledger_transfers id="),
    ("UPDATE ledger_seals SET seq = 4000 WHERE seq = 599", "ledger_seals seq=599"),
    ("UPDATE ledger_seals SET seq = -1 WHERE seq = 0", "ledger_seals seq=0"),
    ("UPDATE ledger_seals SET transfer = -7 WHERE seq = 3", "ledger_transfers id=-7"),
    ("DELETE FROM ledger_seals WHERE seq = 3", "ledger_seals seq=3"),
    ("DELETE FROM ledger_seals WHERE seq >= 590", "ledger_seals seq=590"),
    ("UPDATE ledger_seals SET seq = CASE seq WHEN 3 THEN 7 ELSE 3 END WHERE seq IN (3, 7)", "ledger_seals seq=3"),
    ("INSERT INTO ledger_seals SELECT 600, 424242, salt, leaf, chain FROM ledger_seals WHERE seq = 3",
     "ledger_transfers id=424242"),
    ("UPDATE ledger_seal_tiles SET hash = set_byte(hash, 9, get_byte(hash, 9) # 1) WHERE place = 1",
     "ledger_seal_tiles level=1 place=1"),
    ("DELETE FROM ledger_seal_tiles WHERE place = 0", "ledger_seal_tiles level=1 place=0"),
    ("INSERT INTO ledger_seal_tiles SELECT 2, 0, hash FROM ledger_seal_tiles WHERE place = 0", "ledger_seal_tiles"),
    ("UPDATE ledger_seal_tiles SET level = 3 WHERE place = 0", "ledger_seal_tiles level=1 place=0"),
    ("UPDATE ledger_seal_blocks SET checkpoint = translate(checkpoint, 'ABCDEFGH', 'BADCFEHG') WHERE number = 2",
     "ledger_seal_blocks number=2"),
    ("UPDATE ledger_seal_blocks SET sealed_at = sealed_at + interval '1 second' WHERE number = 2",
     "ledger_seal_blocks number=2"),
    ("UPDATE ledger_seal_blocks SET key = set_byte(key, 0, get_byte(key, 0) # 1) WHERE number = 2",
     "ledger_seal_blocks number=2"),
    ("UPDATE ledger_seal_blocks SET size = size + 1 WHERE number = 2", "ledger_seal_blocks number=2"),
    ("UPDATE ledger_seal_blocks SET number = 77 WHERE number = 2", "ledger_seal_blocks number=2"),
    ("DELETE FROM ledger_seal_blocks WHERE number = 2", "ledger_seal_blocks number=2"),
    ("DELETE FROM ledger_seal_blocks WHERE number = 3", "ledger_seals seq=400"),
    ("INSERT INTO ledger_seal_blocks SELECT 4, 601, sealed_at, key, checkpoint FROM ledger_seal_blocks"
     " WHERE number = 3", "ledger_seals seq=600"),
    ("UPDATE ledger_sealer SET log = 'siyu-ledger/other'", "ledger_seal_blocks number=1"),
)  # fmt: skip


async def test_a_changed_seal_is_named(ledger: Database) -> None:
    for _ in range(3):
        await post(ledger, *(command(earn(10)) for _ in range(200)))
        await seal(ledger)
    for change, named in SEAL_CHANGES:
        found = await broken_by(ledger, change)
        assert found is not None and found.startswith(named), (change, found)


ROWS = (
    ("DELETE FROM ledger_transfers WHERE id = {}", "ledger_transfers id={}: is missing"),
    ("DELETE FROM ledger_entries WHERE transfer = {} AND amount > 0", "ledger_transfers id={} "),
    ("DELETE FROM ledger_lot_moves WHERE transfer = {}", "ledger_transfers id={} "),
    ("INSERT INTO ledger_entries SELECT account, 900 + version, transfer, amount, balance_after, at"
     " FROM ledger_entries WHERE transfer = {}", "ledger_transfers id={} "),
    ("INSERT INTO ledger_transfers SELECT -{}, gen_random_uuid(), request, kind, at, occurred_at, reason, cause, by,"
     " corrects, refused, answer, committed_in FROM ledger_transfers WHERE id = {}",
     "ledger_transfers id=-{}: has no seal"),
    ("UPDATE ledger_accounts SET holder = 'thief' WHERE id = (SELECT account FROM ledger_entries WHERE transfer = {}"
     " AND amount > 0)", "ledger_transfers id="),
    ("UPDATE ledger_transfers SET id = CASE id WHEN {0} THEN {0} + 1 ELSE {0} END WHERE id IN ({0}, {0} + 1)",
     "ledger_transfers id={} "),
    ("UPDATE ledger_entries SET transfer = CASE transfer WHEN {0} THEN {0} + 1 ELSE {0} END"
     " WHERE transfer IN ({0}, {0} + 1)", "ledger_transfers id={} "),
)  # fmt: skip


async def test_deleted_inserted_and_swapped_rows_are_named(ledger: Database) -> None:
    transfers = sorted(await post(ledger, *(command(earn(10 + n)) for n in range(6))))
    await seal(ledger)
    wrong = str(transfers[3])
    for change, named in ROWS:
        found = await broken_by(ledger, change.replace("{}", wrong).replace("{0}", wrong))
        assert found is not None and found.startswith(named.replace("{}", wrong)), (change, found)


async def test_an_end_that_was_cut_off_cleanly_is_seen_from_a_checkpoint_kept_outside(open_ledger: Database) -> None:
    await post(open_ledger, *(command(earn(1)) for _ in range(5)))
    await seal(open_ledger)
    async with open_ledger.driver() as connection:
        log = (await cursor(open_ledger)).log
        (block,) = await records.blocks(connection, 2**62, 1)
    await post(open_ledger, *(command(earn(1)) for _ in range(5)))
    await seal(open_ledger)
    async with open_ledger.driver() as connection:
        (newest,) = await records.blocks(connection, 2**62, 1)
    verifier = Verifier(log, block.key)
    first, second = (Checkpoint.opened(one.checkpoint, verifier) for one in (block, newest))
    for kept in (first, second):
        assert await broken(open_ledger, Kept(kept.size, kept.root)) is None
    other = await broken(open_ledger, Kept(first.size, second.root))
    assert other is not None and "not those of the checkpoint" in other
    async with unguarded(open_ledger, keep=True) as connection:
        await connection.execute(
            "DELETE FROM ledger_transfers WHERE id IN (SELECT transfer FROM ledger_seals WHERE seq > 4)"
        )
        await connection.execute("DELETE FROM ledger_seals WHERE seq > 4")
        await connection.execute("DELETE FROM ledger_seal_blocks WHERE number > 1")
    assert await broken(open_ledger) is None, "from inside there is nothing to be seen"
    cut = await broken(open_ledger, Kept(second.size, second.root))
    assert cut is not None and "the end was removed" in cut


async def test_a_database_restored_elsewhere_goes_on_from_what_is_sealed(ledger: Database) -> None:
    await post(ledger, *(command(earn(10)) for _ in range(4)))
    await seal(ledger)
    waiting = await post(ledger, command(spend(1)), command(spend(2)))
    async with unguarded(ledger, keep=True) as connection:
        # As another cluster would have left it: its numbers of transactions are far ahead of ours.
        await connection.execute(
            "UPDATE ledger_transfers SET committed_in = committed_in + 10000000000 WHERE id = $1", waiting[1]
        )
        await connection.execute(
            "UPDATE ledger_sealer SET cluster = 'another', committed_in = committed_in + 10000000000"
        )
    fresh = await post(ledger, command(spend(3)))
    total = 0
    while sealed := await seal(ledger):
        total += sealed
    assert total == 3
    async with ledger.driver() as connection:
        rows = [row[0] for row in await connection.fetch("SELECT transfer FROM ledger_seals ORDER BY seq")]
    assert rows[4:] == [waiting[1], waiting[0], *fresh]
    await post(ledger, command(spend(1)))
    assert await seal(ledger) == 1


@pytest.mark.parametrize("statement", ["UPDATE {} SET {}", "DELETE FROM {}", "TRUNCATE {}"])
async def test_seals_are_only_ever_added(ledger: Database, statement: str) -> None:
    await post(ledger, command(earn(1)))
    await seal(ledger)
    async with ledger.driver() as connection:
        for table, change in (
            ("ledger_seals", "seq = 9"),
            ("ledger_seal_tiles", "level = 9"),
            ("ledger_seal_blocks", "size = 9"),
        ):
            with pytest.raises((asyncpg.IntegrityConstraintViolationError, asyncpg.InsufficientPrivilegeError)):
                await connection.execute(statement.format(table, change))


async def test_a_reversal_and_a_refusal_are_sealed_too(ledger: Database) -> None:
    (earned,) = await post(ledger, command(earn(10)))
    back = Reverse(earned, 4, (account(Role.AVAILABLE),), account(Role.DEBT))
    await post(ledger, command(back, corrects=earned, kind="refund"), command(spend(50)))
    assert await seal(ledger) == 3
    assert await broken(ledger) is None
