"""The ladder: tiers from the lowest to the highest as data, with the terms on which they are kept. Pure.

The first tier has no condition: whoever fulfils no other stands on it. A tier is reached when its own rule holds.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from siyu.ledger.currency import Currency, Rounding, lot_expiry
from siyu.rules.parse import parse_rule, refuse
from siyu.rules.rule import Group, Measured, Negation, Rule, attributes_of
from siyu.rules.vocabulary import Vocabulary
from siyu.rules.window import Window

TIERS_MAX: Final = 20
BENEFITS_MAX: Final = 20
PERCENT_MAX: Final = 10_000
GIFT_MAX: Final = 10**9
_FORBIDDEN: Final = {"tier", "segments", "listed"}

Label = Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[^\x00-\x1f]*$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f]+$")]


class BenefitKind(StrEnum):
    """What a tier brings."""

    POINTS = "points_percent"
    """What earn rules give, in percent: 150 is half as much again."""
    SHIPPING = "free_shipping"
    BIRTHDAY = "birthday"
    OTHER = "other"


class Benefit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One thing that a tier brings, with the words people read."""

    kind: BenefitKind
    percent: Annotated[int, msgspec.Meta(ge=0, le=PERCENT_MAX)] = 100
    points: Annotated[int, msgspec.Meta(ge=0, le=GIFT_MAX)] = 0
    """Of a birthday: given on the day, once a year. 0: nothing is given, it is words only."""
    zh: Label = ""
    en: Label = ""


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A step of the ladder."""

    name: Name
    """What people read, and what `tier` is in rules."""
    en: Label = ""
    rule: dict[str, Any] | None = None
    """When it is reached, in the rule language; none for the first tier."""
    benefits: Annotated[list[Benefit], msgspec.Meta(max_length=BENEFITS_MAX)] = msgspec.field(default_factory=list)

    @property
    def points_percent(self) -> int:
        """What earn rules give on this tier, in percent."""
        return next((one.percent for one in self.benefits if one.kind is BenefitKind.POINTS), 100)

    @property
    def birthday(self) -> Benefit | None:
        """What is given on the birthday, where it is more than words."""
        return next((one for one in self.benefits if one.kind is BenefitKind.BIRTHDAY and one.points), None)

    def has(self, kind: BenefitKind) -> bool:
        """Whether it brings such a thing."""
        return any(one.kind is kind for one in self.benefits)


class PeriodKind(StrEnum):
    """What time figures are counted over where their condition names no window of its own."""

    EVER = "ever"
    CALENDAR = "calendar"
    ROLLING = "rolling"
    TIER = "since_tier"
    """Since the person has the present tier."""


class Unit(StrEnum):
    """A calendar period."""

    MONTH = "month"
    QUARTER = "quarter"
    HALF = "half"
    YEAR = "year"


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The qualification period. `unit` for a calendar period, `days` for a rolling one."""

    kind: PeriodKind = PeriodKind.EVER
    unit: Unit | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=3_660)] | None = None

    @property
    def window(self) -> Window:
        """As a window of the rule language."""
        if self.kind is PeriodKind.CALENDAR and self.unit is not None:
            return Window("this", 0, self.unit.value)
        if self.kind is PeriodKind.ROLLING and self.days is not None:
            return Window("last", self.days, "day")
        return Window("campaign") if self.kind is PeriodKind.TIER else Window()


class Validity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long a tier is kept whatever the figures say: so many months, to the end of the local period they end in."""

    months: Annotated[int, msgspec.Meta(ge=1, le=120)]
    to_end_of: Unit = Unit.MONTH


class Downgrade(StrEnum):
    """What happens to who does not fulfil the conditions any more."""

    NEVER = "never"
    ONE = "one"
    """One tier down, then a new validity or grace begins."""
    FIGURES = "figures"
    """To what the figures say."""


class Ladder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """All tiers, the lowest first, and the terms on which they are kept."""

    tiers: Annotated[list[Tier], msgspec.Meta(min_length=1, max_length=TIERS_MAX)]
    period: Period = Period()
    validity: Validity | None = None
    grace_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 0
    downgrade: Downgrade = Downgrade.FIGURES
    events: bool = True
    """Whether those whose tier another version of the ladder changes make events."""

    def place(self, name: str | None) -> int:
        """Where a tier stands, 0 the lowest; a name that is gone stands for the lowest."""
        return next((place for place, tier in enumerate(self.tiers) if tier.name == name), 0)

    def kept_until(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        """Until when a tier reached at `at` is kept; None: no longer than the figures say."""
        if self.validity is None:
            return None
        rounding = Rounding(self.validity.to_end_of.value)
        return lot_expiry(Currency("tier", "", "", keep_months=self.validity.months, rounding=rounding), at, zone)


class Step(NamedTuple):
    """A tier ready to be evaluated."""

    tier: Tier
    rule: Rule | None


def steps_of(ladder: Ladder, words: Vocabulary) -> list[Step]:
    """The tiers with their rules, over the qualification period. Raises InvalidRule."""
    steps = []
    for place, tier in enumerate(ladder.tiers):
        path = f"tiers[{place}]"
        if (tier.rule is None) != (place == 0):
            raise refuse("The first tier has no rule, every other one has.", f"{path}.rule")
        rule = None if tier.rule is None else parse_rule(tier.rule, words, path=f"{path}.rule")
        if rule is not None and (wrong := attributes_of(rule) & _FORBIDDEN):
            # A segment may name the tier; the other way round as well, neither could ever be settled.
            raise refuse(f"A tier may not depend on {', '.join(sorted(wrong))}.", f"{path}.rule")
        steps.append(Step(tier, None if rule is None else over(rule, ladder.period.window)))
    return steps


def over(rule: Rule, window: Window) -> Rule:
    """`rule` with `window` for every metric that has none of its own."""
    if isinstance(rule, Group):
        return rule._replace(parts=tuple(over(part, window) for part in rule.parts))
    if isinstance(rule, Negation):
        return Negation(over(rule.part, window))
    if isinstance(rule, Measured) and rule.metric.window == Window():
        return rule._replace(metric=rule.metric._replace(window=window))
    return rule


def check(ladder: Ladder, words: Vocabulary) -> None:
    """Raises InvalidRule for a ladder that contradicts itself."""
    names = [tier.name for tier in ladder.tiers]
    if len(set(names)) < len(names):
        raise refuse("Two tiers have the same name.", "tiers")
    if any(name != name.strip() for name in names):
        raise refuse("A name does not begin or end with a space.", "tiers")
    for place, tier in enumerate(ladder.tiers):
        giving = [(n, one) for n, one in enumerate(tier.benefits) if one.points]
        if wrong := [n for n, one in giving if one.kind is not BenefitKind.BIRTHDAY] or [n for n, _ in giving[1:]]:
            where = f"tiers[{place}].benefits[{wrong[0]}].points"
            raise refuse("One benefit of a tier, a birthday, gives points.", where)
    period = ladder.period
    if (period.unit is not None) != (period.kind is PeriodKind.CALENDAR):
        raise refuse("A calendar period, and only that, has a unit.", "period.unit")
    if (period.days is not None) != (period.kind is PeriodKind.ROLLING):
        raise refuse("A rolling period, and only that, has days.", "period.days")
    if ladder.downgrade is Downgrade.ONE and ladder.validity is None and not ladder.grace_days:
        raise refuse("One tier down needs a validity or days of grace: when would the next step be?", "downgrade")
    if personal(ladder) and ladder.validity is None and ladder.downgrade is not Downgrade.NEVER:
        raise refuse("Figures since the tier are zero at first: that needs a validity, or downgrade never.", "period")
    steps_of(ladder, words)


def personal(ladder: Ladder) -> bool:
    """Whether figures are counted from another instant on for each person."""
    return ladder.period.kind is PeriodKind.TIER


READY: Final = Ladder(
    tiers=[
        Tier(name="普通", en="Basic"),
        Tier(
            name="白银",
            en="Silver",
            rule={
                "any": [
                    {
                        "metric": "sum", "event": "order.paid", "of": "@value_fen", "net": True,
                        "op": "gte", "value": 20_000,
                    },
                    {"metric": "distinct", "event": "user.login", "of": "@day", "op": "gte", "value": 10},
                ]
            },
            benefits=[Benefit(kind=BenefitKind.BIRTHDAY, zh="生日礼", en="A birthday present")],
        ),
        Tier(
            name="黄金",
            en="Gold",
            rule={
                "any": [
                    {
                        "metric": "sum", "event": "order.paid", "of": "@value_fen", "net": True,
                        "op": "gte", "value": 200_000,
                    },
                    {"person": "growth", "op": "gte", "value": 2_000},
                ]
            },
            benefits=[
                Benefit(kind=BenefitKind.SHIPPING, zh="包邮", en="Free shipping"),
                Benefit(kind=BenefitKind.BIRTHDAY, zh="生日礼", en="A birthday present"),
            ],
        ),
    ]
)  # fmt: skip
"""What every installation begins with; the brand's own from the first change on."""
