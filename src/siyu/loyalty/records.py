"""Every SQL statement on the tables of membership. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from siyu.ledger import State
from siyu.loyalty.earning import EarnRule, Money, Told

_RULES: Final = "SELECT DISTINCT ON (id) rule FROM earn_rules ORDER BY id, version DESC"
_ADD_RULE: Final = """
INSERT INTO earn_rules (id, version, rule, created_at) SELECT $1, $2, $3, $4
WHERE NOT EXISTS (SELECT FROM earn_rules WHERE id = $1 AND version >= $2) ON CONFLICT DO NOTHING
"""
_ADD_MONEY: Final = """
INSERT INTO point_order_money (key, subject, anchor, fen, rule, percent, shop)
SELECT DISTINCT ON (key) *
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::int[],
  $7::text[]) AS n(key, subject, anchor, fen, rule, percent, shop)
ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING key
"""
_MONEY: Final = """
SELECT key, subject, anchor, fen, rule, percent, shop FROM point_order_money
WHERE subject = ANY($1::text[]) AND rule = $2
"""
_BENEFITS: Final = """
INSERT INTO tier_benefits (tier, percent, free_shipping) SELECT * FROM unnest($1::text[], $2::int[], $3::bool[])
ON CONFLICT (tier) DO UPDATE SET percent = excluded.percent, free_shipping = excluded.free_shipping
"""
_EARNED: Final = """
SELECT t.cause, l.transfer, a.holder, l.amount - l.returned - l.reversed, l.state
FROM ledger_transfers t JOIN ledger_legs l ON l.transfer = t.id JOIN ledger_accounts a ON a.id = l.source
WHERE t.cause = ANY($1::text[]) AND t.kind = 'earn' AND t.by = $2 ORDER BY l.transfer DESC
"""

_ADJUSTMENT: Final = "id, key, request, anchor, currency, points, reason, asked_by, asked_at, state"
_ADD_ADJUSTMENT: Final = f"""
INSERT INTO point_adjustments ({_ADJUSTMENT}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (key) DO NOTHING
"""
_DECIDE_ADJUSTMENT: Final = f"""
UPDATE point_adjustments SET state = $2, decided_by = $3, decided_at = $4
WHERE id = $1 AND state = 'waiting' AND lower(btrim(asked_by)) <> lower(btrim($3))
RETURNING {_ADJUSTMENT}
"""


class Earned(NamedTuple):
    """Points that a rule gave for an order."""

    cause: str
    transfer: int
    holder: str
    points: int
    """Less what was taken back."""
    state: State


async def read_rules(connection: Any) -> list[EarnRule]:
    """The newest version of every stored rule."""
    return [msgspec.json.decode(row[0], type=EarnRule) for row in await connection.fetch(_RULES)]


async def add_rule(connection: Any, rule: EarnRule, at: datetime) -> bool:
    """Store a new version; False when it exists, or a newer one."""
    text = msgspec.json.encode(rule).decode()
    return str(await connection.execute(_ADD_RULE, rule.id, rule.version, text, at)).endswith("1")


async def add_money(connection: Any, money: Sequence[Money]) -> set[UUID]:
    """Store what was not known yet; the keys of that."""
    columns = [list(column) for column in zip(*money, strict=True)]
    return {row[0] for row in await connection.fetch(_ADD_MONEY, *columns)}


ORDERS_LOCK: Final = 0x51_15
"""Advisory locks of orders whose steps come through several partitions of the stream."""
_ORDER_LOCKS: Final = 64


async def lock_orders(connection: Any, orders: Iterable[int]) -> None:
    """Let the money of these orders be told by one transaction at a time: who comes second sees whose they are."""
    places = sorted({order % _ORDER_LOCKS for order in orders})
    await connection.execute(
        "SELECT pg_advisory_xact_lock($1, place) FROM unnest($2::int[]) place", ORDERS_LOCK, places
    )


async def tellers(connection: Any, keys: Sequence[UUID]) -> dict[UUID, Told]:
    """Those of the keys that are known, with who told."""
    rows = await connection.fetch("SELECT key, anchor, shop FROM point_order_money WHERE key = ANY($1::uuid[])", keys)
    return {row[0]: Told(row[1], row[2]) for row in rows}


async def money_of_subjects(connection: Any, subjects: Sequence[str], rule: str) -> list[Money]:
    """Everything known of the money of these orders under a rule."""
    return [Money(*row) for row in await connection.fetch(_MONEY, subjects, rule)]


class Benefits(NamedTuple):
    """What a tier gives."""

    percent: int = 100
    """Of what earn rules give."""
    free_shipping: bool = False


async def set_benefits(connection: Any, tiers: Mapping[str, Benefits]) -> None:
    """What each tier gives; no other tier anything."""
    await connection.execute("DELETE FROM tier_benefits WHERE NOT tier = ANY($1::text[])", list(tiers))
    given = tiers.values()
    await connection.execute(
        _BENEFITS, list(tiers), [one.percent for one in given], [one.free_shipping for one in given]
    )


async def benefits(connection: Any) -> dict[str, Benefits]:
    """Tier → what it gives."""
    rows = await connection.fetch("SELECT tier, percent, free_shipping FROM tier_benefits")
    return {row[0]: Benefits(row[1], row[2]) for row in rows}


async def earned_for(connection: Any, causes: Sequence[str], by: str) -> list[Earned]:
    """What a rule gave for these orders, the newest first."""
    return [
        Earned(row[0], row[1], row[2], row[3], State(row[4])) for row in await connection.fetch(_EARNED, causes, by)
    ]


async def causes_under(connection: Any, keys: Sequence[UUID]) -> set[str]:
    """What was given for under one of these keys."""
    rows = await connection.fetch(
        "SELECT cause FROM ledger_transfers WHERE key = ANY($1::uuid[]) AND refused IS NULL", list(keys)
    )
    return {row[0] or "" for row in rows}


# Adjustments.


class Adjustment(NamedTuple):
    """An adjustment above the limit."""

    id: UUID
    key: UUID
    request: UUID
    anchor: int
    currency: str
    points: int
    reason: str
    asked_by: str
    asked_at: datetime
    state: str


async def add_adjustment(connection: Any, row: Adjustment) -> Adjustment:
    """Store it, unless its key is known; what is stored under the key."""
    await connection.execute(_ADD_ADJUSTMENT, *row)
    return Adjustment(
        *await connection.fetchrow(f"SELECT {_ADJUSTMENT} FROM point_adjustments WHERE key = $1", row.key)
    )


async def find_adjustment(connection: Any, number: UUID) -> Adjustment | None:
    """One adjustment."""
    row = await connection.fetchrow(f"SELECT {_ADJUSTMENT} FROM point_adjustments WHERE id = $1", number)
    return None if row is None else Adjustment(*row)


async def decide_adjustment(connection: Any, number: UUID, state: str, by: str, at: datetime) -> Adjustment | None:
    """Decide one that waits, by somebody else than who asked; None when there is none."""
    row = await connection.fetchrow(_DECIDE_ADJUSTMENT, number, state, by, at)
    return None if row is None else Adjustment(*row)


async def waiting_adjustments(connection: Any, limit: int) -> list[Adjustment]:
    """Those that wait, the oldest first."""
    rows = await connection.fetch(
        f"SELECT {_ADJUSTMENT} FROM point_adjustments WHERE state = 'waiting' ORDER BY asked_at, id LIMIT $1", limit
    )
    return [Adjustment(*row) for row in rows]


# Rights of persons.


async def forget(connection: Any, anchors: Sequence[int]) -> dict[str, int]:
    """Remove what speaks of these identifiers; rows by name."""
    removed = {}
    for name, table in (("point_adjustments", "point_adjustments"), ("point_orders", "point_order_money")):
        done = await connection.execute(f"DELETE FROM {table} WHERE anchor = ANY($1::bigint[])", anchors)
        removed[name] = int(done.split()[-1])
    return removed
