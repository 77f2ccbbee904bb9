"""What earns points: rules as data, and what an event means under them. Pure.

A rule gives a number of points for each event, or points per yuan of an order. The points of an order follow from the
sum of what was paid and given back for it, so they are the same whatever order its events come in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from siyu.collect.catalogue import FEN_MAX, named_fen, spellings
from siyu.ledger import derived_key
from siyu.loyalty.request import GROWTH, POINTS
from siyu.rules import Condition, InvalidCondition, commerce, parse_condition
from siyu.rules.condition import fields_of
from siyu.rules.evaluate import holds
from siyu.rules.parse import parse_rule
from siyu.rules.possible import check_possible, check_where
from siyu.rules.rule import InvalidRule, Rule
from siyu.segments.words import WORDS

_ID = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,49}$")]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_SUBJECT_CHARS_MAX: Final = 150


class Once(StrEnum):
    """How often a rule gives."""

    EVENT = "event"
    """For every event."""
    DAY = "day"
    """Once a local day and person."""
    PERSON = "person"
    """Once in a person's life."""
    SUBJECT = "subject"
    """Once for each thing that the event names (a friend, an article) and person."""


class EarnRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One way to earn."""

    id: _ID
    version: Annotated[int, msgspec.Meta(ge=1)] = 1
    event: _Name
    """Canonical name; events under its other names count too."""
    where: dict[str, Any] | None = None
    """A condition (rules.condition) on that event: its properties, `@end`, `@source`, `@value_fen`."""
    audience: dict[str, Any] | None = None
    """A rule about the person, as they were when the event came; none: everybody."""
    label_zh: _Name
    label_en: _Name
    points: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    """For each event; or"""
    points_per_yuan: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0
    """of what was paid and not refunded, rounded down."""
    once_per: Once = Once.EVENT
    subject: tuple[_Name, ...] = ()
    """Properties that name the order, friend or article; the first that is there."""
    pending_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 0
    """They can be used after so many days, or earlier (points per yuan) with one of:"""
    post_on: tuple[_Name, ...] = ()
    take_back_on: tuple[_Name, ...] = ()
    """Events that give money of the order back (points per yuan); one that names no amount gives back all."""
    currency: _Name = POINTS
    by_tier: bool = True
    """Whether the benefit `points_percent` of the person's tier counts."""
    within_days: Annotated[int, msgspec.Meta(ge=1, le=36_600)] | None = None
    """Events older than this when they come (imported history) earn nothing. None: any that would not have ended."""
    active: bool = True


DEFAULTS: Final = (
    EarnRule(
        id="sign-up", event="user.registered", label_zh="注册有礼", label_en="Sign-up", points=100, once_per=Once.PERSON
    ),
    EarnRule(
        id="order", event="order.paid", label_zh="消费 1 元积 1 分", label_en="1 yuan, 1 point", points_per_yuan=1,
        subject=commerce.ORDER, pending_days=7, post_on=("order.received", "order.completed"),
        take_back_on=("order.refunded", "order.cancelled"),
    ),
    EarnRule(
        id="growth", event="order.paid", label_zh="消费 1 元得 1 成长值", label_en="1 yuan, 1 growth",
        points_per_yuan=1, subject=commerce.ORDER, take_back_on=("order.refunded", "order.cancelled"),
        currency=GROWTH, by_tier=False, within_days=730,
    ),
    EarnRule(
        id="review", event="order.reviewed", label_zh="评价商品", label_en="Product review", points=10,
        once_per=Once.SUBJECT, subject=(*commerce.ORDER, *commerce.PRODUCT),
    ),
    EarnRule(
        id="share", event="share.engaged", label_zh="好友参与分享", label_en="A friend took part", points=5,
        once_per=Once.SUBJECT, subject=("friend_id", "friend", "visitor_id", "by"),
    ),
)  # fmt: skip
"""What every installation begins with; a stored rule of the same id wins. Docs: docs/loyalty.md."""


class Occurrence(NamedTuple):
    """An event that may earn."""

    name: str
    anchor: int
    at: datetime
    event_id: str
    source: str
    value_fen: int
    properties: Mapping[str, Any]
    end: str = ""
    order: int = 0
    """The identifier of the order itself that the event stands under or carried: what else stands under it is of who
    paid. 0: none."""


class Money(NamedTuple):
    """What an event did to the money of an order. `fen` 0: the order was received."""

    key: UUID
    subject: str
    anchor: int
    fen: int
    rule: str = ""
    percent: int = 100
    """What the tier made of points when it was paid."""
    shop: str = ""
    """The foreign shop whose order it is, where the event names one."""


class Told(NamedTuple):
    """Who told of money, and of which shop's order."""

    anchor: int
    shop: str


class Keys(NamedTuple):
    """Under which keys money may be known already."""

    own: tuple[UUID, UUID]
    """Its own key, and the one it takes when another shop's money has that: two shops may count alike."""
    others: tuple[UUID, ...] = ()
    """What the same person's other identifiers told."""


def names_of(rules: Iterable[EarnRule]) -> set[str]:
    """Every stored name of every event that some rule looks at."""
    return {
        spelling
        for rule in rules
        if rule.active
        for name in (rule.event, *rule.post_on, *rule.take_back_on)
        for spelling in spellings(name)
    }


def check_rule(rule: EarnRule) -> EarnRule:
    """Raises InvalidRule, InvalidCondition, with the path of what is wrong."""
    condition_of(rule)
    audience_of(rule)
    check_where(rule.where)
    if rule.audience is not None:
        check_possible(rule.audience, WORDS, "audience")
    if not rule.points_per_yuan and (rule.post_on or rule.take_back_on):
        path = "post_on" if rule.post_on else "take_back_on"
        raise InvalidRule("Only points per yuan follow an order: a number of points is given for good.", path=path)
    return rule


def condition_of(rule: EarnRule) -> Condition | None:
    """What a rule asks of its event. Raises InvalidCondition."""
    condition = None if rule.where is None else parse_condition(rule.where)
    if condition is not None and any(field.root == "context" for field in fields_of(condition)):
        raise InvalidCondition("An earn rule does not see the context of an event.", path="where")
    return condition


def audience_of(rule: EarnRule) -> Rule | None:
    """Of whom the person has to be. Raises InvalidRule, InvalidCondition."""
    return None if rule.audience is None else _audience(msgspec.json.encode(rule.audience, order="deterministic"))


@lru_cache(maxsize=1_024)
def _audience(text: bytes) -> Rule:
    return parse_rule(msgspec.json.decode(text), WORDS, path="audience")


def takes(rule: EarnRule, condition: Condition | None, one: Occurrence) -> bool:
    """Whether an event is one that the rule means. What takes points back or makes them usable has no condition, and is
    nothing to a rule that gives a number of points."""
    if not gives(rule, one):
        return bool(rule.points_per_yuan)
    return condition is None or holds(condition, one._asdict())


def gives(rule: EarnRule, one: Occurrence) -> bool:
    """Whether an event is the one a rule gives for, not one that takes back or makes usable."""
    return one.name in spellings(rule.event)


def subject_of(rule: EarnRule, one: Occurrence) -> str | None:
    """What the event is about under a rule, as its properties name it."""
    for name in rule.subject:
        value = one.properties.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and (text := str(value).strip()):
            return text.replace("\x00", "")[:_SUBJECT_CHARS_MAX]
    return None


def cause_of(rule: EarnRule, one: Occurrence) -> str:
    """What stands in the statement: the order, else the event."""
    subject = subject_of(rule, one)
    if subject is None:
        return f"event/{one.source}/{one.event_id}"[:_SUBJECT_CHARS_MAX].replace("\x00", "")
    return f"{'order' if rule.subject[0] in commerce.ORDER else 'subject'}/{subject}"


def keys_of(
    rule: EarnRule, one: Occurrence, own: int, members: Sequence[int], zone: ZoneInfo
) -> tuple[UUID, tuple[UUID, ...]]:
    """The key of what an event earns, and the keys under which another member may have earned it before.

    `own`: the identifier that earns; `members`: all of the person's. Versions share keys: a changed rule does not give
    again what it gave once."""
    subject = subject_of(rule, one)
    if rule.once_per is Once.EVENT or (rule.once_per is Once.SUBJECT and subject is None):
        return derived_key("rule", rule.id, "event", one.source, one.event_id), ()
    scope: tuple[str, ...] = ("person",)
    if rule.once_per is Once.DAY:
        scope = ("day", one.at.astimezone(zone).date().isoformat())
    elif rule.once_per is Once.SUBJECT:
        scope = ("subject", subject or "")
    return (
        derived_key("rule", rule.id, *scope, own),
        tuple(derived_key("rule", rule.id, *scope, member) for member in members if member != own),
    )


def money_of(rule: EarnRule, one: Occurrence, keys: Keys, percent: int = 100) -> Money | None:
    """What an event says about an order, under the first of its keys."""
    cause, shop, key = cause_of(rule, one), _shop_of(one), keys.own[0]
    if gives(rule, one):
        return Money(key, cause, one.anchor, one.value_fen, rule.id, percent, shop) if one.value_fen > 0 else None
    if _takes_back(rule, one):
        if named_fen(one.name, one.properties) == 0:  # goods came back, and no money
            return None
        return Money(key, cause, one.anchor, one.value_fen or -FEN_MAX, rule.id, shop=shop)
    return Money(key, cause, one.anchor, 0, rule.id, shop=shop)


def money_keys(rule: EarnRule, one: Occurrence, own: str, holders: Sequence[str] = ()) -> Keys:
    """The keys of what an event says about an order. `holders`: all wallets of the person."""
    cause, shop = cause_of(rule, one), _shop_of(one)
    if gives(rule, one):
        payment = one.properties.get("payment_id", "")
        others = [_both("paid", rule.id, cause, holder, payment, shop=shop) for holder in holders if holder != own]
        mine = _both("paid", rule.id, cause, own, payment, shop=shop)
        return Keys(mine, tuple(key for two in others for key in two))
    if _takes_back(rule, one):
        refund = one.properties.get("refund_id") or f"{one.source}\n{one.event_id}"
        return Keys(_both("refund", rule.id, cause, refund, shop=shop))
    return Keys(_both("received", rule.id, cause, own, shop=shop))


def _both(*parts: object, shop: str) -> tuple[UUID, UUID]:
    return derived_key(*parts), derived_key(*parts, "shop", shop)


def _takes_back(rule: EarnRule, one: Occurrence) -> bool:
    return any(one.name in spellings(name) for name in rule.take_back_on)


def _shop_of(one: Occurrence) -> str:
    """The shop that an event names; empty: none."""
    shop = one.properties.get("shop")
    return shop.replace("\x00", "").strip()[:_SUBJECT_CHARS_MAX] if isinstance(shop, str) else ""


def news_of(money: Money, keys: Keys, known: Mapping[UUID, Told], mine: Collection[int]) -> Money | None:
    """The money under the key that is free for it; None: it is known. `mine`: the identifiers of the person.

    What names no shop is the same as what names one, of the same person; two shops are never the same."""

    def same(key: UUID) -> bool:
        told = known.get(key)
        if told is None or (told.shop and money.shop):
            return told is not None and told.shop == money.shop
        return told.shop == money.shop or told.anchor in mine

    first, second = keys.own
    if any(same(key) for key in (first, second, *keys.others)):
        return None
    return money._replace(key=second) if first in known else money


def all_received(money: Iterable[Money]) -> bool:
    """Whether everything paid under an order's number has arrived: of two shops that number alike, both parcels.
    Which points are of which shop is not kept, so none of them come before all may."""
    left: dict[str, int] = {}
    received = set[str]()
    for one in money:
        left[one.shop] = left.get(one.shop, 0) + one.fen
        if one.fen == 0:
            received.add(one.shop)
    kept = {shop for shop, fen in left.items() if fen > 0}
    return bool(received) and ("" in kept | received or kept <= received)


def points_of(rule: EarnRule, money: Sequence[Money]) -> int:
    """Points of a person for orders of one number: those of two shops are two orders."""
    shops = {one.shop for one in money}
    if "" in shops:
        # It is not known of which shop: of the one that the others name.
        return points_for(rule, money)
    return sum(points_for(rule, [one for one in money if one.shop == shop]) for shop in shops)


def points_for(rule: EarnRule, money: Iterable[Money]) -> int:
    """Points of an order by what was paid and given back for it, at the rate of the tier it was paid on; rounded down.

    Paid in parts on several tiers, a refund takes from each part alike, so that the order of events does not matter."""
    paid = weighted = left = 0
    for one in money:
        left += one.fen
        if one.fen > 0:
            paid += one.fen
            weighted += one.fen * one.percent
    return left * rule.points_per_yuan * weighted // (paid * 10_000) if left > 0 else 0
