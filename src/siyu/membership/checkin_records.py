"""Every SQL statement of check-in. `connection` is a raw asyncpg connection in a transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

import msgspec

from siyu.membership.checkin import READY, Rules

LOCK_SPACE: Final = 0x5159_0000_0000
"""Advisory locks of the identifiers under which somebody checks in."""
LOCKS_MAX: Final = 1_024
"""Identifiers share that many locks: a batch of history names tens of thousands, and PostgreSQL's table of locks holds
6,400 (`max_connections` × `max_locks_per_transaction`)."""
LOCK = """
SELECT pg_advisory_xact_lock($1 + n)
FROM (SELECT DISTINCT anchor % $3::bigint AS n FROM unnest($2::bigint[]) anchor ORDER BY n) ordered
"""
ADD = """
INSERT INTO checkins (anchor, day, at, "end", how)
SELECT n.anchor, n.day, n.at, n."end", n.how
FROM unnest($1::bigint[], $2::date[], $3::timestamptz[], $4::text[], $5::text[]) AS n(anchor, day, at, "end", how)
ON CONFLICT (anchor, day) DO NOTHING RETURNING anchor, day
"""


class Row(NamedTuple):
    """A check-in."""

    anchor: int
    day: date
    at: datetime
    end: str
    how: str


class RewardRow(NamedTuple):
    """What a check-in gave."""

    anchor: int
    day: date
    item: str
    currency: str
    amount: int
    transfer: int


class StoredRules(NamedTuple):
    """A version of the rules; version 0: the ready ones, which nobody changed."""

    version: int
    rules: Rules
    at: datetime | None
    by: str


async def rules_of(connection: Any, limit: int = 1) -> list[StoredRules]:
    """The newest versions, newest first, and the ready rules last."""
    rows = await connection.fetch(
        'SELECT version, rules, at, "by" FROM checkin_rules ORDER BY version DESC LIMIT $1', limit
    )
    found = [StoredRules(row[0], msgspec.json.decode(row[1], type=Rules), row[2], row[3]) for row in rows]
    return found if len(found) == limit else [*found, StoredRules(0, READY, None, "siyu")]


async def add_rules(connection: Any, version: int, rules: Rules, at: datetime, by: str) -> bool:
    """Store a version; False when somebody else stored it first."""
    status = await connection.execute(
        'INSERT INTO checkin_rules (version, rules, at, "by") VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
        version, msgspec.json.encode(rules).decode(), at, by,
    )  # fmt: skip
    return bool(status.endswith("1"))


async def lock(connection: Any, anchors: Collection[int]) -> None:
    """Be the only one who checks in under these identifiers, until the transaction ends; in the order of their
    numbers."""
    await connection.execute(LOCK, LOCK_SPACE, list(set(anchors)), LOCKS_MAX)


async def days_of(connection: Any, anchors: Collection[int]) -> list[Row]:
    """All check-ins under these identifiers."""
    rows = await connection.fetch(
        'SELECT anchor, day, at, "end", how FROM checkins WHERE anchor = ANY($1::bigint[]) ORDER BY day', list(anchors)
    )
    return [Row(*row) for row in rows]


async def rewards_of(connection: Any, anchors: Collection[int]) -> list[RewardRow]:
    """Everything given to these identifiers."""
    rows = await connection.fetch(
        "SELECT anchor, day, item, currency, amount, transfer FROM checkin_rewards WHERE anchor = ANY($1::bigint[])",
        list(anchors),
    )
    return [RewardRow(*row) for row in rows]


async def add(connection: Any, rows: Sequence[Row]) -> set[tuple[int, date]]:
    """Write check-ins; (anchor, day) of those that were not there."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return {(row[0], row[1]) for row in await connection.fetch(ADD, *columns)}


async def add_rewards(connection: Any, rows: Sequence[RewardRow]) -> None:
    """Write what was given."""
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(
            "INSERT INTO checkin_rewards (anchor, day, item, currency, amount, transfer)"
            " SELECT * FROM unnest($1::bigint[], $2::date[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])",
            *columns,
        )


async def count_on(connection: Any, first: date, last: date) -> list[tuple[date, int]]:
    """(day, check-ins) from `first` to `last`."""
    rows = await connection.fetch(
        "SELECT day, count(*) FROM checkins WHERE day BETWEEN $1 AND $2 GROUP BY day ORDER BY day", first, last
    )
    return [(row[0], row[1]) for row in rows]


async def scrub(connection: Any, anchors: Sequence[int]) -> dict[str, int]:
    """Remove what is kept of these identifiers: rows by table."""
    removed = {}
    for table in ("checkins", "checkin_rewards"):
        status = await connection.execute(f"DELETE FROM {table} WHERE anchor = ANY($1::bigint[])", list(anchors))
        removed[table] = int(status.split()[-1])
    return removed
