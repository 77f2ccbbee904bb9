"""A metric of one person, counted from their events. Slow and obvious: `metric_sql` counts the same for all persons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from siyu.rules.commerce import ORDER
from siyu.rules.condition import LINE, OfALine, parse_field
from siyu.rules.evaluate import first_text, holds, lines_of, numeric, read_field, text_of
from siyu.rules.rule import DAY, MONEY, SUM_SCALE, SUMMAND_MAX, Metric
from siyu.rules.vocabulary import Vocabulary
from siyu.rules.window import Setting, interval_of, local_day

Figure: TypeAlias = int | None
"""A number, a sum in `Metric.scale`, or epoch milliseconds; None: an instant that never was."""
Event: TypeAlias = Mapping[str, Any]

ORDER_FIELDS: Final = tuple(map(parse_field, ORDER))
"""Where the number of an order stands."""


def measure(metric: Metric, events: Sequence[Event], setting: Setting, words: Vocabulary) -> Figure:
    """The figure of a metric over a person's events (their shape: `judge.Facts.events`)."""
    counted = list(counted_events(metric, events, setting, words))
    if metric.kind == "count":
        return _orders(counted, words) if metric.net else len(counted)
    if metric.of.startswith(LINE):
        counted = [line for event in counted for line in lines_of(event, metric.where)]
    if metric.kind == "sum" and refunds_follow(metric):
        return sum(order.fen for order in _by_order(counted, words) if order.paid)
    if metric.kind == "sum":
        return sum(_summand(event, metric.of) for event in counted)
    if metric.kind == "distinct":
        if metric.of == DAY:
            return len({local_day(event["at_ms"], setting.zone) for event in counted})
        field = parse_field(metric.of, line=True)
        return len({text_of(read_field(field, event)) for event in counted} - {""})
    if metric.kind == "streak":
        return _streak({local_day(event["at_ms"], setting.zone) for event in counted}, setting)
    times = [event["at_ms"] for event in counted]
    return (min if metric.kind == "first" else max)(times, default=None)


def names_of(metric: Metric, words: Vocabulary) -> tuple[str, ...]:
    """The stored names a metric counts; none: any behaviour."""
    names = [spelling for name in metric.events for spelling in words.spellings(name)]
    return tuple(dict.fromkeys([*names, *(words.refunds if metric.net else ())]))


def refunds_follow(metric: Metric) -> bool:
    """Whether refunds are found by the order they give back, since they do not say its lines."""
    return metric.net and isinstance(metric.where, OfALine)


def counted_events(metric: Metric, events: Sequence[Event], setting: Setting, words: Vocabulary) -> Iterator[Event]:
    """The events a metric looks at."""
    names = names_of(metric, words)
    start, end = interval_of(metric.window, setting)
    for event in events:
        named = event["name"] in names if names else event["name"] not in words.not_behaviour
        if not named or not start <= event["at_ms"] < end:
            continue
        followed = event["name"] in words.refunds and refunds_follow(metric)
        if followed or metric.where is None or holds(metric.where, event):
            yield event


def _summand(event: Event, name: str) -> int:
    if name == MONEY:
        return int(event["value_fen"])
    number = numeric(text_of(read_field(parse_field(name, line=True), event)))
    return 0 if number is None or not abs(number) <= SUMMAND_MAX else round(number * SUM_SCALE)


class _Order(NamedTuple):
    fen: int
    paid: bool
    refunded: bool


def _orders(events: Sequence[Event], words: Vocabulary) -> int:
    """Orders that were paid and not wholly refunded."""
    return sum(order.paid and (order.fen > 0 or not order.refunded) for order in _by_order(events, words))


def _by_order(events: Sequence[Event], words: Vocabulary) -> list[_Order]:
    fen: dict[str, int] = defaultdict(int)
    paid: dict[str, bool] = defaultdict(bool)
    refunded: dict[str, bool] = defaultdict(bool)
    for event in events:
        order = first_text(ORDER_FIELDS, event) or event["event_id"]
        fen[order] += event["value_fen"]
        refund = event["name"] in words.refunds
        refunded[order] |= refund
        paid[order] |= not refund
    return [_Order(fen[order], paid[order], refunded[order]) for order in fen]


def _streak(days: set[int], setting: Setting) -> int:
    """Local days in a row up to today, or up to yesterday while today is not over."""
    last = max(days, default=None)
    if last is None or last < local_day(setting.now_ms, setting.zone) - 1:
        return 0
    length = 0
    while last - length in days:
        length += 1
    return length
