"""What a step of an order says in the stream. Pure; names as docs/events.md has them, properties as docs/orders.md."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from siyu.identity.outbox import Told
from siyu.ids import identifier_key
from siyu.shop.order import EVENT, Order, Refund, State, Step
from siyu.shop.payment import Taken

SOURCE = "siyu-shop"
"""Source of the events of our own orders: what the shop hears from itself it does not take for a foreign order."""


def _basket(order: Order) -> dict[str, Any]:
    """What every step says: the order, its money and its lines."""
    lines = [
        {
            "sku": line.sku,
            "product_id": line.product_id or line.sku,
            "product": line.name or line.sku,
            "category": line.category,
            "quantity": line.qty,
            "price_fen": line.price_fen,
            "payable_fen": line.payable_fen,
        }
        for line in order.lines
    ]
    first = lines[0]
    return {
        "order_id": order.order_id,
        "sku": first["sku"],
        "product_id": first["product_id"],
        "product": first["product"],
        "category": first["category"],
        "quantity": sum(line.qty for line in order.lines),
        "skus": list(dict.fromkeys(line.sku for line in order.lines)),
        "list_fen": order.list_fen,
        "discount_fen": order.list_fen - order.payable_fen,
        "lines": lines,
    }


def event(order: Order, state: State, step: Step, refund: Refund | None = None) -> Told:
    """The event of a step. Its id is derived, so that it is one event however often it is told."""
    said = _basket(order)
    suffix = state.value
    if state is State.PAID:
        said["amount_fen"] = order.payable_fen
        if order.discounts:
            said["discounts"] = [{"source": one.source, "amount_fen": one.amount_fen} for one in order.discounts]
    elif state is State.REFUNDED:
        suffix = f"refund/{step.ref}"
        said |= {"refund_id": step.ref, "refund_fen": step.amount_fen, "reason": step.note}
        backs = refund.lines if refund is not None else ()
        said["lines"] = [{"sku": one.sku, "quantity": one.qty, "amount_fen": one.amount_fen} for one in backs]
    else:
        said["payable_fen"] = order.payable_fen
        if step.note:
            said["reason" if state is State.CANCELLED else "note"] = step.note
    number = f"order/{order.order_id}/{suffix}"
    return Told(number, EVENT[state], step.at, said, order.anchor, _guest(order), end=order.end, source=SOURCE)


RETURNED: Final = "order.payment_returned"
"""A payment came for an order that could not be paid by it, and goes back."""


def returned(order: Order, step: Step, taken: Taken) -> Told:
    """The event of it; once for each payment."""
    said = {
        "order_id": order.order_id,
        "amount_fen": taken.amount_fen,
        "payment_id": taken.reference,
        "provider": taken.provider,
        "reason": step.note,
    }
    number = f"order/{order.order_id}/returned/{taken.provider}/{taken.reference}"
    return Told(number, RETURNED, step.at, said, order.anchor, _guest(order), end=order.end, source=SOURCE)


def _guest(order: Order) -> str | None:
    """Who bought without a name is somebody of this one order."""
    return None if order.anchor is not None else identifier_key("anonymous_id", f"order:{order.order_id}")


class CartChange(NamedTuple):
    """Something was put into a cart (`units` positive) or taken out."""

    anchor: int
    sku: str
    units: int
    end: str
    at: datetime
    number: str
    """Names the change."""


def cart_event(change: CartChange, said: dict[str, Any]) -> Told:
    """The event of a change of a cart."""
    name = "cart.added" if change.units > 0 else "cart.removed"
    said = {"sku": change.sku, "quantity": abs(change.units), **said}
    number = f"cart/{change.number}"
    return Told(number, name, change.at, said, change.anchor, end=change.end, source=SOURCE)
