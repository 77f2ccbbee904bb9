"""Routes of orders (INTERFACE 6)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from litestar import get, post
from litestar.params import Parameter

from siyu.clock import Now
from siyu.coupons.owner import find_owner
from siyu.errors import WrongValue
from siyu.idempotency import Key
from siyu.identity.members import named_by_uid
from siyu.identity.person_id import person_uuid
from siyu.loyalty.newcomers import Call, Newcomers
from siyu.shop import order_records
from siyu.shop.desk import Orders
from siyu.shop.order import Order, State
from siyu.shop.order_records import Filter
from siyu.shop.request import GiveBack, Move, OrderPage, OrderView, Pay, PaymentView, Place, page, view
from siyu.shop.retrying import with_money
from siyu.store.postgres import Database

BY_API = "api"
PAGE_MAX = 200
Limit = Annotated[int, Parameter(ge=1, le=PAGE_MAX)]
Before = Annotated[int | None, Parameter(ge=1, lt=2**62)]
Short = Annotated[str | None, Parameter(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]


@post("/api/orders", summary="Make an order", status_code=200, tags=["orders"])
async def place_order(data: Place, orders: Orders, newcomers: Newcomers, idempotency_key: Key = None) -> OrderView:
    """The body of a quote with an order_id. The same order again is answered again; another one under the same number
    is 409 DUPLICATE. 409 OUT_OF_STOCK, PRICE_CHANGED, and whatever the quote refuses. A buyer who is not known is
    enrolled: 503 ENROLMENT_PENDING."""
    call = Call("orders", end=data.end)
    return await newcomers.met(data.person, call, lambda: orders.place(data, idempotency_key, BY_API))


@post("/api/orders/{order_id:str}/pay", summary="Pay an order", status_code=200, tags=["orders"])
async def pay_order(order_id: str, orders: Orders, data: Pay | None = None, idempotency_key: Key = None) -> OrderView:
    """Paid once: again answers the same. 409 AMOUNT_MISMATCH, PAYMENT_DECLINED, ENDED, ORDER_CANCELLED."""
    return await orders.pay(order_id, data or Pay(), idempotency_key, BY_API)


@post("/api/orders/{order_id:str}/fulfil", summary="The goods left", status_code=200, tags=["orders"])
async def fulfil_order(
    order_id: str, orders: Orders, data: Move | None = None, idempotency_key: Key = None
) -> OrderView:
    """409 NOT_PAID, ORDER_CANCELLED, ORDER_REFUNDED."""
    return await orders.move("fulfil", order_id, data or Move(), idempotency_key, BY_API)


@post("/api/orders/{order_id:str}/receive", summary="The goods arrived", status_code=200, tags=["orders"])
async def receive_order(
    order_id: str, orders: Orders, data: Move | None = None, idempotency_key: Key = None
) -> OrderView:
    """Points that waited for it become usable. 409 NOT_FULFILLED, ORDER_CANCELLED, ORDER_REFUNDED."""
    return await orders.move("receive", order_id, data or Move(), idempotency_key, BY_API)


@post("/api/orders/{order_id:str}/complete", summary="Nothing is open any more", status_code=200, tags=["orders"])
async def complete_order(
    order_id: str, orders: Orders, data: Move | None = None, idempotency_key: Key = None
) -> OrderView:
    """409 NOT_RECEIVED, ORDER_CANCELLED, ORDER_REFUNDED."""
    return await orders.move("complete", order_id, data or Move(), idempotency_key, BY_API)


@post("/api/orders/{order_id:str}/cancel", summary="Cancel an order", status_code=200, tags=["orders"])
async def cancel_order(
    order_id: str, orders: Orders, data: Move | None = None, idempotency_key: Key = None
) -> OrderView:
    """Frees stock, coupon and points; what was paid goes back. 409 ALREADY_FULFILLED, COMPLETED, ORDER_REFUNDED."""
    return await orders.move("cancel", order_id, data or Move(), idempotency_key, BY_API)


@post(
    "/api/orders/{order_id:str}/refund", summary="Refund an order, whole or in part", status_code=200, tags=["orders"]
)
async def refund_order(
    order_id: str, orders: Orders, data: GiveBack | None = None, idempotency_key: Key = None
) -> OrderView:
    """Everything that is left; an amount; units of lines; or units for an amount. 409 NOT_PAID, REFUND_EXCEEDS_PAID,
    ORDER_REFUNDED."""
    return await orders.move("refund", order_id, data or GiveBack(), idempotency_key, BY_API)


@get("/api/orders/{order_id:str}", summary="An order", tags=["orders"])
async def show_order(order_id: str, db: Database, orders: Orders, source: Short = None) -> OrderView:
    """With its lines, discounts, steps and money. `source` names the foreign shop of an order that is not ours, where
    several shops have an order of this id."""
    found = await orders.show(order_id, source)
    async with db.driver() as connection:
        booked = await order_records.payments_of(connection, found.number)
        uids = await _persons(connection, [found])
        money = [
            PaymentView(
                one.kind, one.provider, one.reference, one.amount_fen, one.at, one.reason, order_records.backs_of(one)
            )
            for one in booked
        ]
        return await with_money(connection, found, payments=money, person_id=uids.get(found.anchor or 0))


@get("/api/orders", summary="Orders, newest first", tags=["orders"])
async def list_orders(
    *,
    db: Database,
    person_state: Annotated[State | None, Parameter(query="state")] = None,
    source: Short = None,
    end: Short = None,
    begins: Annotated[str | None, Parameter(query="order_id", max_length=100, pattern=r"^[^\x00]*$")] = None,
    since: Annotated[datetime | None, Parameter(query="from")] = None,
    until: Annotated[datetime | None, Parameter(query="to")] = None,
    money: Literal["failed", "stuck"] | None = None,
    limit: Limit = 50,
    before: Before = None,
) -> OrderPage:
    """By state, source, end, beginning of the number, and time of making [from, to); `money`: with money that could
    not go back (`failed`), or that a provider has been asked about in vain three times (`stuck`)."""
    if any(one is not None and one.tzinfo is None for one in (since, until)):
        raise WrongValue("`from` and `to` need a time zone.", path="from")
    wanted = Filter(person_state and person_state.value, source, end, since, until, begins or None, before, money)
    async with db.driver() as connection:
        found = await order_records.list_orders(connection, wanted, limit)
        uids = await _persons(connection, found)
    return page([view(one, person_id=uids.get(one.anchor or 0)) for one in found], limit)


async def _persons(connection: Any, orders: list[Order]) -> dict[int, str]:
    """Anchor → public id of the person now."""
    uids = await order_records.uids_of(connection, [one.anchor for one in orders if one.anchor is not None])
    named = await named_by_uid(connection, uids.values()) if uids else {}
    return {anchor: str(named[uid].uid) for anchor, uid in uids.items() if uid in named}


@get("/api/persons/{person_id:str}/orders", summary="A person's orders", tags=["orders"])
async def person_orders(
    *, person_id: str, db: Database, now: Now, secret: bytes, limit: Limit = 50, before: Before = None
) -> OrderPage:
    """Of all their identifiers, newest first, orders of foreign shops too."""
    async with db.driver() as connection:
        buyer = await find_owner(connection, str(person_uuid(person_id)), secret, now())
        found = await order_records.orders_of(connection, buyer.spans, before, limit)
    return page([view(one, person_id=str(buyer.named.uid)) for one in found], limit)


routes: list[Any] = [
    place_order,
    pay_order,
    fulfil_order,
    receive_order,
    complete_order,
    cancel_order,
    refund_order,
    show_order,
    list_orders,
    person_orders,
]
