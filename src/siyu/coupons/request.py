"""What a shop, a till or an end may ask of coupons, and what it is answered. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec

from siyu.coupons.code import CODE_CHARS_MAX
from siyu.coupons.quote import LINES_MAX, Fen, Quantity, Quote, Word
from siyu.coupons.template import Instant
from siyu.errors import NotFound
from siyu.loyalty.request import PersonRef, WrongRequest

COUPONS_MAX: Final = 20
TTL_SECONDS_MAX: Final = 7 * 86_400

CodeText = Annotated[str, msgspec.Meta(min_length=1, max_length=2 * CODE_CHARS_MAX, pattern=r"^[^\x00]*$")]
"""A code as it was typed or scanned, or the id of a template: then the person's coupon of it that ends first."""
Points = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Ttl = Annotated[int, msgspec.Meta(ge=1, le=TTL_SECONDS_MAX)]


class CouponNotFound(NotFound):
    """There is no such code."""

    code = "COUPON_NOT_FOUND"


class TemplateNotFound(NotFound):
    """There is no such template."""

    code = "TEMPLATE_NOT_FOUND"


class LockNotFound(NotFound):
    """There is no such lock."""

    code = "LOCK_NOT_FOUND"


class BasketLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many of one article. What is not in the list of products needs its price."""

    sku: Word
    qty: Quantity
    price_fen: Fen | None = None
    """Of one unit; null: what the list says, at the end of the basket."""
    collections: Annotated[tuple[Word, ...], msgspec.Meta(max_length=100)] = ()
    """Collections and categories it belongs to, beside those that the shop knows."""


Lines = Annotated[tuple[BasketLine, ...], msgspec.Meta(min_length=1, max_length=LINES_MAX)]


class QuoteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A basket to be priced."""

    lines: Lines
    end: Word
    person: PersonRef | None = None
    coupons: Annotated[tuple[CodeText, ...], msgspec.Meta(max_length=COUPONS_MAX)] = ()
    points: Points = 0
    """Points to pay with."""
    at: Instant | None = None
    """Price it as if it were then; what is taken aside is always priced now."""
    shipping_fen: Fen = 0


class LockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Set aside a coupon, points or both, for so many seconds."""

    person: PersonRef
    coupon: CodeText | None = None
    points: Points = 0
    order_id: Word | None = None
    ttl_s: Ttl
    end: Word = "store"
    lines: Annotated[tuple[BasketLine, ...], msgspec.Meta(max_length=LINES_MAX)] = ()
    """When given, the coupon must fit them and what it takes off is known; else its face value is reserved."""


class Redeem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Use a coupon at once."""

    code: CodeText
    person: PersonRef | None = None
    """Who uses it; without, its owner."""
    order_id: Word | None = None
    end: Word = "store"
    lines: Annotated[tuple[BasketLine, ...], msgspec.Meta(max_length=LINES_MAX)] = ()


class OrderLock(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an order uses, as its quote says it."""

    person: PersonRef | None
    order_id: Word
    ttl_s: int
    quote: Quote
    end: str = ""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of a committed lock that goes back: so many points, and the coupons that any refund gives back. Without
    `points` it is all that is left."""

    points: Points | None = None


class Held(msgspec.Struct, frozen=True):
    """A coupon or rule in a lock."""

    source: str
    """`coupon/TEMPLATE` or `price_rule/ID`."""
    off_fen: int
    """What it takes off; of a coupon without lines its face value, 0 where that is not known."""
    coupon_id: int | None = None
    returned: bool = False


class LockSeen(msgspec.Struct, frozen=True):
    """A lock as it stands."""

    lock_id: UUID
    state: str
    """`held`, then one of `committed`, `released`, `expired`; `rolled_back` after all of it was given back."""
    order_id: str | None
    points: int
    points_back: int
    discounts: tuple[Held, ...]
    at: datetime
    ends_at: datetime


class CouponSeen(msgspec.Struct, frozen=True):
    """A coupon as its owner and the shop see it."""

    coupon_id: int
    code: str
    template: str
    label_zh: str
    label_en: str
    kind: str
    state: str
    """`given`, `locked`, `redeemed`, `expired`, `revoked`; `pooled`: nobody's yet."""
    given_at: datetime | None
    valid_from: datetime | None
    valid_until: datetime | None
    """From then on it is no good; null: for ever."""
    redeemed_at: datetime | None
    off_fen: int | None = None
    pay_percent: int | None = None
    min_spend_fen: int = 0
    person_id: str | None = None


def lock_number(text: str) -> UUID:
    """A lock's number as it was written. Raises LockNotFound for what can be none."""
    try:
        return UUID(text)
    except ValueError:
        raise LockNotFound(f"There is no lock {text[:80]!r}.") from None


def check_lock(request: LockRequest) -> None:
    """Raises WrongRequest when it names nothing to set aside."""
    if request.coupon is None and not request.points:
        raise WrongRequest("Name a coupon, points or both: there is nothing to set aside.", path="coupon")
