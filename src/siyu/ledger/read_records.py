"""Every SQL statement that reads the ledger without posting. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.ledger.account import Role

_DUE_LEGS: Final = """
SELECT 'leg', l.transfer, l.at_end, l.ends_at, a.currency, a.holder, 0::bigint, 0::bigint
FROM ledger_legs l JOIN ledger_accounts a ON a.id = l.held WHERE l.state = 'pending' AND l.ends_at <= $1
"""
_DUE_LOTS: Final = """
SELECT 'lots', a.id, '', min(l.expires_at), a.currency, a.holder, sum(l.remaining)::bigint, a.version
FROM ledger_lots l JOIN ledger_accounts a ON a.id = l.account WHERE l.remaining > 0 AND l.expires_at <= $1
"""
_FIRST_DUE: Final = """
SELECT least((SELECT min(ends_at) FROM ledger_legs WHERE state = 'pending'),
             (SELECT min(expires_at) FROM ledger_lots WHERE remaining > 0)) <= $1
"""
"""Two entries of two indexes. Mostly nothing is due anywhere, and whose it would be need not be asked."""
_DUE_OF: Final = f"""
{_DUE_LEGS} AND l.held IN (
  SELECT id FROM ledger_accounts WHERE holder = ANY($2::text[]) AND role IN ('pending', 'locked'))
UNION ALL {_DUE_LOTS} AND l.account IN (
  SELECT id FROM ledger_accounts WHERE holder = ANY($2::text[]) AND role = 'available') GROUP BY a.id
ORDER BY 4, 2
"""
_DUE_FIRST: Final = f"""
({_DUE_LEGS} ORDER BY l.ends_at LIMIT $2)
UNION ALL (SELECT * FROM ({_DUE_LOTS} AND l.account IN (
  SELECT account FROM ledger_lots WHERE remaining > 0 AND expires_at <= $1 ORDER BY expires_at LIMIT $2
) GROUP BY a.id) x)
ORDER BY 4, 2
"""
_HOLDERS: Final = """
SELECT DISTINCT p.number, a.holder FROM unnest($1::bigint[]) AS p(number)
JOIN ledger_accounts a ON a.holder >= p.number || '@' AND a.holder < p.number || 'A'
"""
_BALANCES: Final = """
SELECT currency, holder, role, balance FROM ledger_accounts WHERE holder = ANY($1::text[])
"""
_BALANCES_AT: Final = """
SELECT a.currency, a.holder, a.role, e.balance_after FROM ledger_accounts a CROSS JOIN LATERAL (
  SELECT balance_after FROM ledger_entries WHERE account = a.id AND at <= $2 ORDER BY version DESC LIMIT 1
) e WHERE a.holder = ANY($1::text[])
"""
_LOTS_NOW: Final = """
SELECT a.currency, l.earned_at, l.expires_at, l.remaining FROM ledger_accounts a
JOIN ledger_lots l ON l.account = a.id AND l.remaining > 0 WHERE a.holder = ANY($1::text[]) AND a.role = 'available'
ORDER BY l.expires_at, l.earned_at, l.id
"""
_LOTS_AT: Final = """
SELECT a.currency, l.earned_at, l.expires_at, sum(m.amount)::bigint FROM ledger_accounts a
JOIN ledger_lots l ON l.account = a.id JOIN ledger_lot_moves m ON m.lot = l.id
JOIN ledger_transfers t ON t.id = m.transfer AND t.at <= $2
WHERE a.holder = ANY($1::text[]) AND a.role = 'available'
GROUP BY a.currency, l.id HAVING sum(m.amount) > 0 ORDER BY l.expires_at, l.earned_at, l.id
"""
_STATEMENT: Final = """
WITH changes AS (
  SELECT e.transfer, coalesce(sum(e.amount) FILTER (WHERE a.role = 'available'), 0)::bigint AS available,
         coalesce(sum(e.amount) FILTER (WHERE a.role = 'pending'), 0)::bigint AS pending,
         coalesce(sum(e.amount) FILTER (WHERE a.role = 'locked'), 0)::bigint AS locked,
         coalesce(sum(e.amount) FILTER (WHERE a.role = 'debt'), 0)::bigint AS debt
  FROM ledger_accounts a JOIN ledger_entries e ON e.account = a.id
  WHERE a.holder = ANY($1::text[]) AND a.currency = $2 AND a.role IN ('available', 'pending', 'locked', 'debt')
  GROUP BY e.transfer
), lines AS (
  SELECT *, (sum(available) OVER w)::bigint AS available_after, (sum(pending) OVER w)::bigint AS pending_after,
         (sum(locked) OVER w)::bigint AS locked_after, (sum(debt) OVER w)::bigint AS debt_after
  FROM changes WINDOW w AS (ORDER BY transfer)
)
SELECT t.id, t.at, t.occurred_at, t.kind, t.reason, t.cause, t.by, t.corrects, l.available, l.pending, l.locked, l.debt,
       l.available_after, l.pending_after, l.locked_after, l.debt_after
FROM lines l JOIN ledger_transfers t ON t.id = l.transfer
WHERE l.transfer < $3 ORDER BY l.transfer DESC LIMIT $4
"""


class DueLeg(NamedTuple):
    """A pending transfer whose time is over."""

    transfer: int
    at_end: str
    ends_at: datetime
    currency: str
    holder: str


class DueLots(NamedTuple):
    """What has ended in an account."""

    account: int
    currency: str
    holder: str
    amount: int
    version: int
    """Of the account: names this state of it."""


class Line(NamedTuple):
    """One transfer in a statement: what it changed for the holders, and what they had after it."""

    transfer: int
    at: datetime
    occurred_at: datetime
    kind: str
    reason: str
    cause: str | None
    by: str
    corrects: int | None
    available: int
    pending: int
    locked: int
    debt: int
    available_after: int
    pending_after: int
    locked_after: int
    debt_after: int


class Holding(NamedTuple):
    """A balance of one holder."""

    currency: str
    holder: str
    role: Role
    balance: int


class LotSeen(NamedTuple):
    """What is left of a lot."""

    currency: str
    earned_at: datetime
    expires_at: datetime | None
    remaining: int


async def due_of(connection: Any, holders: Sequence[str], at: datetime) -> list[DueLeg | DueLots]:
    """What is due in the accounts of these holders, the earliest first."""
    if not await connection.fetchval(_FIRST_DUE, at):
        return []
    return _due(await connection.fetch(_DUE_OF, at, holders))


async def due_first(connection: Any, at: datetime, limit: int) -> list[DueLeg | DueLots]:
    """What is due anywhere, the earliest first; about `limit` of each kind at most."""
    return _due(await connection.fetch(_DUE_FIRST, at, limit))


async def used_keys(connection: Any, keys: Sequence[UUID]) -> set[UUID]:
    """Of these idempotency keys those under which something was booked."""
    rows = await connection.fetch(
        "SELECT key FROM ledger_transfers WHERE key = ANY($1::uuid[]) AND refused IS NULL", keys
    )
    return {row[0] for row in rows}


async def answered_keys(connection: Any, keys: Sequence[UUID]) -> set[UUID]:
    """Of these idempotency keys those under which something was booked or refused."""
    return {
        row[0] for row in await connection.fetch("SELECT key FROM ledger_transfers WHERE key = ANY($1::uuid[])", keys)
    }


def _due(rows: Sequence[Any]) -> list[DueLeg | DueLots]:
    found: dict[Any, DueLeg | DueLots] = {}
    for kind, number, at_end, at, currency, holder, amount, version in rows:
        if kind == "leg":
            found[kind, number] = DueLeg(number, at_end, at, currency, holder)
        else:
            found[kind, number] = DueLots(number, currency, holder, amount, version)
    return list(found.values())


async def holders_from(connection: Any, numbers: Sequence[int]) -> dict[int, list[str]]:
    """Holders written `number@…`, by number."""
    found: dict[int, list[str]] = {}
    for number, holder in await connection.fetch(_HOLDERS, numbers):
        found.setdefault(number, []).append(holder)
    return found


async def balances(connection: Any, holders: Sequence[str], at: datetime | None = None) -> list[Holding]:
    """Balances of holders, now or as they were booked at an instant."""
    rows = await connection.fetch(*((_BALANCES, holders) if at is None else (_BALANCES_AT, holders, at)))
    return [Holding(currency, holder, Role(role), balance) for currency, holder, role, balance in rows]


async def lots_seen(connection: Any, holders: Sequence[str], at: datetime | None = None) -> list[LotSeen]:
    """What is left of the lots of holders, now or at an instant; in spending order."""
    rows = await connection.fetch(*((_LOTS_NOW, holders) if at is None else (_LOTS_AT, holders, at)))
    return [LotSeen(*row) for row in rows]


async def statement(
    connection: Any, holders: Sequence[str], currency: str, *, before: int = 2**63 - 1, limit: int
) -> list[Line]:
    """Transfers that changed what holders have, newest first, below number `before`."""
    return [Line(*row) for row in await connection.fetch(_STATEMENT, holders, currency, before, limit)]
