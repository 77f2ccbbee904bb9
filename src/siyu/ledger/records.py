"""Every SQL statement that posts. `connection` is a raw asyncpg connection inside a transaction; arrays in, arrays out,
so that many commands cost as many round trips as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.ledger.account import SIGN, Account, AccountName, Role
from siyu.ledger.book import Change, KeptLeg
from siyu.ledger.command import AtEnd, State
from siyu.ledger.currency import Currency, Rounding
from siyu.ledger.lot import Lot
from siyu.store.rows import columns, unnested

_NAMES: Final = "unnest($1::text[], $2::text[], $3::text[]) AS n(currency, holder, role)"
_FIND: Final = f"""
SELECT a.id, n.currency, n.holder, n.role FROM {_NAMES}
JOIN ledger_accounts a ON a.holder = n.holder AND a.currency = n.currency AND a.role = n.role
"""
_OPEN: Final = """
INSERT INTO ledger_accounts (currency, holder, role, sign)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[]) AS n(currency, holder, role, sign)
ORDER BY holder, currency, role ON CONFLICT DO NOTHING RETURNING id, currency, holder, role
"""
LOCK: Final = "SELECT id, balance, version FROM ledger_accounts WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE"
_LOCK_HOLDERS: Final = """
SELECT count(*) FROM (
  SELECT FROM ledger_accounts WHERE holder = ANY($1::text[]) ORDER BY id FOR UPDATE
) locked
"""
_KNOWN: Final = """
SELECT key, id, request, at, refused, answer, NULL::bigint[] FROM ledger_transfers WHERE key = ANY($1::uuid[])
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL,
                 ARRAY(SELECT nextval('ledger_transfer_numbers') FROM generate_series(1, $2::int))
"""
_LOTS: Final = """
SELECT id, account, earned_at, expires_at, amount, remaining FROM ledger_lots
WHERE account = ANY($1::bigint[]) AND remaining > 0
"""
_TAKEN: Final = """
WITH r AS (
  SELECT id AS root, id FROM ledger_transfers WHERE id = ANY($1::bigint[])
  UNION ALL SELECT corrects, id FROM ledger_transfers WHERE corrects = ANY($1::bigint[])
)
SELECT r.root, -sum(m.amount)::bigint, l.id, l.account, l.earned_at, l.expires_at, l.amount, l.remaining
FROM r JOIN ledger_lot_moves m ON m.transfer = r.id JOIN ledger_lots l ON l.id = m.lot
GROUP BY r.root, l.id
"""
_LEGS: Final = """
SELECT l.transfer, l.place, l.source, l.held, l.target, l.amount, l.posted, l.returned, l.reversed, l.state, l.ends_at,
       l.at_end, l.lot_expires_at, s.currency, s.holder, s.role, h.role, h.holder, t.role, t.holder
FROM ledger_legs l JOIN ledger_accounts s ON s.id = l.source JOIN ledger_accounts t ON t.id = l.target
LEFT JOIN ledger_accounts h ON h.id = l.held
WHERE l.transfer = ANY($1::bigint[]) ORDER BY l.transfer, l.place
"""

VERSION_GUARD: Final = "AND a.version = d.version"
"""Another's change since the account was read makes the whole write come to nothing."""
REMAINING_GUARD: Final = "AND l.remaining = d.remaining"
LEG_GUARD: Final = "AND l.state = d.state AND (l.posted, l.returned, l.reversed) = (d.posted, d.returned, d.reversed)"
"""A leg is decided once, from the state it was read in."""


_BIGINTS: Final = ("bigint",) * 10
_ACCOUNTS: Final = unnested(1, *_BIGINTS[:4])
_TRANSFERS: Final = unnested(
    5, "bigint", "uuid", "uuid", "text", "timestamptz", "timestamptz", "text", "text", "text", "bigint", "text", "text"
)
_ENTRIES: Final = unnested(17, *_BIGINTS[:5], "timestamptz")
_NEW_LOTS: Final = unnested(23, "bigint", "bigint", "timestamptz", "timestamptz", "bigint", "bigint")
_CHANGED_LOTS: Final = unnested(29, *_BIGINTS[:3])
_LOT_MOVES: Final = unnested(32, *_BIGINTS[:3])
_NEW_LEGS: Final = unnested(35, "bigint", "smallint", *_BIGINTS[:7], "text", "timestamptz", "text", "timestamptz")
_CHANGED_LEGS: Final = unnested(48, "bigint", "smallint", *_BIGINTS[:3], "text", *_BIGINTS[:3], "text")

WRITE: Final = f"""
WITH a AS (
  UPDATE ledger_accounts a SET balance = a.balance + d.amount, version = a.version + d.entries
  FROM {_ACCOUNTS} AS d(id, version, amount, entries)
  WHERE a.id = d.id {VERSION_GUARD} RETURNING 1
), t AS (
  INSERT INTO ledger_transfers (id, key, request, kind, at, occurred_at, reason, cause, by, corrects, refused, answer)
  SELECT * FROM {_TRANSFERS}
           AS n(id, key, request, kind, at, occurred_at, reason, cause, by, corrects, refused, answer)
  ORDER BY n.key ON CONFLICT (key) DO NOTHING RETURNING 1
), e AS (
  INSERT INTO ledger_entries (account, version, transfer, amount, balance_after, at) SELECT * FROM {_ENTRIES}
), n AS (
  INSERT INTO ledger_lots (id, account, earned_at, expires_at, amount, remaining) SELECT * FROM {_NEW_LOTS}
), l AS (
  UPDATE ledger_lots l SET remaining = l.remaining + d.amount FROM {_CHANGED_LOTS} AS d(id, remaining, amount)
  WHERE l.id = d.id {REMAINING_GUARD} RETURNING 1
), m AS (
  INSERT INTO ledger_lot_moves (transfer, lot, amount) SELECT * FROM {_LOT_MOVES}
), g AS (
  INSERT INTO ledger_legs (transfer, place, source, held, target, amount, posted, returned, reversed, state, ends_at,
                           at_end, lot_expires_at) SELECT * FROM {_NEW_LEGS}
), u AS (
  UPDATE ledger_legs l SET posted = d.posted_after, returned = d.returned_after, reversed = d.reversed_after,
                           state = d.state_after
  FROM {_CHANGED_LEGS}
    AS d(transfer, place, posted, returned, reversed, state, posted_after, returned_after, reversed_after, state_after)
  WHERE l.transfer = d.transfer AND l.place = d.place {LEG_GUARD} RETURNING 1
)
SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM t), (SELECT count(*) FROM l), (SELECT count(*) FROM u)
"""
"""One statement, one round trip, whatever is written; answers how many accounts, transfers, lots and legs were."""


class Stored(NamedTuple):
    """What is known of an idempotency key."""

    transfer: int
    request: UUID
    at: datetime
    refused: str | None
    answer: str


class Written(NamedTuple):
    """One transfer to be written, refused or not."""

    row: tuple[Any, ...]
    """Columns of ledger_transfers but the last."""
    transfer: int
    at: datetime
    change: Change | None


async def find_accounts(connection: Any, names: Iterable[AccountName]) -> dict[AccountName, int]:
    """Ids of the accounts that exist."""
    return _named(await connection.fetch(_FIND, *_columns(names)))


async def open_accounts(connection: Any, names: Sequence[AccountName]) -> dict[AccountName, int]:
    """Make accounts that do not exist, with nothing in them; ids of those made. Nobody else sees them yet."""
    return _named(await connection.fetch(_OPEN, *_columns(names), [SIGN[name.role] for name in names]))


def _named(rows: Iterable[Any]) -> dict[AccountName, int]:
    return {AccountName(currency, holder, Role(role)): number for number, currency, holder, role in rows}


def _columns(names: Iterable[AccountName]) -> list[list[str]]:
    return [list(column) for column in zip(*names, strict=True)] or [[], [], []]


async def lock_accounts(connection: Any, ids: Mapping[int, AccountName]) -> list[Account]:
    """The accounts as they stand; nobody else changes them until the transaction ends. In id order."""
    rows = await connection.fetch(LOCK, list(ids))
    return [Account(number, ids[number], balance, version) for number, balance, version in rows]


async def lock_holders(connection: Any, holders: Sequence[str]) -> int:
    """Lock every account of these holders, in id order; how many. For a transaction that posts several times: accounts
    locked in several rounds could be locked against those of another one."""
    return int(await connection.fetchval(_LOCK_HOLDERS, holders))


async def known_keys(connection: Any, keys: Sequence[UUID], numbers: int) -> tuple[dict[UUID, Stored], list[int]]:
    """What is stored under keys that were used, and so many fresh numbers for transfers."""
    *rows, last = await connection.fetch(_KNOWN, keys, numbers)
    return {row[0]: Stored(*row[1:6]) for row in rows}, last[6]


async def lots_of(connection: Any, accounts: Sequence[int]) -> list[Lot]:
    """What is in accounts with lots."""
    return [Lot(*row) for row in await connection.fetch(_LOTS, accounts)]


async def taken_lots(connection: Any, transfers: Sequence[int]) -> list[tuple[int, int, Lot]]:
    """(transfer, units, lot) its lots gave and did not get back since."""
    return [(row[0], row[1], Lot(*row[2:])) for row in await connection.fetch(_TAKEN, transfers)]


async def legs_of(connection: Any, transfers: Sequence[int]) -> tuple[list[KeptLeg], dict[AccountName, int]]:
    """The legs of transfers, and the ids of the accounts they name."""
    legs: list[KeptLeg] = []
    ids: dict[AccountName, int] = {}
    for row in await connection.fetch(_LEGS, transfers):
        currency, holder, role, held_role, held_holder, target_role, target_holder = row[13:]
        source = AccountName(currency, holder, Role(role))
        target = AccountName(currency, target_holder, Role(target_role))
        held = None if held_role is None else AccountName(currency, held_holder, Role(held_role))
        ids |= {source: row[2], target: row[4]} | ({held: row[3]} if held is not None else {})
        legs.append(
            KeptLeg(
                row[0],
                row[1],
                source,
                held,
                target,
                row[5],
                row[6],
                row[7],
                row[8],
                State(row[9]),
                row[10],
                AtEnd(row[11]),
                row[12],
            )
        )
    return legs, ids


async def write(
    connection: Any,
    before: Sequence[Account],
    written: Sequence[Written],
    ids: Mapping[AccountName, int],
) -> bool:
    """Write what was decided; False when somebody else was faster: then the transaction must be rolled back."""
    changes = [(one.transfer, one.at, one.change) for one in written if one.change is not None]
    sums: dict[int, list[int]] = {}
    for _, _, change in changes:
        for entry in change.entries:
            total = sums.setdefault(entry.account, [0, 0])
            total[0] += entry.amount
            total[1] += 1
    accounts = [(one.id, one.version, *sums[one.id]) for one in before if one.id in sums]
    entries = [
        (entry.account, entry.version, transfer, entry.amount, entry.balance_after, at)
        for transfer, at, change in changes
        for entry in change.entries
    ]
    fresh, lots, moves = _lot_rows(changes)
    new_legs, legs = _leg_rows([change for _, _, change in changes], ids)
    counts = await connection.fetchrow(
        WRITE,
        *columns(accounts, 4),
        *columns([one.row for one in written], 12),
        *columns(entries, 6),
        *columns(fresh, 6),
        *columns(lots, 3),
        *columns(moves, 3),
        *columns(new_legs, 13),
        *columns(legs, 10),
    )
    return tuple(counts) == (len(accounts), len(written), len(lots), len(legs))


def _lot_rows(changes: Sequence[tuple[int, datetime, Change]]) -> tuple[list[Any], list[Any], list[Any]]:
    """Rows of new lots (as they stand in the end), of changed ones (id, remaining before, change), and of movements."""
    fresh = {lot.id: lot for _, _, change in changes for lot in change.lots}
    sums: dict[int, list[int]] = {}
    moves = []
    for transfer, _, change in changes:
        for lot, move in change.lot_moves.items():
            moves.append((transfer, lot, move.units))
            sums.setdefault(lot, [move.before, 0])[1] += move.units
    lots = [(lot, before, units) for lot, (before, units) in sums.items() if lot not in fresh and units]
    rows = [(lot.id, lot.account, lot.earned_at, lot.expires_at, lot.amount, sums[lot.id][1]) for lot in fresh.values()]
    return rows, lots, moves


def _leg_rows(changes: Sequence[Change], ids: Mapping[AccountName, int]) -> tuple[list[Any], list[Any]]:
    """Rows of new legs (as they stand in the end), and of changed ones with what they were."""
    fresh: dict[tuple[int, int], KeptLeg] = {}
    first: dict[tuple[int, int], KeptLeg] = {}
    last: dict[tuple[int, int], KeptLeg] = {}
    for change in changes:
        fresh |= {(leg.transfer, leg.place): leg for leg in change.new_legs}
        for before, after in change.legs:
            place = (after.transfer, after.place)
            if place in fresh:
                fresh[place] = after
            else:
                first.setdefault(place, before)
                last[place] = after
    rows = [
        (leg.transfer, leg.place, ids[leg.source], None if leg.held is None else ids[leg.held], ids[leg.target],
         leg.amount, leg.posted, leg.returned, leg.reversed, leg.state, leg.ends_at, leg.at_end, leg.lot_expires_at)
        for leg in fresh.values()
    ]  # fmt: skip
    changed = [
        (*place, was.posted, was.returned, was.reversed, was.state,
         now.posted, now.returned, now.reversed, now.state)
        for place, was in first.items()
        for now in (last[place],)
    ]  # fmt: skip
    return rows, changed


# Currencies.


async def ensure_currencies(connection: Any, currencies: Sequence[Currency]) -> None:
    """Add currencies that do not exist yet."""
    await connection.execute(
        "INSERT INTO ledger_currencies (code, unit_zh, unit_en, lots, keep_months, rounding)"
        f" SELECT * FROM {unnested(1, 'text', 'text', 'text', 'bool', 'smallint', 'text')}"
        " ON CONFLICT DO NOTHING",
        *columns([_currency_row(one) for one in currencies], 6),
    )


async def lock_currencies(connection: Any) -> None:
    """Be the only one that changes currencies, until the transaction ends; postings go on."""
    await connection.execute("LOCK TABLE ledger_currencies IN SHARE ROW EXCLUSIVE MODE")


async def put_currency(connection: Any, one: Currency) -> bool:
    """Add a currency or change it; False for another `lots` than it has: its balances would not be its lots."""
    status = await connection.execute(
        "INSERT INTO ledger_currencies AS c (code, unit_zh, unit_en, lots, keep_months, rounding)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (code) DO UPDATE SET unit_zh = excluded.unit_zh,"
        " unit_en = excluded.unit_en, keep_months = excluded.keep_months, rounding = excluded.rounding"
        " WHERE c.lots = excluded.lots",
        *_currency_row(one),
    )
    return str(status).endswith(" 1")


async def read_currencies(connection: Any) -> dict[str, Currency]:
    """All currencies."""
    rows = await connection.fetch(
        "SELECT code, unit_zh, unit_en, lots, keep_months, rounding FROM ledger_currencies ORDER BY code"
    )
    return {row[0]: Currency(row[0], row[1], row[2], row[3], row[4], Rounding(row[5])) for row in rows}


def _currency_row(one: Currency) -> tuple[Any, ...]:
    return one.code, one.unit_zh, one.unit_en, one.lots, one.keep_months, one.rounding
