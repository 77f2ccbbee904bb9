"""Using a coupon at once (核销): nothing lies between setting aside and using. For the counter, and simple tills."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from siyu.coupons import locks, records
from siyu.coupons.lock_records import Lock
from siyu.coupons.owner import owner_of
from siyu.coupons.pricing import Pricing
from siyu.coupons.request import CouponNotFound, LockRequest, Redeem
from siyu.errors import Refused

TTL_SECONDS = 60
"""Of the lock between the two steps of one transaction: never seen by anybody."""


async def redeem(connection: Any, pricing: Pricing, request: Redeem, now: datetime) -> Lock:
    """Use a coupon. Without `person` it is its owner's.

    `connection`: raw asyncpg, in the caller's transaction. Raises what `locks.lock` raises; NOT_ELIGIBLE when nobody
    has the code yet and nobody is named."""
    person = request.person
    if person is None:
        number = pricing.vault.number(request.code)
        coupon = (await records.by_code(connection, [number])).get(number)
        if coupon is None:
            raise CouponNotFound("There is no such coupon.")
        if coupon.anchor is None:
            raise Refused("NOT_ELIGIBLE", "Nobody has this code yet: say whose it becomes.", because="person")
        person = str((await owner_of(connection, coupon.anchor, now)).named.uid)
    wanted = LockRequest(
        person=person, coupon=request.code, order_id=request.order_id, ttl_s=TTL_SECONDS, end=request.end,
        lines=request.lines,
    )  # fmt: skip
    held = await locks.lock(connection, pricing, wanted, now)
    return await locks.commit(connection, pricing, held.id, now)
