"""Verbs of giving: issue, claim, revoke. The limits stand in the WHERE clauses (`records`), under the lock of the
person's rows; the total is counted in a guarded UPDATE with a CHECK behind it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from siyu.coupons import records, template_records
from siyu.coupons.code import make_code
from siyu.coupons.eligible import may_have
from siyu.coupons.owner import Owner, find_owner
from siyu.coupons.pricing import Pricing, Turn
from siyu.coupons.reasons import details_of, worded
from siyu.coupons.records import Coupon, Gift, Limits, Taker
from siyu.coupons.request import CouponNotFound, TemplateNotFound
from siyu.coupons.telling import told_of_coupon
from siyu.coupons.template import Template, valid_until
from siyu.coupons.template_records import Stored
from siyu.errors import Refused
from siyu.identity.outbox import tell
from siyu.loyalty.request import PersonRef

Way = Literal["issued", "claimed"]

_WORDS = {
    "ENDED": "It has ended; none is given any more.",
    "NOT_STARTED": "It has not begun yet.",
    "NOT_ELIGIBLE": "It is not for this person.",
}


async def give(
    connection: Any, pricing: Pricing, template_id: str, person: PersonRef, now: datetime, *, way: Way, cause: str = ""
) -> Coupon:
    """Give a person one coupon of a template. `connection`: raw asyncpg, in the caller's transaction.

    Raises TemplateNotFound, PersonNotFound, Refused (ENDED, NOT_STARTED, NOT_ELIGIBLE, LIMIT_REACHED, OUT_OF_STOCK)."""
    stored = (await template_records.newest(connection, {template_id})).get(template_id)
    if stored is None:
        raise TemplateNotFound(f"There is no template {template_id[:80]!r}.")
    if way == "claimed" and not stored.template.claimable:
        raise Refused("NOT_ELIGIBLE", "Persons cannot take this coupon themselves.")
    owner = await find_owner(connection, person, pricing.secret, now, hold=True)
    pooled = None
    if await template_records.has_pool(connection, template_id):
        pooled = await records.next_pooled(connection, template_id)
        if pooled is None:
            raise Refused("OUT_OF_STOCK", "There are no codes left in its pools.")
    return await give_to(Turn(connection, pricing, now), owner, stored, pooled=pooled, way=way, cause=cause)


async def give_to(turn: Turn, owner: Owner, stored: Stored, *, pooled: int | None, way: Way, cause: str = "") -> Coupon:
    """Give to a person whose rows are locked; `pooled`: this coupon of a pool. Raises Refused."""
    connection, pricing, now, _ = turn
    template = stored.template
    if (why := await may_have(turn, owner, stored)) is not None:
        raise Refused(
            why.code, worded(_WORDS[why.code], why.why), template=template.id, **details_of(why.because, why.why)
        )
    gift = Gift(
        owner.anchor, owner.wallets.own, stored.version, now.astimezone(pricing.zone).date(), now,
        template.starts_at, valid_until(template, now, pricing.zone),
    )  # fmt: skip
    taker = Taker(owner.anchors, owner.holders)
    limits = Limits(template.id, template.per_user, template.per_user_per_day)
    if pooled is None:
        sealed = pricing.vault.seal(make_code(pricing.random))
        coupon = await records.give(connection, limits, taker, gift, sealed)
    else:
        coupon = await records.give_pooled(connection, limits, taker, gift, pooled)
    if coupon is None:
        raise Refused("LIMIT_REACHED", "This person has had as many as one person may.", **_limits(template))
    if not await records.count_one(connection, template.id):
        raise Refused("LIMIT_REACHED", "All of them have been given.", total=template.total)
    await tell(connection, [told_of_coupon(f"coupon.{way}", coupon, now, {"cause": cause} if cause else None)])
    return coupon


def _limits(template: Template) -> dict[str, int]:
    found = {"per_user": template.per_user, "per_user_per_day": template.per_user_per_day}
    return {name: value for name, value in found.items() if value is not None}


async def revoke(connection: Any, number: int, now: datetime, reason: str) -> Coupon:
    """Take a coupon back from its owner. Raises CouponNotFound, Refused (COUPON_USED, LOCKED …)."""
    coupon = await records.revoke(connection, number)
    if coupon is None:
        there = await records.by_id(connection, number)
        if there is None:
            raise CouponNotFound("There is no such coupon.")
        code = {"redeemed": "COUPON_USED", "locked": "LOCKED", "expired": "COUPON_EXPIRED"}.get(there.state, "ENDED")
        raise Refused(code, f"A coupon that is {there.state} is not taken back.")
    await tell(connection, [told_of_coupon("coupon.revoked", coupon, now, {"reason": reason})])
    return coupon
