"""Reading coupons, locks and templates as they are shown. Codes are opened here only."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from siyu.coupons import lock_records, records, template_records
from siyu.coupons.code import shown
from siyu.coupons.lock_records import Lock
from siyu.coupons.owner import find_owner, owner_of
from siyu.coupons.pricing import Pricing
from siyu.coupons.records import Coupon
from siyu.coupons.request import CouponNotFound, CouponSeen, Held, LockSeen
from siyu.coupons.template import Template
from siyu.errors import PersonNotFound
from siyu.ledger import Role
from siyu.ledger.read_records import balances
from siyu.loyalty.request import PersonRef

PAGE_MAX: Final = 500


async def coupons_of(
    connection: Any, pricing: Pricing, person: PersonRef, now: datetime, limit: int = PAGE_MAX
) -> list[CouponSeen]:
    """The coupons a person has or had, the newest first. Raises PersonNotFound."""
    owner = await find_owner(connection, person, pricing.secret, now)
    found = await records.of_holders(connection, owner.anchors, owner.holders, templates=None, limit=limit)
    return await _seen_all(connection, pricing, found, now, person_id=str(owner.named.uid))


async def person_of(connection: Any, pricing: Pricing, person: PersonRef, now: datetime) -> UUID:
    """The id of the person named. Raises PersonNotFound."""
    return (await find_owner(connection, person, pricing.secret, now)).named.uid


async def by_code(connection: Any, pricing: Pricing, code: str, now: datetime) -> CouponSeen:
    """The coupon with a code, and whose it is. Raises CouponNotFound."""
    number = pricing.vault.number(code)
    coupon = (await records.by_code(connection, [number])).get(number)
    if coupon is None:
        raise CouponNotFound("There is no such coupon.")
    return await one_seen(connection, pricing, coupon, now)


async def one_seen(connection: Any, pricing: Pricing, coupon: Coupon, now: datetime) -> CouponSeen:
    """A coupon as it is shown, and whose it is."""
    person_id = None
    if coupon.anchor is not None:
        with suppress(PersonNotFound):  # who had it was erased
            person_id = str((await owner_of(connection, coupon.anchor, now)).named.uid)
    return (await _seen_all(connection, pricing, [coupon], now, person_id=person_id))[0]


async def _seen_all(
    connection: Any, pricing: Pricing, coupons: Sequence[Coupon], now: datetime, *, person_id: str | None
) -> list[CouponSeen]:
    """Coupons as they are shown."""
    vault = pricing.vault
    known = await template_records.versions(connection, {(one.template, one.version) for one in coupons})
    pooled = {one.template for one in coupons if not one.version}
    newest = await template_records.newest(connection, pooled) if pooled else {}
    return [
        _seen(
            one,
            known[one.template, one.version] if one.version else newest[one.template].template,
            shown(vault.open(one.code, one.sealed)),
            now,
            person_id,
        )
        for one in coupons
    ]


def _seen(coupon: Coupon, template: Template, code: str, now: datetime, person_id: str | None) -> CouponSeen:
    return CouponSeen(
        coupon.id, code, template.id, template.label_zh, template.label_en, template.kind, coupon.state_at(now),
        coupon.given_at, coupon.valid_from, coupon.valid_until, coupon.redeemed_at, template.off_fen,
        template.pay_percent, template.min_spend_fen, person_id,
    )  # fmt: skip


async def budgets_left(connection: Any, sources: Sequence[str]) -> dict[str, int]:
    """What is left of the budgets of these sources; of those that have or had one."""
    held = await balances(connection, list(sources))
    return {one.holder: one.balance for one in held if one.role is Role.AVAILABLE}


async def lock_seen(connection: Any, lock: Lock, now: datetime) -> LockSeen:
    """A lock as it is shown: one that was held too long is over, whether or not anybody wrote it down."""
    parts = await lock_records.parts_of(connection, lock.id)
    over = lock.state == "held" and lock.ends_at <= now
    return LockSeen(
        lock.id, "expired" if over else lock.state, lock.order_id, lock.points, lock.points_back,
        tuple(Held(part.source, part.off_fen, part.coupon, part.back) for part in parts), lock.at, lock.ends_at,
    )  # fmt: skip
