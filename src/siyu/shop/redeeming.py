"""Verbs of the points mall. Taking an item is one transaction: points, stock, limit, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from siyu.coupons import facts, giving
from siyu.coupons.owner import Owner, find_owner
from siyu.coupons.pricing import Turn
from siyu.coupons.reasons import details_of, worded
from siyu.coupons.settle import settle_person
from siyu.coupons.template import condition_of
from siyu.errors import Conflict, Contended, Refused, SiyuError
from siyu.identity import outbox
from siyu.ledger import Command, Flow, Leg, Role, derived_key
from siyu.ledger.read_records import balances, due_of
from siyu.loyalty.posting import settlements
from siyu.rules.explain import Reason
from siyu.segments.words import TIER
from siyu.shop import events, mall, mall_records, order_records, product_records
from siyu.shop.mall import SOURCE, Item, ItemNotFound, Redeem, Redemption, RedemptionView
from siyu.shop.order import Discount
from siyu.shop.payment import Taken
from siyu.shop.placing import Asked, Draft, Tools, look_up, order_of, reserve_all, write_new
from siyu.shop.product import SkuNotFound
from siyu.shop.request import Pay, Place, WantedLine
from siyu.shop.steps import Do, take_step
from siyu.shop.stock import OUT_OF_STOCK, Told


class Taking(NamedTuple):
    """A request to take an item."""

    item: str
    body: Redeem
    number: UUID
    by: str


async def put_item(connection: Any, item: Item, now: datetime) -> Item:
    """Store an item, or its next version. Raises WrongItem, InvalidRule, Conflict, SkuNotFound."""
    mall.checked(item)
    if item.sku is not None and item.sku not in await product_records.offers(connection, [item.sku]):
        raise SkuNotFound(f"There is no SKU {item.sku}: make its product first.", sku=item.sku)
    if not await mall_records.put_item(connection, item, now):
        raise Conflict("This version of the item exists already, or the one before it does not.")
    return item


async def find_item(connection: Any, number: str) -> Item:
    """Raises ItemNotFound."""
    if (found := await mall_records.find_item(connection, number)) is None:
        raise ItemNotFound(f"There is no item {number[:100]} in the mall.")
    return found


async def left_of(connection: Any, items: Sequence[Item]) -> dict[str, int | None]:
    """Item → how many are left; None: it is not counted."""
    held = await balances(connection, [mall.holder(one.id) for one in items if one.limited])
    there = {one.holder: one.balance for one in held if one.role is Role.AVAILABLE}
    codes = await mall_records.free_codes(connection, [one.id for one in items if one.gives == "code"])
    found: dict[str, int | None] = {}
    for one in items:
        counted = [there.get(mall.holder(one.id), 0)] if one.limited else []
        counted += [codes.get(one.id, 0)] if one.gives == "code" else []
        found[one.id] = min(counted) if counted else None
    return found


async def add_units(connection: Any, tools: Tools, item: str, quantity: int, told: Told) -> int:
    """More (or fewer) of an item can be had. Raises ItemNotFound, Refused; how many are left."""
    found = await find_item(connection, item)
    here, other = mall.units(item, Role.AVAILABLE), mall.units(item, Role.ISSUED if quantity > 0 else Role.CORRECTED)
    leg = Leg(other, here) if quantity > 0 else Leg(here, other)
    flow = Flow((leg,), abs(quantity), reversible=False, short=OUT_OF_STOCK)
    request = derived_key("mall stock", item, quantity)
    command = Command(told.key, request, "adjust", (flow,), told.at, reason=told.reason, by=told.by)
    (outcome,) = await tools.ledger.post(connection, [command])
    outcome.settled()
    return (await left_of(connection, [replace(found, limited=True)]))[item] or 0


async def redeem(connection: Any, taking: Taking, tools: Tools, now: datetime) -> RedemptionView:
    """Take an item. Raises ItemNotFound, PersonNotFound, Refused (NOT_STARTED, ENDED, NOT_ELIGIBLE, LIMIT_REACHED,
    INSUFFICIENT, OUT_OF_STOCK), Contended. Then nothing happened."""
    item = await find_item(connection, taking.item)
    mall.refuse_closed(item, now)
    owner = await find_owner(connection, taking.body.person, tools.secret, now, hold=True)
    await settle_person(connection, tools.ledger, owner, now)
    await _settle_units(connection, tools, item, now)
    unmet = await unmet_of(Turn(connection, tools.pricing, now), item, owner)
    if unmet:
        raise Refused("NOT_ELIGIBLE", worded("It is not for this person.", unmet), **details_of("condition", unmet))
    nth = await _within_limit(connection, item, owner)
    until = now + timedelta(seconds=tools.pay_seconds) if item.gives == "product" else None
    command = mall.spend(item, owner.wallets, taking.number, until, now)
    (outcome,) = await tools.ledger.post(connection, [command])
    outcome.settled()
    order_id = f"M-{taking.number.hex[:20]}" if item.gives == "product" else None
    state = "done" if until is None else "held"
    made = Redemption(
        taking.number, item.id, owner.anchor, nth, item.points, item.money_fen, outcome.transfer, state, "{}", order_id,
        now,
    )  # fmt: skip
    gives = await _give(Counter(connection, tools, taking, now), item, made)
    made = made._replace(gives=order_records.text_of(gives))
    if not await mall_records.add_redemption(connection, made):
        raise Contended("This person takes it elsewhere at the same time.", retry_after_s=1)
    await outbox.tell(connection, [_told(made, item, taking.body.end)])
    if order_id is not None and not item.money_fen:
        paid = Do("pay", order_id, Pay(), taking.number, taking.by, Taken("points", str(taking.number), 0))
        await take_step(connection, paid, tools, now)
        made = made._replace(state="done")
    return view(made)


def conditions_of(item: Item) -> list[Mapping[str, Any]]:
    """Whom an item is for: rules that must all hold."""
    tiers = [{"person": TIER, "op": "in", "value": list(item.tiers)}] if item.tiers else []
    return [*tiers, *([item.audience] if item.audience is not None else [])]


async def unmet_of(turn: Turn, item: Item, owner: Owner) -> tuple[Reason, ...]:
    """Which conditions of an item do not hold of a person; none: it is for them."""
    conditions = conditions_of(item)
    return await facts.unmet(turn, owner, condition_of({"all": conditions})) if conditions else ()


async def _settle_units(connection: Any, tools: Tools, item: Item, now: datetime) -> None:
    if item.limited and (due := await due_of(connection, [mall.holder(item.id)], now)):
        await tools.ledger.post(connection, settlements(due, {}, now))


async def _within_limit(connection: Any, item: Item, owner: Owner) -> int:
    """The number of this redemption among those under the same identifier. The person's rows are held."""
    taken = await mall_records.taken(connection, item.id, owner.anchors)
    if item.per_person is not None and len(taken) >= item.per_person:
        raise Refused("LIMIT_REACHED", f"A person may have {item.per_person} of it.", per_person=item.per_person)
    used = {nth for anchor, nth in taken if anchor == owner.anchor}
    return next(number for number in range(1, len(used) + 2) if number not in used)


class Counter(NamedTuple):
    """Where an item is handed over."""

    connection: Any
    tools: Tools
    taking: Taking
    now: datetime


async def _give(counter: Counter, item: Item, made: Redemption) -> dict[str, str]:
    """What the item gives."""
    connection, tools, taking, now = counter
    if item.gives == "coupon":
        assert item.coupon is not None
        cause = f"{SOURCE}{item.id}"
        given = await giving.give(
            connection, tools.pricing, item.coupon, taking.body.person, now, way="issued", cause=cause
        )
        return {"coupon": tools.pricing.vault.open(given.code, given.sealed)}
    if item.gives == "code":
        if (code := await mall_records.take_code(connection, item.id, made.id)) is None:
            raise Refused(OUT_OF_STOCK, "All codes were given away.")
        return {"code": code}
    assert made.order_id is not None
    await _make_order(counter, item, made.order_id)
    return {"order_id": made.order_id}


async def _make_order(counter: Counter, item: Item, order_id: str) -> None:
    """The order of a product: points took off all of its price but the money on top."""
    connection, tools, taking, now = counter
    assert item.sku is not None
    place = Place(
        order_id=order_id, end=taking.body.end, lines=(WantedLine(item.sku, 1),), person=taking.body.person,
        pay_within_s=tools.pay_seconds,
    )  # fmt: skip
    asked = Asked(place, derived_key("mall order", taking.number), taking.number, taking.by)
    world = await look_up(connection, [asked], tools, now)
    order = order_of(asked, world.offers, next(iter(world.buyers.values())), tools, now)
    off = max(0, order.list_fen - item.money_fen)
    line = replace(order.lines[0], payable_fen=order.list_fen - off)
    discounts = (Discount(f"{SOURCE}{item.id}", off),)
    order = replace(order, lines=(line,), payable_fen=order.list_fen - off, discounts=discounts)
    (reserved,) = await reserve_all(connection, [Draft(asked, order)], tools, now)
    if isinstance(reserved, SiyuError):
        raise reserved
    await write_new(connection, [Draft(asked, reserved)])


def _told(made: Redemption, item: Item, end: str) -> outbox.Told:
    said = {"redemption_id": str(made.id), "item": item.id, "label": item.label, "points": made.points,
            "gives": item.gives}  # fmt: skip
    return outbox.Told(f"mall/{made.id}", "mall.redeemed", made.at, said, made.anchor, end=end, source=events.SOURCE)


def view(one: Redemption) -> RedemptionView:
    """A redemption as it is answered."""
    gives = msgspec.json.decode(one.gives, type=dict[str, str])
    return RedemptionView(str(one.id), one.item, one.points, one.money_fen, one.state, gives, one.at)
