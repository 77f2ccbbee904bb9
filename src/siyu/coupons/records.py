"""SQL statements on coupons: what is given, taken, used and given back. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.coupons.code import Sealed

_MAKE_HOLDERS: Final = "INSERT INTO coupon_holders (anchor) SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING"
_LOCK_HOLDERS: Final = "SELECT anchor FROM coupon_holders WHERE anchor = ANY($1::bigint[]) ORDER BY anchor FOR UPDATE"
_WALLETS: Final = """
SELECT DISTINCT anchor, holder FROM (
  SELECT anchor, holder FROM coupons WHERE anchor = ANY($1::bigint[])
  UNION ALL SELECT anchor, holder FROM coupon_locks WHERE anchor = ANY($1::bigint[])
) w WHERE holder LIKE '%@%' ORDER BY holder"""
_COLUMNS: Final = """
id, code, sealed, template, version, pool, state, anchor, holder, given_at, valid_from, valid_until, lock, locked_until,
redeemed_at"""
_COUPONS: Final = f"SELECT {_COLUMNS} FROM coupons"
# Counted under the lock of the person's rows in coupon_holders; the unique index uq_coupons_nth stands behind it.
_WITHIN: Final = """
($3::int IS NULL OR (SELECT count(*) FROM coupons c WHERE c.anchor = ANY($1::bigint[]) AND c.template = $2
                     AND c.holder = ANY($5::text[]) AND c.state <> 'revoked') < $3)
AND ($4::int IS NULL OR (SELECT count(*) FROM coupons c WHERE c.anchor = ANY($1::bigint[]) AND c.template = $2
                         AND c.holder = ANY($5::text[]) AND c.state <> 'revoked' AND c.given_on = $6::date) < $4)"""
_NTH: Final = "(SELECT coalesce(max(c.nth), 0) + 1 FROM coupons c WHERE c.template = $2 AND c.holder = $8)"
_GIVE: Final = f"""
INSERT INTO coupons (template, anchor, holder, nth, version, given_on, given_at, valid_from, valid_until, code, sealed,
                     state)
SELECT $2, $7, $8, {_NTH}, $9, $6, $10, $11, $12, $13, $14, 'given' WHERE {_WITHIN} RETURNING {_COLUMNS}"""
_GIVE_POOLED: Final = f"""
UPDATE coupons SET anchor = $7, holder = $8, nth = {_NTH}, version = $9, given_on = $6, given_at = $10,
  valid_from = $11, valid_until = $12, state = 'given'
WHERE id = $13 AND state = 'pooled' AND template = $2 AND {_WITHIN} RETURNING {_COLUMNS}"""
_NEXT_POOLED: Final = """
SELECT id FROM coupons WHERE template = $1 AND state = 'pooled' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"""
_COUNT: Final = """
UPDATE coupon_totals SET issued = issued + 1 WHERE template = $1 AND (total IS NULL OR issued < total)"""
_LOCK: Final = f"""
UPDATE coupons SET state = 'locked', lock = $2, locked_until = $3
WHERE id = $1 AND holder = ANY($4::text[]) AND state = 'given'
  AND (valid_from IS NULL OR valid_from <= $5) AND (valid_until IS NULL OR valid_until > $5) RETURNING {_COLUMNS}"""
_REDEEM: Final = """
UPDATE coupons SET state = 'redeemed', locked_until = NULL, redeemed_at = $2
WHERE id IN (SELECT coupon FROM coupon_lock_parts WHERE lock = $1) AND lock = $1 AND state = 'locked'"""
_USE_ALL: Final = """
UPDATE coupons c SET state = 'redeemed', lock = n.lock, redeemed_at = $3
FROM unnest($1::bigint[], $2::uuid[]) AS n(id, lock)
WHERE c.id = n.id AND c.state = 'given' AND (c.valid_from IS NULL OR c.valid_from <= $3)
  AND (c.valid_until IS NULL OR c.valid_until > $3)"""
_FREE: Final = """
UPDATE coupons SET state = 'given', lock = NULL, locked_until = NULL
WHERE id IN (SELECT coupon FROM coupon_lock_parts WHERE lock = ANY($1::uuid[])) AND lock = ANY($1::uuid[])
  AND state = 'locked'"""
_RETURN: Final = """
UPDATE coupons SET state = 'given', lock = NULL, redeemed_at = NULL
WHERE id = $1 AND lock = $2 AND state = 'redeemed'"""
_EXPIRE: Final = f"""
UPDATE coupons SET state = 'expired' WHERE id IN (
  SELECT id FROM coupons WHERE state = 'given' AND valid_until <= $1 ORDER BY valid_until LIMIT $2
  FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}"""
_REVOKE: Final = f"UPDATE coupons SET state = 'revoked' WHERE id = $1 AND state = 'given' RETURNING {_COLUMNS}"


class Coupon(NamedTuple):
    """A coupon as it stands."""

    id: int
    code: UUID
    sealed: bytes
    template: str
    version: int
    pool: str | None
    state: str
    anchor: int | None
    holder: str | None
    given_at: datetime | None
    valid_from: datetime | None
    valid_until: datetime | None
    lock: UUID | None
    locked_until: datetime | None
    redeemed_at: datetime | None

    def state_at(self, now: datetime) -> str:
        """`state`, with what time has brought since it was written."""
        if self.state == "locked" and self.locked_until is not None and self.locked_until <= now:
            return "given" if self.valid_until is None or self.valid_until > now else "expired"
        if self.state == "given" and self.valid_until is not None and self.valid_until <= now:
            return "expired"
        return self.state


class Limits(NamedTuple):
    """How many of a template a person may have."""

    template: str
    per_person: int | None
    per_day: int | None


class Taker(NamedTuple):
    """Whose coupons count together: all identifiers and wallets of a person."""

    anchors: list[int]
    holders: list[str]


class Hold(NamedTuple):
    """By which lock a coupon is set aside, and until when."""

    lock: UUID
    until: datetime


class Gift(NamedTuple):
    """What is written of a coupon that is given."""

    anchor: int
    holder: str
    version: int
    given_on: date
    given_at: datetime
    valid_from: datetime | None
    valid_until: datetime | None


async def hold_anchors(connection: Any, anchors: Sequence[int]) -> None:
    """Keep everybody else from these identifiers' coupons until the transaction ends. Ascending."""
    if len(await connection.fetch(_LOCK_HOLDERS, anchors)) < len(anchors):
        await connection.execute(_MAKE_HOLDERS, anchors)
        await connection.fetch(_LOCK_HOLDERS, anchors)


async def wallets_of(connection: Any, anchors: Sequence[int]) -> list[tuple[int, str]]:
    """(identifier, wallet) with an instant in its name, in which there is or was a coupon."""
    return [(row[0], row[1]) for row in await connection.fetch(_WALLETS, anchors)]


async def count_one(connection: Any, template: str) -> bool:
    """Count one more of a template as issued; False when there are as many as there may be."""
    return str(await connection.execute(_COUNT, template)).endswith(" 1")


async def give(connection: Any, limits: Limits, taker: Taker, gift: Gift, sealed: Sealed) -> Coupon | None:
    """Make a coupon for a person, or nothing when they have as many as they may."""
    row = await connection.fetchrow(_GIVE, *_given(limits, taker, gift), sealed.number, sealed.body)
    return None if row is None else Coupon(*row)


async def give_pooled(connection: Any, limits: Limits, taker: Taker, gift: Gift, coupon: int) -> Coupon | None:
    """The same with a coupon of a pool."""
    row = await connection.fetchrow(_GIVE_POOLED, *_given(limits, taker, gift), coupon)
    return None if row is None else Coupon(*row)


def _given(limits: Limits, taker: Taker, gift: Gift) -> tuple[Any, ...]:
    return (
        taker.anchors, limits.template, limits.per_person, limits.per_day, taker.holders, gift.given_on, gift.anchor,
        gift.holder,
        gift.version, gift.given_at, gift.valid_from, gift.valid_until,
    )  # fmt: skip


async def next_pooled(connection: Any, template: str) -> int | None:
    """A coupon of a pool that nobody else is taking."""
    found: int | None = await connection.fetchval(_NEXT_POOLED, template)
    return found


async def by_code(connection: Any, numbers: Sequence[UUID]) -> dict[UUID, Coupon]:
    """Coupons by the hash of their code."""
    rows = await connection.fetch(f"{_COUPONS} WHERE code = ANY($1::uuid[])", numbers)
    return {row["code"]: Coupon(*row) for row in rows}


async def by_id(connection: Any, number: int) -> Coupon | None:
    """One coupon."""
    row = await connection.fetchrow(f"{_COUPONS} WHERE id = $1", number)
    return None if row is None else Coupon(*row)


async def by_ids(connection: Any, numbers: Sequence[int]) -> list[Coupon]:
    """Coupons by number."""
    rows = await connection.fetch(f"{_COUPONS} WHERE id = ANY($1::bigint[]) ORDER BY id", numbers)
    return [Coupon(*row) for row in rows]


async def of_holders(
    connection: Any, anchors: Sequence[int], holders: Sequence[str], *, templates: Sequence[str] | None, limit: int
) -> list[Coupon]:
    """The coupons in these wallets, the newest first; of some templates, or all."""
    rows = await connection.fetch(
        f"{_COUPONS} WHERE anchor = ANY($1::bigint[]) AND holder = ANY($2::text[])"
        " AND ($3::text[] IS NULL OR template = ANY($3::text[])) ORDER BY id DESC LIMIT $4",
        anchors, holders, templates, limit,
    )  # fmt: skip
    return [Coupon(*row) for row in rows]


async def lock(connection: Any, coupon: int, hold: Hold, holders: Sequence[str], now: datetime) -> Coupon | None:
    """Set a coupon of these wallets aside; None when it is not there to be used."""
    row = await connection.fetchrow(_LOCK, coupon, hold.lock, hold.until, holders, now)
    return None if row is None else Coupon(*row)


async def redeem(connection: Any, lock_id: UUID, now: datetime) -> int:
    """Use what a lock holds; how many."""
    return int(str(await connection.execute(_REDEEM, lock_id, now)).rpartition(" ")[2])


async def use_all(connection: Any, uses: Sequence[tuple[int, UUID]], now: datetime) -> int:
    """Use coupons that are free, each by a lock; how many."""
    coupons, locks = zip(*uses, strict=True)
    return int(str(await connection.execute(_USE_ALL, coupons, locks, now)).rpartition(" ")[2])


async def free(connection: Any, lock_ids: Sequence[UUID]) -> None:
    """Coupons of locks are their owners' again."""
    await connection.execute(_FREE, lock_ids)


async def give_back(connection: Any, coupon: int, lock_id: UUID) -> bool:
    """A used coupon is its owner's again."""
    return str(await connection.execute(_RETURN, coupon, lock_id)).endswith(" 1")


async def expire(connection: Any, now: datetime, limit: int) -> list[Coupon]:
    """Coupons whose time is over by now."""
    return [Coupon(*row) for row in await connection.fetch(_EXPIRE, now, limit)]


async def revoke(connection: Any, coupon: int) -> Coupon | None:
    """Take a coupon back from its owner; None when it is used, held or gone."""
    row = await connection.fetchrow(_REVOKE, coupon)
    return None if row is None else Coupon(*row)
