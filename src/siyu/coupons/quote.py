"""What a basket costs: discounts in a fixed order, spread over its lines to the fen. Pure.

Order: price rule (a set price) → rules for items → rules for the order → coupons → points. Within a stage by priority,
ties by id, so the order in which coupons are named does not matter. Amounts are integer fen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from siyu.rules.explain import Reason

POINTS: Final = "points"
"""The source of what points pay."""

FEN_MAX: Final = 10**11
LINES_MAX: Final = 500
WHOLE: Final = 100
"""Percent to pay of something without a discount."""

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Fen = Annotated[int, msgspec.Meta(ge=0, le=FEN_MAX)]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class Line(NamedTuple):
    """So many of one article at a price each."""

    sku: str
    qty: int
    price_fen: int
    collections: tuple[str, ...] = ()
    """Collections and categories it belongs to."""


class Scope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a discount is for. Empty: everything."""

    skus: Annotated[tuple[Word, ...], msgspec.Meta(max_length=10_000)] = ()
    collections: Annotated[tuple[Word, ...], msgspec.Meta(max_length=1_000)] = ()
    except_skus: Annotated[tuple[Word, ...], msgspec.Meta(max_length=10_000)] = ()
    ends: Annotated[tuple[Word, ...], msgspec.Meta(max_length=50)] = ()

    @property
    def of_items(self) -> bool:
        """Whether it names articles."""
        return bool(self.skus or self.collections or self.except_skus)

    def takes(self, line: Line) -> bool:
        """Whether a line is one of those meant."""
        if line.sku in self.except_skus:
            return False
        named = line.sku in self.skus or not set(self.collections).isdisjoint(line.collections)
        return named or not (self.skus or self.collections)


class Stage(IntEnum):
    """When a discount has its turn."""

    PRICE = 1
    ITEM = 2
    ORDER = 3
    COUPON = 4


class Effect(NamedTuple):
    """What a discount does: exactly one of these."""

    off_fen: int = 0
    pay_percent: int = WHOLE
    price_fen: int | None = None
    """The price of one, where the list has more."""
    shipping: bool = False
    """Takes off shipping, up to `off_fen`; 0: all of it."""
    gift_sku: str = ""
    gift_qty: int = 0


class Offer(NamedTuple):
    """A discount that may apply, or, with `code`, one that was asked for and cannot."""

    id: str
    """Breaks ties."""
    source: str
    """As discounts name it: `price_rule/ID`, `coupon/TEMPLATE`."""
    stage: Stage
    effect: Effect
    scope: Scope = Scope()
    min_spend_fen: int = 0
    """Of what is left of the lines in scope when the stage begins."""
    max_off_fen: int | None = None
    exclusive: bool = False
    """Not together with any other discount."""
    group: str | None = None
    """Of a group one applies."""
    priority: int = 0
    """The higher one wins, and has its turn earlier; between equals the better one for the person."""
    budget_fen: int | None = None
    """What may be given away yet."""
    asked: str | None = None
    """As the caller named it; None: nobody asked for it."""
    code: str | None = None
    because: str = ""
    why: tuple[Reason, ...] = ()
    told: bool = False
    """Whether the quote says why it does not apply, though nobody asked for it."""

    @property
    def name(self) -> str | None:
        """As a refusal names it; None: nothing is said of it."""
        return self.asked or (self.source if self.told else None)


class Basket(NamedTuple):
    """What is to be priced."""

    lines: tuple[Line, ...]
    end: str = ""
    shipping_fen: int = 0
    points: int = 0
    """Points to pay with."""
    points_there: int | None = None
    """Points the person has; None: nobody is named."""
    points_per_yuan: int = 100


class Discount(msgspec.Struct, frozen=True, omit_defaults=True):
    """What something takes off."""

    source: str
    amount_fen: int
    line: int | None = None
    """Place of the line it is for, from 0; absent: the whole order."""
    coupon: str | None = None
    """The coupon as it was named."""


class Refused(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was asked for, or a price rule that is for a line, and does not apply: with its true reason."""

    what: str
    code: str
    because: str = ""
    why: tuple[Reason, ...] = ()
    """The conditions that do not hold of the person."""


class LinePrice(msgspec.Struct, frozen=True):
    """What a line costs."""

    line: int
    sku: str
    qty: int
    list_fen: int
    discount_fen: int
    payable_fen: int


class Gift(msgspec.Struct, frozen=True):
    """An article that comes with it."""

    sku: str
    qty: int
    source: str


class Earns(msgspec.Struct, frozen=True):
    """What paying it will earn."""

    points: int = 0
    growth: int = 0


class Quote(msgspec.Struct, frozen=True):
    """A price with its reasons. `list_fen` less all discounts is `payable_fen`."""

    list_fen: int
    payable_fen: int
    discounts: tuple[Discount, ...]
    refused: tuple[Refused, ...]
    earns: Earns
    lines: tuple[LinePrice, ...]
    """Every discount of the order is spread over them in proportion."""
    shipping_fen: int = 0
    """What is payable for shipping; part of `payable_fen`."""
    gifts: tuple[Gift, ...] = ()
    points: int = 0
    """Points that are used."""


def shares(amount: int, weights: Sequence[int]) -> list[int]:
    """`amount` split in proportion to weights, to the unit: the largest remainders get what is left, then the first.

    `amount` is at most the sum of weights; no share is above its weight."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    parts = [amount * weight // whole for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda place: (-(amount * weights[place] % whole), place))
    for place in by_rest[: amount - sum(parts)]:
        parts[place] += 1
    return parts


class _Sheet:
    """A basket while discounts are taken off."""

    def __init__(self, basket: Basket) -> None:
        self.basket = basket
        self.left = [line.qty * line.price_fen for line in basket.lines]
        self.shipping = basket.shipping_fen
        self.discounts: list[Discount] = []
        self.gifts: list[Gift] = []
        self.refused: list[Refused] = []

    @property
    def total(self) -> int:
        return sum(self.left) + self.shipping

    def take(self, offers: Iterable[Offer]) -> None:
        """Take discounts off, stage by stage."""
        ordered = sorted(offers, key=lambda one: (one.stage, -one.priority, one.id))
        for stage in Stage:
            before = list(self.left)
            for offer in ordered:
                if offer.stage is stage and (why := self._apply(offer, before)) is not None and offer.name:
                    self.refused.append(Refused(offer.name, *why))

    def _apply(self, offer: Offer, before: Sequence[int]) -> tuple[str, str] | None:
        """None, or (code, because)."""
        if offer.scope.ends and self.basket.end not in offer.scope.ends:
            return "CHANNEL_NOT_ALLOWED", "end"
        places = [place for place, line in enumerate(self.basket.lines) if offer.scope.takes(line)]
        if not places:
            return "NOT_ELIGIBLE", "scope"
        if sum(before[place] for place in places) < offer.min_spend_fen:
            return "NOT_ELIGIBLE", "min_spend"
        effect = offer.effect
        if effect.gift_sku:
            self.gifts.append(Gift(effect.gift_sku, effect.gift_qty, offer.source))
            self._note(offer, 0)
            return None
        if effect.shipping:
            return self._ship(offer)
        parts = self._parts(offer, places)
        off = sum(parts)
        if not off:
            gone = effect.price_fen is None or not any(self.left[place] for place in places)
            return "NOT_ELIGIBLE", "nothing_left" if gone else "price"
        if offer.budget_fen is not None and off > offer.budget_fen:
            return "BUDGET_EXHAUSTED", ""
        for place, part in zip(places, parts, strict=True):
            self.left[place] -= part
            if part and offer.stage <= Stage.ITEM:
                self._note(offer, part, place)
        if offer.stage > Stage.ITEM:
            self._note(offer, off)
        return None

    def _parts(self, offer: Offer, places: Sequence[int]) -> list[int]:
        """What each line in scope loses."""
        left = [self.left[place] for place in places]
        effect, base = offer.effect, sum(left)
        if effect.price_fen is not None:
            wanted = [effect.price_fen * self.basket.lines[place].qty for place in places]
            parts = [max(0, have - want) for have, want in zip(left, wanted, strict=True)]
            return parts if offer.max_off_fen is None else shares(min(sum(parts), offer.max_off_fen), parts)
        off = effect.off_fen if effect.pay_percent == WHOLE else base - base * effect.pay_percent // WHOLE
        return shares(min(off, base, offer.max_off_fen if offer.max_off_fen is not None else base), left)

    def _ship(self, offer: Offer) -> tuple[str, str] | None:
        off = min(self.shipping, offer.effect.off_fen or self.shipping)
        if not off:
            return "NOT_ELIGIBLE", "no_shipping"
        if offer.budget_fen is not None and off > offer.budget_fen:
            return "BUDGET_EXHAUSTED", ""
        self.shipping -= off
        self._note(offer, off)
        return None

    def _note(self, offer: Offer, amount: int, line: int | None = None) -> None:
        self.discounts.append(Discount(offer.source, amount, line, offer.asked))

    def pay_points(self) -> int:
        """Pay with points what can be paid with them; how many are used, rounded up to the point."""
        basket = self.basket
        if not basket.points:
            return 0
        if basket.points_there is None or basket.points > basket.points_there:
            self.refused.append(Refused(POINTS, "INSUFFICIENT"))
            return 0
        off = min(basket.points * 100 // basket.points_per_yuan, sum(self.left))
        if not off:
            return 0
        for place, part in enumerate(shares(off, self.left)):
            self.left[place] -= part
        self.discounts.append(Discount(POINTS, off))
        return -(-off * basket.points_per_yuan // 100)


def priced(basket: Basket, offers: Iterable[Offer], earns: Earns = Earns()) -> Quote:
    """The price of a basket. `earns`: filled in by the caller, who knows what earns."""
    given = sorted(offers, key=lambda one: (one.stage, one.id))
    chosen, lost = _chosen(basket, [one for one in given if one.code is None])
    sheet = _Sheet(basket)
    sheet.take(chosen)
    used = sheet.pay_points()
    refused = [Refused(one.name, one.code, one.because, one.why) for one in given if one.code is not None and one.name]
    refused += lost
    lists = [line.qty * line.price_fen for line in basket.lines]
    return Quote(
        sum(lists) + basket.shipping_fen,
        sheet.total,
        tuple(sheet.discounts),
        tuple(sorted([*refused, *sheet.refused], key=lambda one: (one.what, one.code))),
        earns,
        tuple(
            LinePrice(place, line.sku, line.qty, lists[place], lists[place] - sheet.left[place], sheet.left[place])
            for place, line in enumerate(basket.lines)
        ),
        sheet.shipping,
        tuple(sheet.gifts),
        used,
    )


def _total(basket: Basket, offers: Iterable[Offer]) -> tuple[int, int]:
    """What is to pay, and, less being better, minus the discounts that had an effect."""
    sheet = _Sheet(basket)
    sheet.take(offers)
    return sheet.total, -len(sheet.discounts)


def _chosen(basket: Basket, offers: Sequence[Offer]) -> tuple[list[Offer], list[Refused]]:
    """Offers that go together, and why the others that are named do not.

    Groups are decided one after the other in the order of their names; then an exclusive offer alone is weighed
    against all the others together. An exclusive offer that does nothing alone is out for its own reason: beside
    others it could do something (a smaller sum may fit its budget), but it stands beside none."""
    nothing = _total(basket, [])
    together = [one for one in offers if not one.exclusive and one.group is None]
    lost: list[Refused] = []
    for group in sorted({one.group for one in offers if one.group is not None and not one.exclusive}):
        rivals = [one for one in offers if one.group == group and not one.exclusive]
        effective = [one for one in rivals if _total(basket, [one]) < nothing] or rivals
        winner = min(effective, key=lambda one: (-one.priority, _total(basket, [*together, one]), one.stage, one.id))
        together.append(winner)
        lost += _beaten(basket, (one for one in rivals if one is not winner), winner)
    alone = [one for one in offers if one.exclusive and _total(basket, [one]) < nothing]
    idle = [refused for one in offers if one.exclusive and one not in alone for refused in _alone(basket, one).refused]
    if not alone:
        return together, lost + idle
    best = min(alone, key=lambda one: (-one.priority, _total(basket, [one]), one.stage, one.id))
    effective = [one for one in together if _total(basket, [one]) < nothing]
    rest = (-max((one.priority for one in effective), default=best.priority), _total(basket, together)[0])
    if effective and rest < (-best.priority, _total(basket, [best])[0]):
        return together, lost + idle + _beaten(basket, alone, effective[0])
    others = [one for one in offers if one is not best and (one in alone or not one.exclusive)]
    return [best], idle + _beaten(basket, others, best)


def _alone(basket: Basket, offer: Offer) -> _Sheet:
    sheet = _Sheet(basket)
    sheet.take([offer])
    return sheet


def _beaten(basket: Basket, losers: Iterable[Offer], winner: Offer) -> list[Refused]:
    """Why these are out: for their own reason, or where they have none for the winner."""
    said: list[Refused] = []
    for one in losers:
        if one.name:
            said += _alone(basket, one).refused or [Refused(one.name, "NOT_STACKABLE", winner.source)]
    return said


Kind = Literal["amount", "percent_pay", "gift", "shipping"]
