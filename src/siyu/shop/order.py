"""Orders: what was bought, how far it is, and what each step does to it. Pure.

created → paid → fulfilled → received → completed; cancelled from created or paid; refunded when all money went back.
A step that was taken already changes nothing; one that cannot be taken is refused with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from siyu.errors import MalformedRequest, NotFound, Refused
from siyu.shop.sharing import share, up_to


class State(StrEnum):
    """How far an order is."""

    CREATED = "created"
    PAID = "paid"
    FULFILLED = "fulfilled"
    RECEIVED = "received"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


CHAIN: Final = (State.CREATED, State.PAID, State.FULFILLED, State.RECEIVED, State.COMPLETED)
NOT_YET: Final = {
    State.PAID: "NOT_PAID",
    State.FULFILLED: "NOT_FULFILLED",
    State.RECEIVED: "NOT_RECEIVED",
}
"""Refusal of a step whose previous one is missing."""
EVENT: Final = {
    State.CREATED: "order.created",
    State.PAID: "order.paid",
    State.FULFILLED: "order.fulfilled",
    State.RECEIVED: "order.received",
    State.COMPLETED: "order.completed",
    State.CANCELLED: "order.cancelled",
    State.REFUNDED: "order.refunded",
}
OURS: Final = "shop"
"""Source of the orders that were made here."""
LAPSED: Final = "lapsed"
"""Why an unpaid order was cancelled by time."""


class OrderNotFound(NotFound):
    """There is no such order."""

    code = "ORDER_NOT_FOUND"


def only_source(order_id: str, sources: Sequence[str]) -> str:
    """Whose order is meant where nobody says it, of the shops that have one of this id: ours first. Raises
    OrderNotFound."""
    if OURS in sources or not sources:
        return OURS
    if len(sources) > 1:
        raise OrderNotFound(
            f"{len(sources)} shops have an order {order_id}; say whose as source: {', '.join(sources)}."
        )
    return sources[0]


class WrongRefund(MalformedRequest):
    """A refund that contradicts itself or the order."""

    code = "WRONG_REFUND"
    status = 422


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One position. Discounts are shared over the lines: `payable_fen` adds up to the order's."""

    sku: str
    qty: int
    price_fen: int
    payable_fen: int
    """Of all units of the line."""
    name: str = ""
    product_id: str = ""
    category: str = ""
    tracked: bool = False
    """Whether its units were taken from stock."""
    refunded_qty: int = 0
    refunded_fen: int = 0

    @property
    def list_fen(self) -> int:
        """Before discounts."""
        return self.price_fen * self.qty


class Discount(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why something costs less."""

    source: str
    amount_fen: int
    line: int | None = None
    label: str = ""


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened to an order, for its timeline and its events."""

    name: str
    """Of the event: order.paid …"""
    at: datetime
    by: str = ""
    note: str = ""
    """Reason of a cancellation or refund; carrier and number of a parcel."""
    amount_fen: int = 0
    ref: str = ""
    """Payment or refund."""


class Order(msgspec.Struct, frozen=True):
    """An order as it stands."""

    number: int
    """In the table; 0: not stored yet."""
    version: int
    source: str
    order_id: str
    anchor: int | None
    """The identifier under which it was made; None: nobody known."""
    end: str
    state: State
    list_fen: int
    payable_fen: int
    paid_fen: int
    refunded_fen: int
    lines: tuple[Line, ...]
    discounts: tuple[Discount, ...]
    steps: tuple[Step, ...]
    created_at: datetime
    expires_at: datetime | None
    """When it lapses unpaid."""
    stock: int | None
    """The ledger's transfer that set units aside."""
    lock: str | None
    """The lock of coupon and points."""

    @property
    def kept_fen(self) -> int:
        """Paid and not given back."""
        return self.paid_fen - self.refunded_fen

    @property
    def lapsed(self) -> bool:
        """Whether time cancelled it."""
        return self.ending == LAPSED

    @property
    def ending(self) -> str:
        """Why it was cancelled; empty when it was not."""
        if self.state is not State.CANCELLED:
            return ""
        notes = (step.note for step in reversed(self.steps) if step.name == EVENT[State.CANCELLED])
        return next(notes, "") or "cancelled"

    def due(self, now: datetime) -> bool:
        """Whether its time to be paid is over."""
        return self.state is State.CREATED and self.expires_at is not None and self.expires_at <= now

    def reached(self, state: State) -> bool:
        """Whether this step was taken."""
        return any(step.name == EVENT[state] for step in self.steps)


class Back(msgspec.Struct, frozen=True, omit_defaults=True):
    """Units and money of a line that go back."""

    line: int
    sku: str
    qty: int
    amount_fen: int


class Refund(NamedTuple):
    """What goes back to the customer."""

    amount_fen: int
    lines: tuple[Back, ...]

    def units(self, order: Order) -> dict[str, int]:
        """Units that return to stock, by SKU."""
        found: dict[str, int] = {}
        for one in self.lines:
            if one.qty and order.lines[one.line].tracked:
                found[one.sku] = found.get(one.sku, 0) + one.qty
        return found


def with_shares(lines: Sequence[Line], payable_fen: int, per_line: Sequence[int] | None = None) -> tuple[Line, ...]:
    """Lines with their part of what is to be paid: as given, else in proportion to their list price."""
    shares = per_line if per_line is not None else share(payable_fen, [line.list_fen for line in lines])
    return tuple(msgspec.structs.replace(line, payable_fen=part) for line, part in zip(lines, shares, strict=True))


def tracked_units(lines: Sequence[Line]) -> dict[str, int]:
    """Units whose stock is counted, by SKU."""
    found: dict[str, int] = {}
    for line in lines:
        if line.tracked:
            found[line.sku] = found.get(line.sku, 0) + line.qty
    return found


def _refuse_ended(order: Order) -> None:
    if order.state is State.CANCELLED:
        code = "ENDED" if order.lapsed else "ORDER_CANCELLED"
        why = "on request" if order.ending == "cancelled" else order.ending
        raise Refused(code, f"The order {order.order_id} was cancelled: {why}.")
    if order.state is State.REFUNDED:
        raise Refused("ORDER_REFUNDED", f"All money of the order {order.order_id} went back.")


def advance(order: Order, to: State, step: Step) -> Order:
    """One step along the chain; itself when it was taken already. Raises Refused."""
    if order.reached(to) and order.state is not State.CANCELLED:
        return order
    _refuse_ended(order)
    before = CHAIN[CHAIN.index(to) - 1]
    if order.state is not before:
        raise Refused(
            NOT_YET.get(before, "NOT_COMPLETE"), f"The order is {order.state.value}.", state=order.state.value
        )
    return msgspec.structs.replace(order, state=to, steps=(*order.steps, step))


def pay(order: Order, amount_fen: int | None, step: Step) -> Order:
    """The order is paid; itself when it was before. Raises Refused: AMOUNT_MISMATCH, ENDED, ORDER_CANCELLED."""
    if order.reached(State.PAID) and order.state is not State.CANCELLED:
        return order
    _refuse_ended(order)
    if amount_fen is not None and amount_fen != order.payable_fen:
        raise Refused(
            "AMOUNT_MISMATCH", f"{order.payable_fen} fen are to be paid.",
            payable_fen=order.payable_fen, amount_fen=amount_fen,
        )  # fmt: skip
    step = msgspec.structs.replace(step, amount_fen=order.payable_fen)
    paid = msgspec.structs.replace(order, paid_fen=order.payable_fen, expires_at=None)
    return advance(paid, State.PAID, step)


def cancel(order: Order, step: Step, *, given_back: bool = False) -> Order:
    """The order is given up; itself when it was before. `given_back`: what was paid just went back. Raises Refused."""
    if order.state is State.CANCELLED:
        return order
    if not given_back:
        _refuse_ended(order)
    if order.reached(State.FULFILLED):
        code = "COMPLETED" if order.state is State.COMPLETED else "ALREADY_FULFILLED"
        raise Refused(code, f"The order is {order.state.value}: refund it instead.", state=order.state.value)
    return msgspec.structs.replace(order, state=State.CANCELLED, expires_at=None, steps=(*order.steps, step))


def refund_of(order: Order, amount_fen: int | None, units: Mapping[int, int] | None) -> Refund:
    """What a refund means: all that is left; an amount; units of lines (place → units); or units for an amount.

    Money for units follows from the line's share, unit by unit, so that any sequence of refunds adds up to what was
    paid.
    Raises Refused (NOT_PAID, ORDER_REFUNDED, REFUND_EXCEEDS_PAID), WrongRefund."""
    if amount_fen == 0 and units is None:
        raise WrongRefund("A refund of 0 fen without lines gives nothing back.", path="amount_fen")
    if not order.reached(State.PAID):
        _refuse_ended(order)
        raise Refused("NOT_PAID", "Nothing was paid for this order yet.")
    if order.state in (State.REFUNDED, State.CANCELLED):
        raise Refused("ORDER_REFUNDED", f"All money of the order {order.order_id} went back.")
    left = [line.payable_fen - line.refunded_fen for line in order.lines]
    if amount_fen is None and units is None:
        units = {place: line.qty - line.refunded_qty for place, line in enumerate(order.lines)}
        return _back(order, units, left)
    if units is None:
        if not 0 < (amount_fen or 0) <= order.kept_fen:
            raise _too_much(order, amount_fen)
        return _back(order, {}, share(amount_fen or 0, left))
    for place, quantity in units.items():
        line = order.lines[place]
        if not 0 < quantity <= line.qty - line.refunded_qty:
            raise Refused(
                "REFUND_EXCEEDS_PAID", f"{line.qty - line.refunded_qty} units of {line.sku} are left.", sku=line.sku
            )
    if amount_fen is None:
        amounts = [_unit_money(line, units.get(place, 0)) for place, line in enumerate(order.lines)]
        return _back(order, units, amounts)
    weights = [rest if place in units else 0 for place, rest in enumerate(left)]
    if not 0 <= amount_fen <= sum(weights):
        raise _too_much(order, amount_fen)
    return _back(order, units, share(amount_fen, weights))


def _unit_money(line: Line, quantity: int) -> int:
    """Money for the next `quantity` units of a line, less what went back for it before without units."""
    if not quantity:
        return 0
    due = up_to(line.payable_fen, line.refunded_qty + quantity, line.qty)
    return max(0, min(due, line.payable_fen) - line.refunded_fen)


def _too_much(order: Order, amount_fen: int | None) -> Refused:
    return Refused(
        "REFUND_EXCEEDS_PAID", f"Between 1 and {order.kept_fen} fen can be given back.",
        left_fen=order.kept_fen, amount_fen=amount_fen or 0,
    )  # fmt: skip


def _back(order: Order, units: Mapping[int, int], amounts: Sequence[int]) -> Refund:
    lines = tuple(
        Back(place, line.sku, units.get(place, 0), amounts[place])
        for place, line in enumerate(order.lines)
        if units.get(place, 0) or amounts[place]
    )
    return Refund(sum(amounts), lines)


def points_of(order: Order, refund: Refund, points: int) -> int:
    """Points that go back with the units of a refund, of those that the order was paid with: each line has its share,
    each unit its part of it, so that all units together bring back all points."""
    weights = [line.payable_fen for line in order.lines]
    if not any(weights):
        weights = [line.list_fen for line in order.lines]
    shares = share(points, weights)
    back = 0
    for one in refund.lines:
        line = order.lines[one.line]
        after = up_to(shares[one.line], line.refunded_qty + one.qty, line.qty)
        back += after - up_to(shares[one.line], line.refunded_qty, line.qty)
    return back


def refunded(order: Order, refund: Refund, step: Step) -> Order:
    """The order after a refund; `refunded` when nothing is left of money, nor of units where nothing was paid."""
    lines = list(order.lines)
    for one in refund.lines:
        line = lines[one.line]
        lines[one.line] = msgspec.structs.replace(
            line, refunded_qty=line.refunded_qty + one.qty, refunded_fen=line.refunded_fen + one.amount_fen
        )
    total = order.refunded_fen + refund.amount_fen
    all_units = all(line.refunded_qty == line.qty for line in lines)
    whole = total == order.paid_fen and (order.paid_fen > 0 or all_units)
    return msgspec.structs.replace(
        order,
        lines=tuple(lines),
        refunded_fen=total,
        state=State.REFUNDED if whole else order.state,
        steps=(*order.steps, msgspec.structs.replace(step, amount_fen=refund.amount_fen)),
    )


def chosen_units(order: Order, wanted: Sequence[tuple[str, int]]) -> dict[int, int]:
    """Units named by SKU as places of lines; a SKU on several lines is taken from the first that has some left.

    Raises WrongRefund for a SKU that is not in the order; what is too much is left for `refund_of` to refuse."""
    found: dict[int, int] = {}
    for sku, asked in wanted:
        quantity = asked
        places = [place for place, line in enumerate(order.lines) if line.sku == sku]
        if not places:
            raise WrongRefund(f"{sku} is not in this order.", path="lines")
        for place in places:
            line = order.lines[place]
            taken = min(quantity, line.qty - line.refunded_qty - found.get(place, 0))
            if taken > 0:
                found[place] = found.get(place, 0) + taken
                quantity -= taken
        if quantity > 0:
            found[places[-1]] = found.get(places[-1], 0) + quantity
    return found
