"""A dimension: what it is called, and the expression it is worked out by. Pure data.

Every expression is a whole number, an instant (epoch milliseconds), a local day (days since 1970) or a text, or it is
absent. Figures with decimals are whole numbers of tenths or hundredths until they are shown (`Dimension.decimals`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from siyu.rules.rule import Metric
from siyu.rules.vocabulary import Choice

AggregateKind: TypeAlias = Literal[
    "metric", "largest", "smallest", "sum", "said", "commonest", "different", "earliest", "latest",
    "first_day", "last_day", "gap_shortest", "gap_longest", "gap_median", "gap_squares", "run",
]  # fmt: skip
HOUR: Final = "@hour"
WEEKDAY: Final = "@weekday"
"""As the field of `commonest`: the local hour 0 to 23, the local weekday 1 (Monday) to 7."""


class Aggregate(NamedTuple):
    """One figure of the events that `base` counts.

    metric              what `base` is
    largest, smallest   of the fen of an event, or of a property (kept in ten-thousandths); absent without any
    sum, said           of the figures of a property: together (in ten-thousandths), and how many events have one
    commonest           the text most events have; of several the smallest
    different           how many different texts
    earliest, latest    the text of the first or last event that has one; at one instant the smallest, largest
    first_day, last_day the local day; absent without any event
    gap_*               days between a local day with an event and the next: shortest, longest, twice the median, sum of
                        squares; absent with fewer than two days (the sum of squares is 0 then)
    run                 the longest row of local days, ever
    """

    kind: AggregateKind
    base: Metric
    fields: tuple[str, ...] = ()
    """The properties looked into, the first with a text counts; or @end, @name, HOUR or WEEKDAY alone."""
    hours: tuple[int, ...] = ()
    """Only events of these local hours."""
    weekdays: tuple[int, ...] = ()
    """Only events of these local weekdays."""
    lines: bool = False
    """Whether the lines that an event lists (`commerce.LINE_LISTS`) are looked into before the event itself. Each text
    of them counts once, for first and last the first one; figures of all of them are added, 1 where a line has none."""


class Ref(NamedTuple):
    """Another dimension, by its key, before its decimals."""

    key: str


class Const(NamedTuple):
    """The same number for everybody."""

    value: int


class Total(NamedTuple):
    """The sum; absent where a part is absent."""

    parts: tuple[Expression, ...]


class Difference(NamedTuple):
    """`a` less `b`, not below `floor`; absent where one is absent."""

    a: Expression
    b: Expression
    floor: int | None = None


class Ratio(NamedTuple):
    """`scale` times `a` divided by `b`, rounded, halves up; absent where `b` is not above 0."""

    a: Expression
    b: Expression
    scale: int
    most: int | None = None
    """What it is cut to."""


class Since(NamedTuple):
    """Whole local days from a local day until today; 0 for a day to come."""

    day: Expression


class After(NamedTuple):
    """The instant so many `days` after another one; `days` counts in `scale`ths of a day."""

    at: Expression
    days: Expression
    scale: int


class Regularity(NamedTuple):
    """100 less the standard deviation of gaps in per cent of their mean, not below 0, rounded down; absent with fewer
    than two gaps. So many `gaps`, together `total` days, `squares` the sum of their squares."""

    gaps: Expression
    total: Expression
    squares: Expression


class Band(NamedTuple):
    """The name of the stretch a figure lies in: names[i] below edges[i], the last name from the last edge on."""

    of: Expression
    edges: tuple[int, ...]
    names: tuple[str, ...]


Expression: TypeAlias = Aggregate | Ref | Const | Total | Difference | Ratio | Since | After | Regularity | Band
ValueType: TypeAlias = Literal["number", "text", "time"]
Unit: TypeAlias = Literal[
    "", "hour", "times", "days", "fen", "percent", "items", "kinds", "per_day", "orders", "persons", "per_item"
]


class Dimension(NamedTuple):
    """One thing known about every person."""

    key: str
    zh: str
    en: str
    group: str
    unit: Unit
    expression: Expression
    note: str = ""
    """What it tells, where the name does not, in English."""
    note_zh: str = ""
    decimals: int = 0
    choices: tuple[Choice, ...] = ()
    """What its values are called, where there are few."""


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """What an expression is made of."""
    if isinstance(expression, Total):
        return expression.parts
    if isinstance(expression, Difference | Ratio):
        return (expression.a, expression.b)
    if isinstance(expression, Since):
        return (expression.day,)
    if isinstance(expression, After):
        return (expression.at, expression.days)
    if isinstance(expression, Regularity):
        return (expression.gaps, expression.total, expression.squares)
    return (expression.of,) if isinstance(expression, Band) else ()


def walk(expression: Expression) -> Iterator[Expression]:
    """An expression and everything in it."""
    yield expression
    for part in parts_of(expression):
        yield from walk(part)


def value_type(expression: Expression) -> ValueType:
    """What an expression without references is."""
    if isinstance(expression, Band):
        return "text"
    if isinstance(expression, After):
        return "time"
    if isinstance(expression, Aggregate):
        if expression.kind in ("commonest", "earliest", "latest"):
            return "number" if expression.fields[0] in (HOUR, WEEKDAY) else "text"
        return "time" if expression.kind == "metric" and expression.base.is_time else "number"
    return "number"


def ages(expression: Expression) -> bool:
    """Whether the calendar alone can change it."""
    return any(
        isinstance(part, Since) or (isinstance(part, Aggregate) and part.base.turns) for part in walk(expression)
    )
