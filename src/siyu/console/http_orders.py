"""Orders: the list by state, and one order with its lines, discounts, money, steps and what can be done next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import uuid4

from litestar import Response, get, post

from siyu.collect.catalogue import fen
from siyu.console.i18n import mark as _
from siyu.console.page import redirect
from siyu.console.people import display_name
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import Conflict, MalformedRequest, SiyuError
from siyu.identity.members import named_by_uid
from siyu.profile.many import portraits_of
from siyu.shop import Orders, intent_records, order_records, retrying
from siyu.shop.order import OURS, Order, OrderNotFound, State
from siyu.shop.order_records import Filter
from siyu.shop.request import BackLine, GiveBack, Move, Pay, Retry
from siyu.store.postgres import Database

PAGE_ORDERS: Final = 50
STATES: Final = {
    "created": (_("To be paid"), "gold", "clock"),
    "paid": (_("To be sent"), "jade", "credit-card"),
    "fulfilled": (_("On its way"), "jade", "truck"),
    "received": (_("Goods received"), "jade", "package"),
    "completed": (_("Completed"), "stone", "check"),
    "cancelled": (_("Cancelled"), "stone", "x"),
    "refunded": (_("Refunded"), "stone", "receipt-refund"),
}
SOURCES: Final = {"shop": _("Our shop"), "events": _("Told by events")}
WHY: Final = {
    "coupon": _("Coupon %(name)s"),
    "price_rule": _("Price rule %(name)s"),
    "points": _("Paid with points"),
    "mall": _("Points mall %(name)s"),
}
PROVIDERS: Final = {"external": _("Paid outside"), "test": _("Test provider"), "points": _("Points")}
NOTES: Final = {
    "lapsed": _("not paid in time"),
    "cancelled": _("cancelled"),
    "already_paid": _("paid by another payment"),
}
MONEY: Final = {
    "planned": (_("Waiting to go back"), "gold", "clock"),
    "sending": (_("Going back"), "jade", "refresh"),
    "done": (_("Has gone back"), "stone", "check"),
    "failed": (_("Did not go back"), "rose", "alert-triangle"),
}
"""How far money that goes back is."""
TROUBLE: Final = {"failed": _("Refund failed"), "stuck": _("Refund stuck")}
"""Orders whose money could not move, or has waited for a provider in vain."""
NEXT: Final = {"paid": "fulfil", "fulfilled": "receive", "received": "complete"}
SAID: Final = {
    "fulfil": _("The order is on its way."),
    "receive": _("The order was received; points that waited for it are usable."),
    "complete": _("The order is completed."),
    "cancel": _("The order was cancelled. What it held is free again."),
    "refund": _("The refund was booked; its money is on its way."),
    "retry": _("The money is sent again. How it went is shown here in a moment."),
    "pay": _("The payment was noted."),
}


class Shown(NamedTuple):
    """An order in a list, with who made it."""

    order: Order
    person_id: str | None
    name: str


async def _named(db: Database, orders: Sequence[Order], visit: Visit) -> list[Shown]:
    anchors = [one.anchor for one in orders if one.anchor is not None]
    async with db.driver() as connection:
        uids = await order_records.uids_of(connection, anchors)
        named = await named_by_uid(connection, uids.values()) if uids else {}
    portraits = await portraits_of(db, [one.person for one in named.values()], visit.moment)
    found = []
    for one in orders:
        person = named.get(uids[one.anchor]) if one.anchor in uids else None
        portrait = portraits.get(person.person) if person is not None else None
        name = display_name(portrait, visit.locale) if portrait is not None else visit.face.text(_("Not known"))
        found.append(Shown(one, str(person.uid) if person is not None else None, name))
    return found


def words(visit: Visit) -> dict[str, Any]:
    """What templates call states, sources and reasons."""

    def state(name: str) -> tuple[str, str, str]:
        text, tone, symbol = STATES[name]
        return visit.face.text(text), tone, symbol

    def source(name: str) -> str:
        return visit.face.text(SOURCES[name]) if name in SOURCES else name

    def why(name: str) -> str:
        kind, _sep, rest = name.partition("/")
        text = visit.face.text(WHY[kind]) if kind in WHY else name
        return text % {"name": rest} if "%(name)s" in text else text

    def provider(name: str) -> str:
        return visit.face.text(PROVIDERS[name]) if name in PROVIDERS else name

    def note(text: str) -> str:
        return visit.face.text(NOTES[text]) if text in NOTES else text

    def money(name: str) -> tuple[str, str, str]:
        text, tone, symbol = MONEY[name]
        return visit.face.text(text), tone, symbol

    return {
        "money_of": money,
        "state_of": state,
        "source_of": source,
        "why": why,
        "provider_of": provider,
        "note_of": note,
    }


@get("/orders", include_in_schema=False)
async def orders(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Orders, newest first, by state, source and beginning of the number."""
    given = request.query_params
    state, source, text = given.get("state") or None, given.get("source") or None, given.get("q", "").strip()[:100]
    before = given.get("before", "")
    wanted = Filter(
        state if state in STATES else None, source, text=text.replace("\x00", "") or None,
        before=int(before) if before.isdecimal() and len(before) < 18 else None,
        money=money if (money := given.get("money", "")) in TROUBLE else None,
    )  # fmt: skip
    async with db.driver() as connection:
        found = await order_records.list_orders(connection, wanted, PAGE_ORDERS)
        counts = await order_records.counts(connection)
        trouble = await order_records.trouble(connection)
    return visit.page(
        "orders.html",
        orders=await _named(db, found, visit),
        counts=counts,
        trouble=[(name, visit.face.text(text), trouble[name]) for name, text in TROUBLE.items() if trouble[name]],
        money=wanted.money,
        states=list(STATES),
        state=wanted.state,
        source=source,
        text=text,
        next_before=found[-1].number if len(found) == PAGE_ORDERS else None,
        **words(visit),
    )


@get("/orders/{number:int}", include_in_schema=False)
async def order(number: int, request: AnyRequest, visit: Visit, db: Database, orders: Orders) -> Response[str]:
    """One order: what was bought, why it cost so much, its money, its way, and what can be done."""
    found = await _find(number, db, orders)
    return await _page(db, visit, found, said=request.query_params.get("said", ""))


async def _find(number: int, db: Database, orders: Orders) -> Order:
    async with db.driver() as connection:
        named = await order_records.name_of(connection, number)
    if named is None:
        raise OrderNotFound(f"There is no order {number}.")
    source, order_id = named
    return await orders.show(order_id, source)


async def _page(
    db: Database, visit: Visit, found: Order, *, said: str = "", problem: SiyuError | None = None
) -> Response[str]:
    (shown,) = await _named(db, [found], visit)
    async with db.driver() as connection:
        money = await order_records.payments_of(connection, found.number)
        unclear = await intent_records.open_of(connection, found.number)
    return visit.page(
        "order.html",
        status=200 if problem is None else problem.status,
        one=shown,
        order=found,
        money=money,
        unclear=[one for one in unclear if one.attempts],
        failed=[one for one in money if one.state == "failed"],
        ours=found.source == OURS,
        next_step=NEXT.get(found.state.value),
        refundable=found.reached(State.PAID) and found.state not in (State.CANCELLED, State.REFUNDED),
        problem=problem,
        refund_id=uuid4().hex,
        said=visit.face.text(SAID[said]) if said in SAID else None,
        **words(visit),
    )


@post("/orders/{number:int}/{verb:str}", include_in_schema=False, status_code=303)
async def step(
    *, number: int, verb: str, request: AnyRequest, visit: Visit, db: Database, orders: Orders
) -> Response[str]:
    """Take a step of an order of our own. A refusal is shown on its page, with its reason."""
    visit.operator.require("persons")
    form = await request.form()
    found = await _find(number, db, orders)
    if found.source != OURS:
        raise MalformedRequest("An order of a foreign shop is changed there.")
    order_id = found.order_id
    note, by = str(form.get("note", ""))[:500].replace("\x00", ""), visit.operator.name
    try:
        if verb == "pay":
            await orders.pay(order_id, Pay(provider="external", payment_id=note or None), None, by)
        elif verb == "refund":
            await orders.move("refund", order_id, _refund(form, note), None, by)
        elif verb == "retry":
            asked = str(form.get("refund_id", ""))[:200].replace("\x00", "")
            await retrying.retry(db, order_id, Retry(refund_id=asked or None), None, lambda: visit.moment.now)
        elif verb in SAID:
            await orders.move(verb, order_id, Move(note=note), None, by)
        else:
            raise MalformedRequest("There is no such step.")
    except Conflict as refusal:
        return await _page(db, visit, await orders.show(order_id), problem=refusal)
    return redirect(f"/console/orders/{number}?said={verb}")


def _refund(form: Any, reason: str) -> GiveBack:
    lines = tuple(
        BackLine(sku, int(quantity))
        for sku, quantity in zip(form.getall("sku", []), form.getall("qty", []), strict=False)
        if str(quantity).isdecimal() and 0 < int(quantity) <= 1_000_000
    )
    asked = str(form.get("amount", "")).strip()
    amount = fen(asked, unit_fen=100) if asked else None
    if asked and (amount is None or amount < 0):
        raise MalformedRequest("The amount is no amount of money.", path="amount")
    return GiveBack(
        amount_fen=amount, lines=lines or None, reason=reason, refund_id=str(form.get("refund_id", "")) or uuid4().hex,
        restock=bool(form.get("restock")),
    )  # fmt: skip


routes: list[Any] = [orders, order, step]
