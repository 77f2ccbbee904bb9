"""The points mall: what persons take for points, and on which terms. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from siyu.coupons.template import COUPON_WORDS, condition_of
from siyu.errors import MalformedRequest, NotFound, Refused
from siyu.ledger import AccountName, AtEnd, Command, End, Flow, Leg, Reverse, Role, State, derived_key
from siyu.loyalty.posting import account, all_of
from siyu.loyalty.request import PersonRef
from siyu.loyalty.wallet import Wallets
from siyu.rules.possible import asked_rule
from siyu.shop.product import Code, Name, Text
from siyu.shop.product import End as EndName
from siyu.shop.stock import OUT_OF_STOCK, STOCK

SOURCE: Final = "mall/"
"""A discount of an order that begins so is what points paid of it."""
CODES_MAX: Final = 100_000


class ItemNotFound(NotFound):
    """There is no such item in the mall."""

    code = "ITEM_NOT_FOUND"


class WrongItem(MalformedRequest):
    """An item that contradicts itself."""

    code = "WRONG_ITEM"
    status = 422


Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Something to be had for points."""

    id: Code
    label: Name
    description: Text = ""
    gives: Literal["coupon", "product", "code"]
    coupon: Code | None = None
    """Template of the coupon it gives."""
    sku: Code | None = None
    """SKU of the product it gives: an order is made of it."""
    points: Annotated[int, msgspec.Meta(ge=1, le=10**9)]
    money_fen: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    """To pay on top, of a product: points and stock are held until its order is paid."""
    limited: bool = False
    """Whether there are only so many; how many is booked as stock."""
    per_person: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    tiers: Annotated[tuple[Code, ...], msgspec.Meta(max_length=20)] = ()
    """Tiers whose members may take it; none named: everybody."""
    audience: dict[str, Any] | None = None
    """A rule about the person (docs/rules.md): a segment, a tag, a trait, what they did."""
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    """Not from then on."""
    active: bool = True
    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 1


def checked(item: Item) -> Item:
    """Itself. Raises WrongItem, InvalidRule."""
    wanted = {"coupon": item.coupon is not None, "product": item.sku is not None, "code": False}
    if not wanted.get(item.gives, False) and item.gives != "code":
        raise WrongItem(f"What gives a {item.gives} names it.", path="coupon" if item.gives == "coupon" else "sku")
    if (item.coupon is not None and item.gives != "coupon") or (item.sku is not None and item.gives != "product"):
        raise WrongItem(f"What gives a {item.gives} names nothing else.", path="gives")
    if item.money_fen and item.gives != "product":
        raise WrongItem("Only a product can cost money on top.", path="money_fen")
    if item.starts_at is not None and item.ends_at is not None and item.ends_at <= item.starts_at:
        raise WrongItem("It would end before it begins.", path="ends_at")
    if item.audience is not None:
        asked_rule(item.audience, COUPON_WORDS, path="audience")
        condition_of(item.audience)
    return item


def refuse_closed(item: Item, now: datetime) -> None:
    """Raises Refused (NOT_STARTED, ENDED)."""
    if item.starts_at is not None and now < item.starts_at:
        raise Refused("NOT_STARTED", "It has not begun yet.", starts_at=item.starts_at.isoformat())
    if not item.active or (item.ends_at is not None and now >= item.ends_at):
        raise Refused("ENDED", "It has ended; none is given any more.")


class Redeem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Take an item for points."""

    person: PersonRef
    end: EndName = "web"


class Redemption(NamedTuple):
    """An item that somebody took."""

    id: UUID
    item: str
    anchor: int
    nth: int
    points: int
    money_fen: int
    transfer: int
    state: str
    gives: str
    order_id: str | None
    at: datetime


class RedemptionView(msgspec.Struct, frozen=True):
    """An item that somebody took, and what they got."""

    redemption_id: str
    item: str
    points: int
    money_fen: int
    state: str
    """`held` until its order is paid, then `done`; `cancelled` when it was not, or was refunded."""
    gives: dict[str, str]
    """`coupon`: a code; `code`: a code; `order_id`: the order of a product."""
    at: datetime


def holder(item: str) -> str:
    """Under which name the ledger counts what is left of an item."""
    return SOURCE + item


def units(item: str, role: Role) -> AccountName:
    """An account of an item's own stock."""
    return AccountName(STOCK, holder(item), role)


def spend(item: Item, mine: Wallets, number: UUID, until: datetime | None, now: datetime) -> Command:
    """Points and a unit of the item, both or none: at once, or held until its order is paid."""
    held = until is not None
    legs = tuple(
        Leg(account(name, Role.AVAILABLE), account(name, Role.REDEEMED), account(name, Role.LOCKED) if held else None)
        for name in mine.holders
    )
    parts = [Flow(legs, item.points, ends_at=until, at_end=AtEnd.EXPIRE)]
    if item.limited:
        waits = units(item.id, Role.LOCKED) if held else None
        leg = Leg(units(item.id, Role.AVAILABLE), units(item.id, Role.REDEEMED), waits)
        parts.append(Flow((leg,), 1, ends_at=until, at_end=AtEnd.EXPIRE, short=OUT_OF_STOCK))
    key = derived_key("mall", number)
    return Command(
        key, key, "lock" if held else "spend", tuple(parts), now, reason=item.label, cause=SOURCE + item.id, by="mall",
    )  # fmt: skip


def decide(one: Redemption, state: State, now: datetime) -> Command:
    """The end of what a redemption holds; by time it is the same transfer whoever books it first."""
    ended = state is State.EXPIRED
    key = derived_key("end", one.transfer) if ended else derived_key("mall", one.id, state)
    kind = {State.POSTED: "post", State.VOIDED: "void"}.get(state, "expire")
    return Command(
        key, derived_key("end") if ended else key, kind, (End(one.transfer, state),), now, cause=SOURCE + one.item,
        by="time" if ended else "mall", corrects=one.transfer,
    )  # fmt: skip


def give_back(one: Redemption, amount: int, mine: Wallets, now: datetime) -> Command:
    """Points of a redemption return to the lots they came from, its unit to the item's stock: `amount` altogether."""
    key = derived_key("mall", one.id, "back")
    part = Reverse(one.transfer, amount, all_of(mine, Role.AVAILABLE), account(mine.own, Role.DEBT))
    return Command(key, key, "refund", (part,), now, cause=SOURCE + one.item, by="mall", corrects=one.transfer)
