"""Who told first that money of a foreign order came or went; the same again is a repetition. Pure.

The site's SDK, the shop's webhook and the till may all tell of one payment, each under an event id of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.collect.catalogue import canonical
from siyu.ledger import derived_key
from siyu.shop.foreign import UNNAMED, about_of, reference_of
from siyu.shop.order import EVENT, State

PAID: Final = EVENT[State.PAID]
TELLERS_MAX: Final = 200
"""Of a number that more identifiers have paid under (a constant that somebody sends), no more are looked at."""


class Claim(NamedTuple):
    """The first event of its kind: of this order, by this source, under this identifier."""

    order_id: str
    shop: str
    """UNNAMED: the event named none."""
    name: str
    """Canonical: `order.paid` or `order.refunded`."""
    reference: str
    """`payment_id` or `refund_id`; empty: it named none."""
    source: str
    anchor: int
    event_id: str
    """Without NUL, which PostgreSQL keeps in no text."""
    at: datetime


def claim_of(
    name: str, said: Mapping[str, Any], *, source: str, anchor: int, event_id: str, at: datetime
) -> Claim | None:
    """What an event claims. None: it names no order, is no payment or refund, or a refund without a number: those are
    told apart by their events alone."""
    about, name = about_of(said), canonical(name)
    if about is None:
        return None
    reference = reference_of(name, said) or ""
    if name != PAID and (name != EVENT[State.REFUNDED] or not reference):
        return None
    return Claim(about.order_id, about.source, name, reference, source, anchor, event_id.replace("\x00", ""), at)


def key_of(one: Claim) -> UUID:
    """Equal for claims of which only the first is kept."""
    return derived_key(one.order_id, one.shop, one.name, one.reference, one.source, one.anchor)


def repeats(one: Claim, first: Claim) -> bool:
    """Whether `one` tells what `first` told, provided that both are of one person.

    The same number of a payment (or refund) is the same one. Without numbers on both sides another end tells again what
    one end has told; what one end tells several times is several (a row for each line of an order)."""
    if (one.order_id, one.name) != (first.order_id, first.name) or (one.source, one.event_id) == (
        first.source,
        first.event_id,
    ):
        return False
    if one.shop != first.shop and UNNAMED not in (one.shop, first.shop):
        return False
    if one.reference and first.reference:
        return one.reference == first.reference
    return one.source != first.source


def first_of(one: Claim, whose: Set[int], known: Iterable[tuple[Claim, Set[int]]]) -> Claim | None:
    """The earliest of the claims known that `one` repeats. `whose`: the persons of the identifiers that an event
    carries, mostly one; one in common and the events are of the same person."""
    found = [first for first, persons in known if not whose.isdisjoint(persons) and repeats(one, first)]
    return min(found, key=lambda first: (first.at, first.source, first.event_id), default=None)
