"""Coupon templates and price rules as data, and what they mean at an instant. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from siyu.coupons.quote import FEN_MAX, WHOLE, Effect, Fen, Kind, Quantity, Scope, Stage, Word
from siyu.errors import MalformedRequest
from siyu.rules.parse import parse_rule
from siyu.rules.possible import asked_rule
from siyu.rules.rule import Measured, Rule, attributes_of, leaves
from siyu.rules.vocabulary import AttributeKind
from siyu.segments.words import WORDS

FIRST_PAID_ORDER: Final = "first_paid_order"
COUPON_WORDS: Final = WORDS._replace(
    attributes={**WORDS.attributes, FIRST_PAID_ORDER: AttributeKind(FIRST_PAID_ORDER, "首单", "first paid order")}
)
"""What conditions here may speak of: all that segments may, and whether the order would be the person's first."""

Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$")]
Label = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00]*$")]
Count = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
Priority = Annotated[int, msgspec.Meta(ge=-1_000, le=1_000)]
Percent = Annotated[int, msgspec.Meta(ge=1, le=99)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Off = Annotated[int, msgspec.Meta(ge=1, le=FEN_MAX)]


class InvalidTemplate(MalformedRequest):
    """A template or price rule that contradicts itself; `details["path"]` names the place."""

    code = "INVALID_TEMPLATE"
    status = 422


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A kind of coupon. A coupon keeps the version it was given under."""

    id: Id
    kind: Kind
    label_zh: Label = ""
    label_en: Label = ""
    off_fen: Off | None = None
    """`amount`: what it takes off; `shipping`: at most so much of shipping."""
    pay_percent: Percent | None = None
    """`percent_pay`: what is to pay, 88 for 88 折; rounded down to the fen."""
    max_off_fen: Off | None = None
    gift_sku: Word | None = None
    gift_qty: Quantity = 1
    min_spend_fen: Fen = 0
    scope: Scope = Scope()
    valid: Literal["window", "same_local_day", "days"] = "window"
    """From when it was given: until `ends_at`; until the end of that local day; for `valid_days` times 24 hours."""
    valid_days: Annotated[int, msgspec.Meta(ge=1, le=3_660)] | None = None
    starts_at: Instant | None = None
    """Neither given nor used before; and"""
    ends_at: Instant | None = None
    """not from then on."""
    total: Count | None = None
    """Coupons there are at most."""
    per_user: Count | None = None
    per_user_per_day: Count | None = None
    new_user_only: bool = False
    """Only for who has neither paid for an order nor has one open."""
    audience: dict[str, Any] | None = None
    """A rule about the person (docs/rules.md) that holds when it is given."""
    claimable: bool = True
    """Whether persons may take it themselves."""
    budget_fen: Annotated[int, msgspec.Meta(ge=0, le=10**14)] | None = None
    """What its coupons may take off altogether."""
    stack: Literal["stackable", "exclusive"] = "stackable"
    group: Word | None = None
    """Of a group one coupon or rule applies to an order. None: one coupon of this template."""
    priority: Priority = 0
    return_on: Literal["full_refund", "any_refund", "never"] = "full_refund"
    """When a used coupon comes back."""
    active: bool = True
    """False: none is given any more; those given stay good."""


class PriceRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A discount without a coupon, for whom its condition holds."""

    id: Id
    label_zh: Label = ""
    label_en: Label = ""
    percent_pay: Percent | None = None
    off_fen: Off | None = None
    price_fen: Fen | None = None
    """The price of one article in scope, where the list has more."""
    max_off_fen: Off | None = None
    min_spend_fen: Fen = 0
    scope: Scope = Scope()
    condition: dict[str, Any] | None = None
    """A rule about the person (docs/rules.md); None: for everybody."""
    once_per_person: bool = False
    """The order that uses it holds it until it is cancelled; so does every rule that reads `first_paid_order`."""
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    budget_fen: Annotated[int, msgspec.Meta(ge=0, le=10**14)] | None = None
    stack: Literal["stackable", "exclusive"] = "stackable"
    group: Word | None = None
    priority: Priority = 0
    active: bool = True


def check_template(one: Template) -> Template:
    """Itself. Raises InvalidTemplate, InvalidRule."""
    wanted = {
        "amount": {"off_fen"},
        "percent_pay": {"pay_percent"},
        "gift": {"gift_sku"},
        "shipping": set[str](),
    }[one.kind]
    for name in ("off_fen", "pay_percent", "gift_sku"):
        given = getattr(one, name) is not None
        if name in wanted and not given:
            raise InvalidTemplate(f"A coupon of the kind {one.kind} needs {name}.", path=name)
        if given and name not in wanted and (one.kind, name) != ("shipping", "off_fen"):
            raise InvalidTemplate(f"A coupon of the kind {one.kind} has no {name}.", path=name)
    if (one.valid == "days") != (one.valid_days is not None):
        raise InvalidTemplate("valid_days belongs to valid = days.", path="valid_days")
    _check_window(one)
    _rule_of(one.audience, "audience")
    return one


def check_price_rule(one: PriceRule) -> PriceRule:
    """Itself. Raises InvalidTemplate, InvalidRule."""
    effects = [name for name in ("percent_pay", "off_fen", "price_fen") if getattr(one, name) is not None]
    if len(effects) != 1:
        raise InvalidTemplate("A price rule has exactly one of percent_pay, off_fen, price_fen.", path="percent_pay")
    if one.price_fen is not None and not (one.scope.skus or one.scope.collections):
        raise InvalidTemplate("A set price needs skus or collections.", path="scope")
    _check_window(one)
    _rule_of(one.condition, "condition")
    return one


def _check_window(one: Template | PriceRule) -> None:
    if one.starts_at is not None and one.ends_at is not None and one.starts_at >= one.ends_at:
        raise InvalidTemplate("It ends before it starts.", path="ends_at")


def _rule_of(asked: Mapping[str, Any] | None, path: str) -> Rule | None:
    if asked is None:
        return None
    rule = asked_rule(asked, COUPON_WORDS, path=path)
    for leaf in leaves(rule):
        if isinstance(leaf, Measured) and leaf.metric.window.form == "campaign":
            raise InvalidTemplate("There is no campaign here.", path=path)
    return rule


@lru_cache(maxsize=4_096)
def _compiled(text: bytes) -> Rule:
    return parse_rule(msgspec.json.decode(text), COUPON_WORDS)


def condition_of(asked: Mapping[str, Any]) -> Rule:
    """A checked condition as a tree."""
    return _compiled(msgspec.json.encode(asked, order="deterministic"))


def holds_entitlement(rule: PriceRule) -> bool:
    """Whether an order that uses the rule keeps the person's other orders from it."""
    if rule.once_per_person:
        return True
    return rule.condition is not None and FIRST_PAID_ORDER in attributes_of(condition_of(rule.condition))


def is_live(rule: PriceRule, at: datetime) -> bool:
    """Whether a rule counts at an instant."""
    started = rule.starts_at is None or rule.starts_at <= at
    return rule.active and started and (rule.ends_at is None or at < rule.ends_at)


def valid_until(one: Template, given_at: datetime, zone: ZoneInfo) -> datetime | None:
    """From when on a coupon that is given then is no good; None: never."""
    ends = [one.ends_at] if one.ends_at is not None else []
    start = max(given_at, one.starts_at) if one.starts_at is not None else given_at
    if one.valid == "same_local_day":
        day = start.astimezone(zone).date() + timedelta(days=1)
        ends.append(datetime.combine(day, time(), zone))
    elif one.valid_days is not None:
        ends.append(start + timedelta(days=one.valid_days))
    return min(ends).astimezone(given_at.tzinfo) if ends else None


def effect_of(one: Template | PriceRule) -> Effect:
    """What it does."""
    if isinstance(one, PriceRule):
        return Effect(one.off_fen or 0, one.percent_pay or WHOLE, one.price_fen)
    gift = (one.gift_sku, one.gift_qty) if one.gift_sku is not None else ("", 0)
    return Effect(one.off_fen or 0, one.pay_percent or WHOLE, None, one.kind == "shipping", *gift)


def stage_of(one: PriceRule) -> Stage:
    """When it has its turn."""
    if one.price_fen is not None:
        return Stage.PRICE
    return Stage.ITEM if one.scope.of_items else Stage.ORDER
