"""What a lock sets aside: which coupons, budgets and points, and how each is held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from siyu.coupons import giving, records, template_records
from siyu.coupons.actions import quote
from siyu.coupons.offers import budget_holder, find_coupons, why_not
from siyu.coupons.owner import Owner
from siyu.coupons.pricing import Turn
from siyu.coupons.reasons import details_of, worded
from siyu.coupons.records import Coupon, Hold
from siyu.coupons.request import CouponNotFound, LockRequest, OrderLock, QuoteRequest
from siyu.coupons.settle import settle_budgets
from siyu.coupons.template import Template, holds_entitlement
from siyu.errors import Refused
from siyu.ledger import AtEnd, Command, Flow, Leg, Role, derived_key
from siyu.loyalty.posting import account

FEN: Final = "fen"
PRICE_RULE: Final = "price_rule/"
BY: Final = "lock"
SAID: Final = {
    "COUPON_NOT_YOURS": "It belongs to somebody else.",
    "LOCKED": "It is set aside for another purchase.",
    "COUPON_USED": "It was used before.",
    "COUPON_EXPIRED": "Its time is over.",
    "ENDED": "It was taken back.",
    "NOT_STARTED": "It cannot be used yet.",
}


class Use(NamedTuple):
    """One discount that is to be held."""

    source: str
    coupon: Coupon | None
    off_fen: int
    has_budget: bool
    once: bool = False
    """Whether the person's other orders are kept from it."""

    @property
    def coupon_number(self) -> int:
        """0: it is no coupon."""
        return self.coupon.id if self.coupon is not None else 0


async def uses_of_till(turn: Turn, owner: Owner | None, request: LockRequest) -> list[Use]:
    """What a till asks for. Raises CouponNotFound, Refused."""
    if request.coupon is None:
        return []
    coupon, template = await own_coupon(turn, owner, request.coupon)
    if request.lines:
        asked = QuoteRequest(lines=request.lines, end=request.end, person=request.person, coupons=(request.coupon,))
        found = await quote(turn.connection, turn.pricing, asked, turn.now, hold=True, order_id=request.order_id)
        if found.refused:
            first = found.refused[0]
            words = worded(f"The coupon does not apply: {first.because or first.code}.", first.why)
            raise Refused(first.code, words, **details_of(first.because, first.why))
        off = sum(one.amount_fen for one in found.discounts if one.coupon == request.coupon)
    else:
        ends = template.scope.ends
        if ends and request.end not in ends:
            raise Refused("CHANNEL_NOT_ALLOWED", f"It cannot be used at {request.end}.", ends=list(ends))
        off = template.off_fen or template.max_off_fen or 0
    return [Use(f"coupon/{template.id}", coupon, off, template.budget_fen is not None)]


async def uses_of_order(turn: Turn, owner: Owner | None, request: OrderLock) -> list[Use]:
    """What a quote used: a coupon or rule once, however many lines it takes something off."""
    sums: dict[tuple[str, str | None], int] = {}
    for one in request.quote.discounts:
        if one.source != "points":
            sums[one.source, one.coupon] = sums.get((one.source, one.coupon), 0) + one.amount_fen
    rules = await template_records.price_rules(turn.connection) if sums else {}
    uses = []
    for (source, asked), off in sums.items():
        if asked is not None:
            coupon, template = await own_coupon(turn, owner, asked)
            uses.append(Use(source, coupon, off, template.budget_fen is not None))
        elif source.startswith(PRICE_RULE) and (known := rules.get(source.removeprefix(PRICE_RULE))) is not None:
            rule = known[1]
            uses.append(Use(source, None, off, rule.budget_fen is not None, holds_entitlement(rule)))
    return uses


async def own_coupon(turn: Turn, owner: Owner | None, asked: str) -> tuple[Coupon, Template]:
    """The coupon meant, usable by the person; one of a pool becomes theirs. Raises CouponNotFound, Refused."""
    coupon = (await find_coupons(turn, owner, [asked])).get(asked)
    if coupon is None:
        raise CouponNotFound("There is no such coupon.")
    if coupon.state == "pooled":
        if owner is None:
            raise Refused("NOT_ELIGIBLE", "Say for whom: this code becomes theirs.")
        stored = (await template_records.newest(turn.connection, {coupon.template}))[coupon.template]
        coupon = await giving.give_to(turn, owner, stored, pooled=coupon.id, way="claimed")
    if (why := why_not(coupon, owner, turn.now)) is not None:
        raise Refused(why, SAID[why])
    known = await template_records.versions(turn.connection, {(coupon.template, coupon.version)})
    return coupon, known[coupon.template, coupon.version]


async def hold_coupon(turn: Turn, owner: Owner | None, use: Use, hold: Hold) -> None:
    """Set a coupon aside. Raises Refused: somebody was faster."""
    if owner is None:
        raise Refused("COUPON_NOT_YOURS", SAID["COUPON_NOT_YOURS"])
    if await records.lock(turn.connection, use.coupon_number, hold, owner.holders, turn.now) is not None:
        return
    there = await records.by_id(turn.connection, use.coupon_number)
    why = "LOCKED" if there is None else why_not(there, owner, turn.now) or "LOCKED"
    raise Refused(why, SAID[why])


async def hold_units(turn: Turn, owner: Owner | None, uses: Sequence[Use], points: int, hold: Hold) -> dict[int, int]:
    """Hold points (-1) and budgets (by place) in the ledger; the numbers of the transfers. Raises Refused."""
    flows: dict[int, Flow] = {}
    if points:
        if owner is None:
            raise Refused("INSUFFICIENT", "Nobody is named who could pay with points.")
        legs = tuple(
            Leg(account(one, Role.AVAILABLE), account(one, Role.REDEEMED), account(one, Role.LOCKED))
            for one in owner.holders
        )
        flows[-1] = Flow(legs, points, ends_at=hold.until, at_end=AtEnd.EXPIRE)
    for place, use in enumerate(uses):
        if use.has_budget and use.off_fen:
            name = budget_holder(use.source)
            leg = Leg(*(account(name, role, FEN) for role in (Role.AVAILABLE, Role.REDEEMED, Role.LOCKED)))
            flows[place] = Flow((leg,), use.off_fen, ends_at=hold.until, at_end=AtEnd.EXPIRE, short="BUDGET_EXHAUSTED")
    budgets = sorted({budget_holder(uses[place].source) for place in flows if place >= 0})
    await settle_budgets(turn.connection, turn.pricing.ledger, budgets, turn.now)
    cause = f"order/{turn.order_id}" if turn.order_id else f"lock/{hold.lock}"
    request = derived_key("lock", hold.lock)
    commands = [
        Command(derived_key("lock", hold.lock, place), request, "lock", (flow,), turn.now, cause=cause, by=BY)
        for place, flow in flows.items()
    ]
    outcomes = await turn.pricing.ledger.post(turn.connection, commands)
    return {place: one.settled().transfer for place, one in zip(flows, outcomes, strict=True)}
