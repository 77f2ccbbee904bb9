"""What a step of an order says in the stream. Pure; names as docs/events.md has them, properties as docs/orders.md."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from siyu.shop.order import EVENT, Order, Refund, State, Step

SOURCE = "siyu-shop"
"""Source of the events of our own orders: what the shop hears from itself it does not take for a foreign order."""


class OutboxRow(NamedTuple):
    """A step on its way into the stream. Either an anchor or a guest."""

    anchor: int | None
    guest: str | None
    event_id: str
    name: str
    at: datetime
    end: str
    properties: str


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


def event(order: Order, state: State, step: Step, refund: Refund | None = None) -> OutboxRow:
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
    guest = None if order.anchor is not None else f"order:{order.order_id}"
    number = f"order/{order.order_id}/{suffix}"
    return OutboxRow(order.anchor, guest, number, EVENT[state], step.at, order.end, _json(said))


class CartChange(NamedTuple):
    """Something was put into a cart (`units` positive) or taken out."""

    anchor: int
    sku: str
    units: int
    end: str
    at: datetime
    number: str
    """Names the change."""


def cart_event(change: CartChange, said: dict[str, Any]) -> OutboxRow:
    """The event of a change of a cart."""
    name = "cart.added" if change.units > 0 else "cart.removed"
    text = _json({"sku": change.sku, "quantity": abs(change.units), **said})
    return OutboxRow(change.anchor, None, f"cart/{change.number}", name, change.at, change.end, text)


def _json(said: dict[str, Any]) -> str:
    return msgspec.json.encode(said).decode()
