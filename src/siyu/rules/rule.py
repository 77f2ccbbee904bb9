"""A rule about a person as a tree: the one language of segments, campaign triggers, journey branches and tag rules.

    {"all": [R, ...]}  {"any": [R, ...]}  {"not": R}  {"n_of_m": {"n": 2, "of": [R, ...]}}
    {"person": "trait.city", "op": "eq", "value": "广州"}
    {"metric": "count", "event": "order.paid", "window": {"last": 30, "unit": "day"}, "op": "gte", "value": 3}
    {"trigger": {"event": "order.paid", "where": {"@end": "web"}}}

Short forms (`did`, `within`, `not_happened`, `has_tag`, `segment`) are read as the long ones. docs/rules.md is the
whole grammar; `parse` reads JSON, `write` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from siyu.errors import MalformedRequest
from siyu.rules.condition import Condition, Scalar
from siyu.rules.money import MONEY_FIELDS
from siyu.rules.window import Duration, Window

DAY: Final = "@day"
"""As the property of `distinct`: different local days."""
MONEY: Final = "@value_fen"
SUM_SCALE: Final = 10_000
"""Sums of properties are kept in ten-thousandths, so that they are exact in every engine."""
SUMMAND_MAX: Final = 10.0**12
THRESHOLD_MAX: Final = 10**12

MetricKind: TypeAlias = Literal["count", "sum", "distinct", "first", "last", "streak"]
METRICS: Final[tuple[MetricKind, ...]] = ("count", "sum", "distinct", "first", "last", "streak")
NUMBER_OPERATORS: Final = (
    *("eq", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "between", "is_multiple_of", "crosses"),
)
TIME_OPERATORS: Final = ("gt", "gte", "lt", "lte", "between", "within", "exists", "is_null")
LIST_OPERATORS: Final = ("contains", "not_contains", "has_tag", "exists", "is_null")


class InvalidRule(MalformedRequest):
    """A rule that cannot be understood; `details["path"]` names the wrong node."""

    code = "INVALID_RULE"
    status = 422


class Metric(NamedTuple):
    """A figure of a person's own events."""

    kind: MetricKind
    events: tuple[str, ...] = ()
    """Names of the catalogue or stored names; none: any behaviour."""
    where: Condition | None = None
    of: str = ""
    """The property of `sum` and `distinct`."""
    window: Window = Window()
    net: bool = False
    """Less what was refunded: a sum of money, or a count of orders that were not wholly refunded."""

    @property
    def scale(self) -> int:
        """What a figure of 1 is kept as."""
        return SUM_SCALE if self.kind == "sum" and self.of != MONEY else 1

    @property
    def is_money(self) -> bool:
        """Whether the figure is fen."""
        return self.kind == "sum" and self.of in MONEY_FIELDS

    @property
    def is_time(self) -> bool:
        """Whether the figure is an instant, absent where nothing happened."""
        return self.kind in ("first", "last")

    @property
    def turns(self) -> bool:
        """Whether it changes at a local midnight."""
        return self.window.turns or self.kind == "streak"


Value: TypeAlias = Scalar | tuple[Scalar, ...] | Duration | None


class Person(NamedTuple):
    """An attribute of the person against a value."""

    name: str
    op: str
    value: Value


class Measured(NamedTuple):
    """A metric against a value; times are ISO texts."""

    metric: Metric
    op: str
    value: Value


class Trigger(NamedTuple):
    """The event that made somebody look."""

    events: tuple[str, ...]
    where: Condition | None


class Group(NamedTuple):
    """Several rules, of which all, any, or at least `n` hold."""

    word: Literal["all", "any", "n_of_m"]
    parts: tuple[Rule, ...]
    n: int = 0

    @property
    def needed(self) -> int:
        """How many have to hold."""
        return len(self.parts) if self.word == "all" else 1 if self.word == "any" else self.n


class Negation(NamedTuple):
    """The opposite."""

    part: Rule


Rule: TypeAlias = Person | Measured | Trigger | Group | Negation
Leaf: TypeAlias = Person | Measured | Trigger


def leaves(rule: Rule) -> Iterator[Leaf]:
    """Everything a rule looks at."""
    if isinstance(rule, Group):
        for part in rule.parts:
            yield from leaves(part)
    elif isinstance(rule, Negation):
        yield from leaves(rule.part)
    else:
        yield rule


def metrics_of(rule: Rule) -> set[Metric]:
    """The metrics a rule reads."""
    return {leaf.metric for leaf in leaves(rule) if isinstance(leaf, Measured)}


def attributes_of(rule: Rule) -> set[str]:
    """The attributes a rule reads."""
    return {leaf.name for leaf in leaves(rule) if isinstance(leaf, Person)}
