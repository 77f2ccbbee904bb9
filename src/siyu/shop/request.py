"""What can be asked of the shop about orders, and what it answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from siyu.loyalty.request import PersonRef
from siyu.shop.intent_records import Asking
from siyu.shop.order import Back, Discount, Line, Order, Step
from siyu.shop.order_records import Payment
from siyu.shop.product import FEN_MAX, Code, End, Fen, Quantity, Text

LINES_MAX: Final = 200
OrderId = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x20/?#\x7f]+$")]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=7 * 86_400)]
Amount = Annotated[int, msgspec.Meta(ge=0, le=FEN_MAX)]


class WantedLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many units of a SKU. What is not in the list of products needs its price."""

    sku: Code
    qty: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    price_fen: Fen | None = None
    """Of one unit, as the customer saw it: when the list has another, PRICE_CHANGED."""
    name: Text = ""
    collections: Annotated[tuple[Code, ...], msgspec.Meta(max_length=50)] = ()


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Make an order: the body of a quote, and a number."""

    order_id: OrderId
    end: End
    lines: Annotated[tuple[WantedLine, ...], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    person: PersonRef | None = None
    coupons: Annotated[tuple[Word, ...], msgspec.Meta(max_length=20)] = ()
    points: Annotated[int, msgspec.Meta(ge=0, le=10**12)] = 0
    """To pay with."""
    shipping_fen: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    at: Instant | None = None
    """When it was made, if not now: prices of that instant, never of one to come."""
    pay_within_s: Seconds | None = None
    """It lapses unpaid after so long; null: as SIYU_ORDER_PAY_SECONDS says."""


class Pay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Pay an order, or say that it was paid elsewhere."""

    amount_fen: Amount | None = None
    """Must be what is to be paid."""
    provider: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,29}$")] = "external"
    """`external`: the caller took the money; `test`: the local test provider takes it."""
    payment_id: Word | None = None
    """What the provider calls the payment."""
    card: Annotated[str, msgspec.Meta(max_length=30)] | None = None
    """Of the test provider: 4000000000000002 is declined."""


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fulfil, receive, complete or cancel an order."""

    note: Text = ""
    """Carrier and number of the parcel, or the reason of a cancellation."""


class BackLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Units that come back."""

    sku: Code
    qty: Quantity = 1


class GiveBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Refund: everything that is left; an amount; units of lines; or units for an amount."""

    amount_fen: Annotated[int, msgspec.Meta(ge=0, le=FEN_MAX)] | None = None
    lines: Annotated[tuple[BackLine, ...], msgspec.Meta(min_length=1, max_length=LINES_MAX)] | None = None
    refund_id: Word | None = None
    """Tells refunds apart; null: a number of ours."""
    reason: Text = ""
    restock: bool = True
    """Whether units that come back can be sold again."""


class PaymentView(msgspec.Struct, frozen=True):
    """Money that came in or went back."""

    kind: str
    provider: str
    reference: str
    amount_fen: int
    at: datetime
    reason: str
    lines: list[Back]


class RefundView(msgspec.Struct, frozen=True):
    """What a refund gave back."""

    refund_id: str
    amount_fen: int
    lines: list[Back]
    points: int = 0
    """Points that went back into the lots they came from."""


class PayoutView(msgspec.Struct, frozen=True):
    """How far the money of a refund is."""

    id: str
    """The refund_id."""
    amount_fen: int
    state: str
    """`planned`, `sending`, `done` or `failed`; of an unclear payment `open`."""
    because: str
    """Why it is not done, as the provider says; empty: nothing is wrong."""


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Money that could not go back is sent again."""

    refund_id: Word | None = None
    """Of a refund, or the payment_id of a payment that goes back; null: all of the order."""


class OrderView(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order as it stands."""

    order_id: str
    source: str
    state: str
    end: str
    list_fen: int
    payable_fen: int
    paid_fen: int
    refunded_fen: int
    kept_fen: int
    lines: list[Line]
    discounts: list[Discount]
    created_at: datetime
    expires_at: datetime | None
    steps: list[Step]
    number: int
    person_id: str | None = None
    payments: list[PaymentView] | None = None
    refund: RefundView | None = None
    refunds: list[PayoutView] | None = None
    """All refunds of the order, and whether their money has moved."""
    returns: list[PayoutView] | None = None
    """Payments (by payment_id) that came when the order could not be paid by them any more, and go back."""
    unclear: list[PayoutView] | None = None
    """Payments (by payment_id) that were asked for and of which the provider has not said what became of them."""


class OrderPage(msgspec.Struct, frozen=True):
    """Orders, newest first; pass `next_before` as `before` for the next."""

    items: list[OrderView]
    next_before: int | None


def view(order: Order, **more: Any) -> OrderView:
    """An order as it is answered."""
    return OrderView(
        order.order_id, order.source, order.state.value, order.end, order.list_fen, order.payable_fen, order.paid_fen,
        order.refunded_fen, order.kept_fen, list(order.lines), list(order.discounts), order.created_at,
        order.expires_at, list(order.steps), order.number, **more,
    )  # fmt: skip


def refunds(money: Sequence[Payment], kind: str = "refund") -> list[PayoutView] | None:
    """The refunds (or returns) among the money of an order; None when there are none."""
    return [
        PayoutView(one.reference, one.amount_fen, one.state, one.because) for one in money if one.kind == kind
    ] or None


def unclear(asked: Sequence[Asking]) -> list[PayoutView] | None:
    """Payments whose end is not known; None when there are none."""
    return [PayoutView(one.reference, one.amount_fen, one.state, one.because) for one in asked] or None


def page(views: Sequence[OrderView], limit: int) -> OrderPage:
    """A page of a list."""
    return OrderPage(list(views), views[-1].number if len(views) == limit else None)
