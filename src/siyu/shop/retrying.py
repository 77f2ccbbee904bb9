"""Money that could not move is tried again: refunds and returns that failed, payments that are not clear."""

from __future__ import annotations

from typing import Any

from siyu.clock import Now
from siyu.errors import NotFound
from siyu.shop import intent_records, order_records, payment_records
from siyu.shop.order import Order, OrderNotFound
from siyu.shop.request import OrderView, Retry, refunds, unclear, view
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once


class RefundNotFound(NotFound):
    """The order has no such refund."""

    code = "REFUND_NOT_FOUND"


async def retry(db: Database, order_id: str, body: Retry, key: str | None, now: Now) -> OrderView:
    """Plan again what failed; what is on its way or done stays as it is. The jobs send it, under the same number, so
    that a provider who gave it after all gives nothing more. Raises OrderNotFound, RefundNotFound,
    IdempotencyConflict."""

    async def do(connection: Any) -> OrderView:
        found = await order_records.find_order(connection, order_id, lock=True)
        if found is None:
            raise OrderNotFound(f"There is no order {order_id}.")
        answer = await with_money(connection, found)
        known = {one.id for part in (answer.refunds, answer.returns, answer.unclear) for one in part or ()}
        if body.refund_id is not None and body.refund_id not in known:
            raise RefundNotFound(f"The order {order_id} has no refund {body.refund_id}.")
        await payment_records.try_again(connection, found.number, body.refund_id, now())
        await intent_records.ask_now(connection, found.number, body.refund_id, now())
        return await with_money(connection, found)

    return await once(db, Asked(key, f"orders/{order_id}/refund/retry", body), OrderView, do, now)


async def with_money(connection: Any, found: Order, **more: Any) -> OrderView:
    """An order with how far its money is."""
    booked = await order_records.payments_of(connection, found.number)
    asked = await intent_records.open_of(connection, found.number)
    return view(found, refunds=refunds(booked), returns=refunds(booked, "return"), unclear=unclear(asked), **more)
