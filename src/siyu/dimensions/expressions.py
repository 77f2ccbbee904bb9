"""Short ways to write expressions: what the entries of the catalogue are made of."""

from __future__ import annotations

from typing import Final

from siyu.dimensions.dimension import (
    After,
    Aggregate,
    AggregateKind,
    Const,
    Difference,
    Expression,
    Ratio,
    Ref,
    Regularity,
    Since,
)
from siyu.rules import commerce
from siyu.rules.condition import Condition
from siyu.rules.rule import DAY, MONEY, SUM_SCALE, Metric, MetricKind
from siyu.rules.window import Window

PAID: Final = "order.paid"
BOUGHT: Final = (PAID, "order.line_paid")
"""What tells of goods that were bought: orders with their lines, and lines told one by one."""
PRODUCT_NAME: Final = (*commerce.PRODUCT_NAME, *commerce.PRODUCT)
QUANTITY: Final = (*commerce.QUANTITY, "item_count")
Events = str | tuple[str, ...]
EVER: Final = Window()


def last(days: int) -> Window:
    """The last so many times 24 hours."""
    return Window("last", days, "day")


def this(period: str) -> Window:
    """The calendar period of now."""
    return Window("this", 0, period)


def base(
    events: Events = (),
    window: Window = EVER,
    condition: Condition | None = None,
    *,
    kind: MetricKind = "count",
    of: str = "",
    net: bool = False,
) -> Metric:
    """The events an aggregate looks at."""
    names = (events,) if isinstance(events, str) else events
    return Metric(kind, names, condition, of, window, net)


def count(
    events: Events = (), window: Window = EVER, condition: Condition | None = None, *, net: bool = False
) -> Aggregate:
    """How often."""
    return Aggregate("metric", base(events, window, condition, net=net))


def money(
    events: Events = PAID, window: Window = EVER, condition: Condition | None = None, *, net: bool = False
) -> Aggregate:
    """Fen together."""
    return Aggregate("metric", base(events, window, condition, kind="sum", of=MONEY, net=net))


def total(of: str, events: Events, window: Window = EVER) -> Ratio:
    """A property summed up, to whole numbers."""
    return Ratio(Aggregate("metric", base(events, window, kind="sum", of=of)), Const(SUM_SCALE), 1)


def distinct(of: str, events: Events = (), window: Window = EVER) -> Aggregate:
    """How many different values of a property."""
    return Aggregate("metric", base(events, window, kind="distinct", of=of))


def days(events: Events = (), window: Window = EVER) -> Aggregate:
    """On how many local days."""
    return distinct(DAY, events, window)


def first(events: Events = ()) -> Aggregate:
    """When for the first time."""
    return Aggregate("metric", base(events, kind="first"))


def latest(events: Events = ()) -> Aggregate:
    """When for the last time."""
    return Aggregate("metric", base(events, kind="last"))


def streak(events: Events = ()) -> Aggregate:
    """Local days in a row up to now."""
    return Aggregate("metric", base(events, kind="streak"))


def figure(kind: AggregateKind, events: Events = (), *fields: str, window: Window = EVER) -> Aggregate:
    """Any other kind."""
    return Aggregate(kind, base(events, window), fields)


def of_lines(kind: AggregateKind, events: Events, *fields: str, window: Window = EVER) -> Aggregate:
    """The same of the lines that an event lists, else of the event."""
    return Aggregate(kind, base(events, window), fields, lines=True)


def items(events: Events) -> Ratio:
    """The quantities of all lines together, to whole numbers."""
    return Ratio(of_lines("sum", events, *QUANTITY), Const(SUM_SCALE), 1)


def since(events: Events = (), kind: AggregateKind = "last_day") -> Since:
    """Local days since the last time."""
    return Since(figure(kind, events))


def percent(a: Expression, b: Expression, most: int | None = None) -> Ratio:
    """`a` of `b` in whole per cent."""
    return Ratio(a, b, 100, most)


def gaps(events: Events) -> Difference:
    """How many gaps there are between the local days with an event."""
    return Difference(days(events), Const(1), 0)


def span(events: Events) -> Difference:
    """Days from the first to the last local day with an event."""
    return Difference(figure("last_day", events), figure("first_day", events))


def mean_gap(events: Events, scale: int = 10) -> Ratio:
    """The mean of the gaps, in tenths of a day."""
    return Ratio(span(events), gaps(events), scale)


def regularity(events: Events) -> Regularity:
    """How even the gaps are."""
    return Regularity(gaps(events), span(events), figure("gap_squares", events))


def next_after(events: Events) -> After:
    """The last time and the mean gap."""
    return After(latest(events), mean_gap(events), 10)


def ref(key: str) -> Ref:
    """Another dimension."""
    return Ref(key)
