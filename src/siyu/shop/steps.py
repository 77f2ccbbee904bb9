"""The steps of an order after it was made: paid, fulfilled, received, completed, cancelled, refunded, lapsed.

Each in the caller's transaction: the order is locked, the step decided, units, coupon and points moved, the order
written under its version, and the event put on its way.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from siyu.clock import Now
from siyu.coupons import locks
from siyu.coupons.request import Part
from siyu.errors import Contended, Refused
from siyu.identity.outbox import tell
from siyu.ledger import derived_key
from siyu.shop import events, intent_records, mall_follow, order, order_records, stock
from siyu.shop.holding import hold
from siyu.shop.order import LAPSED, Order, OrderNotFound, Refund, State, Step
from siyu.shop.order_records import Payment
from siyu.shop.payment import Taken
from siyu.shop.placing import Tools
from siyu.shop.request import GiveBack, Move, OrderView, Pay, RefundView, refunds, view
from siyu.store.postgres import Database, driver_of

LAPSED_AT_ONCE: Final = 200
TIME: Final = "time"


class Do(NamedTuple):
    """A step that is asked for."""

    verb: str
    order_id: str
    body: Pay | Move | GiveBack
    number: UUID
    """Of the request: names what it makes."""
    by: str
    taken: Taken | None = None
    declined: Refused | None = None
    asking: UUID | None = None
    """The intent that this money was taken by; None: of a provider that moves none."""


async def take_step(connection: Any, do: Do, tools: Tools, now: datetime) -> OrderView:
    """Do it. Raises OrderNotFound, Refused with the true reason, Contended."""
    found = await order_records.find_order(connection, do.order_id, lock=True)
    if found is None:
        raise OrderNotFound(f"There is no order {do.order_id}.")
    if do.verb == "pay":
        return await _pay(connection, found, do, tools, now)
    if do.verb == "refund":
        return await _refund(connection, found, do, tools, now)
    if do.verb == "cancel":
        return await _cancel(connection, found, do, tools, now)
    to = {"fulfil": State.FULFILLED, "receive": State.RECEIVED, "complete": State.COMPLETED}[do.verb]
    _refuse_lapsed(found, now)
    step = Step(order.EVENT[to], now, do.by, do.body.note if isinstance(do.body, Move) else "")
    after = order.advance(found, to, step)
    if after is not found:
        await _write(connection, after, to, now)
    return view(after)


def _refuse_lapsed(found: Order, now: datetime) -> None:
    if found.due(now):
        raise Refused("ENDED", f"The order {found.order_id} was not paid in time.")


async def _write(connection: Any, after: Order, state: State, now: datetime, refund: Refund | None = None) -> None:
    """Write an order and its newest step."""
    await order_records.update_order(connection, after, now)
    await tell(connection, [events.event(after, state, after.steps[-1], refund)])


async def _pay(connection: Any, found: Order, do: Do, tools: Tools, now: datetime) -> OrderView:
    assert isinstance(do.body, Pay)
    _refuse_lapsed(found, now)
    step = Step(order.EVENT[State.PAID], now, do.by)
    after = order.pay(found, do.body.amount_fen, step)
    if after is found:
        return view(after)
    if do.declined is not None:
        raise do.declined
    if do.taken is None:
        raise Contended("The order changed while it was looked at; try again.", retry_after_s=1)
    if do.asking is not None and not await intent_records.end(connection, do.asking, "booked"):
        raise Refused("PAYMENT_DECLINED", f"The payment {do.taken.reference} has ended; pay under another number.")
    after = replace(after, steps=(*after.steps[:-1], replace(after.steps[-1], ref=do.taken.reference)))
    if found.stock is not None:
        told = stock.Told(derived_key("sell", do.number), now, do.by, cause=f"order/{found.order_id}")
        (outcome,) = await tools.ledger.post(connection, [stock.sell(found.stock, told)])
        if outcome.refused is not None:
            raise Refused("ENDED", f"The order {found.order_id} was not paid in time.")
    await _use_lock(connection, found, tools, now)
    await mall_follow.order_paid(connection, found, tools, now)
    payment = Payment(
        derived_key("payment", found.number), found.number, "payment", do.taken.provider, do.taken.reference,
        found.payable_fen, now, "[]", "",
    )  # fmt: skip
    if not await order_records.add_payment(connection, payment):
        raise Refused(
            "DUPLICATE", f"The payment {do.taken.reference} is another order's.", payment_id=do.taken.reference
        )
    await _write(connection, after, State.PAID, now)
    return view(after)


class Giving(NamedTuple):
    """A refund about to be booked."""

    refund: Refund
    refund_id: str
    reason: str
    restock: bool
    do: Do


async def _use_lock(connection: Any, found: Order, tools: Tools, now: datetime) -> None:
    if found.lock is None:
        return
    try:
        await locks.commit(connection, tools.pricing, UUID(found.lock), now)
    except Refused as error:
        raise Refused("ENDED", f"The order {found.order_id} was not paid in time.") from error


async def _free_lock(connection: Any, found: Order, tools: Tools, now: datetime) -> None:
    if found.lock is not None:
        await locks.release(connection, tools.pricing, UUID(found.lock), now)


async def _return_lock(connection: Any, found: Order, giving: Giving, tools: Tools, now: datetime) -> int:
    """Coupon and points of an order go back with its money; how many points."""
    if found.lock is None:
        return 0
    number = UUID(found.lock)
    before = await locks.find(connection, number, hold=True)
    whole = order.refunded(found, giving.refund, found.steps[-1]).state is State.REFUNDED
    if whole:
        await locks.rollback(connection, tools.pricing, number, now)
        return before.points - before.points_back
    points = min(order.points_of(found, giving.refund, before.points), before.points - before.points_back)
    await locks.rollback(connection, tools.pricing, number, now, Part(points=points))
    return points


async def _cancel(connection: Any, found: Order, do: Do, tools: Tools, now: datetime) -> OrderView:
    assert isinstance(do.body, Move)
    _refuse_lapsed(found, now)
    paid = found.state is State.PAID
    if paid:
        await _give_back(connection, found, _all_of(found, do), tools, now)
        again = await order_records.find_order(connection, do.order_id, lock=True)
        assert again is not None
        found = again
    step = Step(order.EVENT[State.CANCELLED], now, do.by, do.body.note)
    after = order.cancel(found, step, given_back=paid)
    if after is found:
        return view(after)
    if found.stock is not None and not found.reached(State.PAID):
        told = stock.Told(derived_key("release", do.number), now, do.by, cause=f"order/{found.order_id}")
        await tools.ledger.post(connection, [stock.release(found.stock, told)])
    if not found.reached(State.PAID):
        await _free_lock(connection, found, tools, now)
        await mall_follow.order_given_up(connection, found, tools, now, by_time=False)
    await _write(connection, after, State.CANCELLED, now)
    return await _shown(connection, after) if found.reached(State.PAID) else view(after)


def _all_of(found: Order, do: Do) -> Giving:
    refund_id = f"cancel-{do.number.hex[:16]}"
    note = do.body.note if isinstance(do.body, Move) else ""
    return Giving(order.refund_of(found, None, None), refund_id, note or "cancelled", True, do)


async def _refund(connection: Any, found: Order, do: Do, tools: Tools, now: datetime) -> OrderView:
    assert isinstance(do.body, GiveBack)
    refund_id = do.body.refund_id or do.number.hex
    for one in await order_records.payments_of(connection, found.number):
        if one.kind == "refund" and one.reference == refund_id:
            backs = order_records.backs_of(one)
            return await _shown(connection, found, refund=RefundView(refund_id, one.amount_fen, backs))
    units = None
    if do.body.lines is not None:
        units = order.chosen_units(found, [(line.sku, line.qty) for line in do.body.lines])
    refund = order.refund_of(found, do.body.amount_fen, units)
    giving = Giving(refund, refund_id, do.body.reason, do.body.restock, do)
    after, points = await _give_back(connection, found, giving, tools, now)
    told = RefundView(refund_id, refund.amount_fen, list(refund.lines), points)
    return await _shown(connection, after, refund=told)


async def _give_back(connection: Any, found: Order, giving: Giving, tools: Tools, now: datetime) -> tuple[Order, int]:
    """Book a refund: units, coupon and points, money, event. The order after it, and the points that went back."""
    refund = giving.refund
    step = Step(order.EVENT[State.REFUNDED], now, giving.do.by, giving.reason, ref=giving.refund_id)
    after = order.refunded(found, refund, step)
    units = refund.units(found) if giving.restock else {}
    if units:
        key = derived_key("return", found.number, giving.refund_id)
        told = stock.Told(key, now, giving.do.by, giving.reason, f"order/{found.order_id}")
        (outcome,) = await tools.ledger.post(connection, [stock.take_back(units, told)])
        outcome.settled()
    points = await _return_lock(connection, found, giving, tools, now)
    if after.state is State.REFUNDED:
        points += await mall_follow.order_refunded(connection, found, tools, now)
    paid = [one for one in await order_records.payments_of(connection, found.number) if one.kind == "payment"]
    payment = Payment(
        derived_key("refund", found.number, giving.refund_id), found.number, "refund",
        paid[0].provider if paid else "external", giving.refund_id, refund.amount_fen, now,
        order_records.text_of(refund.lines), giving.reason, *_planned(refund, now),
    )  # fmt: skip
    if not await order_records.add_payment(connection, payment):
        raise Contended("This refund is booked by somebody else.", retry_after_s=1)
    await _write(connection, after, State.REFUNDED, now, refund)
    return after, points


def _planned(refund: Refund, now: datetime) -> tuple[str, str, int, datetime | None]:
    """State, reason, attempts and next attempt of a refund that is booked: its money moves later (jobs.pay_out)."""
    return ("planned", "", 0, now) if refund.amount_fen else ("done", "", 0, None)


async def _shown(connection: Any, after: Order, **more: Any) -> OrderView:
    """An order with how far its refunds are."""
    return view(after, refunds=refunds(await order_records.payments_of(connection, after.number)), **more)


async def lapse(connection: Any, found: Order, tools: Tools, now: datetime) -> Order:
    """An unpaid order's time is over: units, coupon and points are free again."""
    if found.stock is not None:
        at = found.expires_at or now
        told = stock.Told(derived_key("lapse", found.number), now, TIME, cause=f"order/{found.order_id}")
        command = stock.lapse(found.stock, told)
        part = command.parts[0]._replace(at=at)  # type: ignore[call-arg]  # an End
        await tools.ledger.post(connection, [command._replace(parts=(part,))])
    await _free_lock(connection, found, tools, now)
    await mall_follow.order_given_up(connection, found, tools, now, by_time=True)
    step = Step(order.EVENT[State.CANCELLED], now, TIME, LAPSED)
    after = order.cancel(found, step)
    await _write(connection, after, State.CANCELLED, now)
    return after


async def lapse_due(db: Database, tools: Tools, now: Now) -> int:
    """Let unpaid orders lapse whose time is over; how many. May run anywhere, at the same time twice."""
    done = 0
    while True:
        async with db.begin() as conn:
            connection = await driver_of(conn)
            due = await order_records.due_orders(connection, now(), LAPSED_AT_ONCE)
            await hold(connection, due, (), tools.secret, now())
            for order_id in due:
                found = await order_records.find_order(connection, order_id)
                assert found is not None
                await lapse(connection, found, tools, now())
        done += len(due)
        if len(due) < LAPSED_AT_ONCE:
            return done


async def fresh(db: Database, tools: Tools, order_id: str, source: str, now: Now) -> Order:
    """An order as it stands now: one whose time is over lapses before it is looked at. Raises OrderNotFound."""
    async with db.begin() as conn:
        connection = await driver_of(conn)
        found = await order_records.find_order(connection, order_id, source)
        if found is not None and found.due(now()):
            await hold(connection, [order_id], (), tools.secret, now())
            found = await order_records.find_order(connection, order_id, source, lock=True)
            if found is not None and found.due(now()):
                found = await lapse(connection, found, tools, now())
    if found is None:
        raise OrderNotFound(f"There is no order {order_id}.")
    return found
