"""SQL statements on locks, entitlements and the events that wait. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.store.rows import columns, unnested

_LOCK: Final = (
    'id, anchor, holder, order_id, "end", state, points, points_transfer, points_back, at, ends_at, decided_at'
)
_ADD: Final = """
INSERT INTO coupon_locks (id, anchor, holder, order_id, "end", state, points, points_transfer, at, ends_at)
VALUES ($1, $2, $3, $4, $5, 'held', $6, $7, $8, $9)"""
_ADD_PARTS: Final = """
INSERT INTO coupon_lock_parts (lock, place, source, coupon, off_fen, transfer)
SELECT $1, * FROM unnest($2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])"""
_ADD_COMMITTED: Final = f"""
WITH l AS (
  INSERT INTO coupon_locks (id, anchor, holder, order_id, "end", state, points, at, ends_at, decided_at)
  SELECT n.id, n.anchor, n.holder, n.order_id, n.at_end, 'committed', 0, n.at, n.at, n.at
  FROM {unnested(1, "uuid", "bigint", "text", "text", "text", "timestamptz")}
    AS n(id, anchor, holder, order_id, at_end, at)
)
INSERT INTO coupon_lock_parts (lock, place, source, coupon, off_fen)
SELECT * FROM {unnested(7, "uuid", "int", "text", "bigint", "bigint")}"""
_DECIDE: Final = f"""
UPDATE coupon_locks SET state = $2, decided_at = $3 WHERE id = $1 AND state = 'held'
  AND ($2 <> 'committed' OR ends_at > $3) RETURNING {_LOCK}"""
_OVER_OF: Final = f"""
SELECT {_LOCK} FROM coupon_locks WHERE anchor = ANY($1::bigint[]) AND state = 'held' AND ends_at <= $2
ORDER BY id FOR UPDATE"""
_OVER: Final = f"""
SELECT {_LOCK} FROM coupon_locks WHERE state = 'held' AND ends_at <= $1 ORDER BY ends_at LIMIT $2
FOR UPDATE SKIP LOCKED"""
_ORDERED: Final = """
SELECT EXISTS (SELECT FROM coupon_locks WHERE anchor = ANY($1::bigint[]) AND holder = ANY($2::text[])
               AND order_id IS NOT NULL AND ($4::text IS NULL OR order_id <> $4)
               AND (state IN ('committed', 'rolled_back') OR (state = 'held' AND ends_at > $3)))"""
_ENTITLE: Final = """
INSERT INTO price_rule_entitlements (rule, holder, lock) SELECT $1, unnest($2::text[]), $3
ON CONFLICT DO NOTHING"""


class Lock(NamedTuple):
    """What is set aside for a purchase."""

    id: UUID
    anchor: int | None
    holder: str | None
    order_id: str | None
    end: str
    state: str
    points: int
    points_transfer: int | None
    points_back: int
    at: datetime
    ends_at: datetime
    decided_at: datetime | None


class Part(NamedTuple):
    """One discount of a lock."""

    place: int
    source: str
    coupon: int | None
    off_fen: int
    transfer: int | None
    back: bool = False
    """Whether it was given back after it was used."""


async def add(connection: Any, lock: Lock, parts: Sequence[Part]) -> None:
    """Store a lock with its parts."""
    await connection.execute(
        _ADD, lock.id, lock.anchor, lock.holder, lock.order_id, lock.end, lock.points, lock.points_transfer, lock.at,
        lock.ends_at,
    )  # fmt: skip
    if parts:
        await connection.execute(_ADD_PARTS, lock.id, *zip(*(part[:5] for part in parts), strict=True))


async def add_committed(connection: Any, locks: Sequence[Lock], parts: Sequence[tuple[UUID, Part]]) -> None:
    """Store locks that are committed at once, with their parts."""
    heads = [(one.id, one.anchor, one.holder, one.order_id, one.end, one.at) for one in locks]
    tails = [(lock, part.place, part.source, part.coupon, part.off_fen) for lock, part in parts]
    await connection.execute(_ADD_COMMITTED, *columns(heads, 6), *columns(tails, 5))


async def find(connection: Any, lock_id: UUID, *, hold: bool = False) -> Lock | None:
    """One lock; `hold`: nobody else decides it until the transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {_LOCK} FROM coupon_locks WHERE id = $1{' FOR UPDATE' if hold else ''}", lock_id
    )
    return None if row is None else Lock(*row)


async def parts_of(connection: Any, lock_id: UUID) -> list[Part]:
    """The discounts of a lock."""
    rows = await connection.fetch(
        "SELECT place, source, coupon, off_fen, transfer, back FROM coupon_lock_parts WHERE lock = $1 ORDER BY place",
        lock_id,
    )
    return [Part(*row) for row in rows]


async def decide(connection: Any, lock_id: UUID, state: str, now: datetime) -> Lock | None:
    """End a lock that is held, as committed only while its time is not over; None when that cannot be."""
    row = await connection.fetchrow(_DECIDE, lock_id, state, now)
    return None if row is None else Lock(*row)


async def roll_back(connection: Any, lock_id: UUID, points: int, *, whole: bool) -> bool:
    """Note that so many points of a committed lock went back; False when more than it used."""
    status = await connection.execute(
        "UPDATE coupon_locks SET points_back = points_back + $2,"
        " state = CASE WHEN $3 THEN 'rolled_back' ELSE state END"
        " WHERE id = $1 AND state = 'committed' AND points_back + $2 <= points",
        lock_id, points, whole,
    )  # fmt: skip
    return str(status).endswith(" 1")


async def give_part_back(connection: Any, lock_id: UUID, place: int) -> bool:
    """Note that a discount went back; False when it had before."""
    status = await connection.execute(
        "UPDATE coupon_lock_parts SET back = true WHERE lock = $1 AND place = $2 AND NOT back", lock_id, place
    )
    return str(status).endswith(" 1")


async def over_of(connection: Any, anchors: Sequence[int], now: datetime) -> list[Lock]:
    """Locks of these identifiers whose time is over and that nobody ended; locked."""
    return [Lock(*row) for row in await connection.fetch(_OVER_OF, anchors, now)]


async def over(connection: Any, now: datetime, limit: int) -> list[Lock]:
    """Some of anybody's; locked, those that somebody else is at left out."""
    return [Lock(*row) for row in await connection.fetch(_OVER, now, limit)]


async def has_ordered(
    connection: Any, anchors: Sequence[int], holders: Sequence[str], now: datetime, but: str | None
) -> bool:
    """Whether somebody has an order that was paid for, or is open, by its lock; the order `but` left out."""
    found: bool = await connection.fetchval(_ORDERED, anchors, holders, now, but)
    return found


async def entitle(connection: Any, rule: str, holders: Sequence[str], lock_id: UUID) -> bool:
    """Note that a lock holds what a person may have once; False when another one does."""
    status = await connection.execute(_ENTITLE, rule, holders, lock_id)
    return int(str(status).rpartition(" ")[2]) == len(holders)


async def entitled(connection: Any, rules: Sequence[str], holders: Sequence[str]) -> dict[str, UUID]:
    """Of these rules those that the person has used up, with the lock that did."""
    rows = await connection.fetch(
        "SELECT rule, lock FROM price_rule_entitlements WHERE rule = ANY($1::text[]) AND holder = ANY($2::text[])",
        rules, holders,
    )  # fmt: skip
    return {row[0]: row[1] for row in rows}


async def drop_entitlements(connection: Any, lock_ids: Sequence[UUID]) -> None:
    """What these locks held can be had again."""
    await connection.execute("DELETE FROM price_rule_entitlements WHERE lock = ANY($1::uuid[])", lock_ids)
