"""A dimension of one person from their events: slow and obvious, the reference for `aggregate_sql` and `arithmetic`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from math import isqrt
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from siyu.dimensions.dimension import (
    HOUR,
    WEEKDAY,
    After,
    Aggregate,
    Band,
    Const,
    Difference,
    Dimension,
    Expression,
    Ratio,
    Regularity,
    Since,
    Total,
)
from siyu.rules.condition import line_field, parse_field
from siyu.rules.evaluate import first_text, listed_lines, numeric
from siyu.rules.measure import counted_events, measure, names_of
from siyu.rules.rule import MONEY, SUM_SCALE, SUMMAND_MAX
from siyu.rules.vocabulary import Vocabulary
from siyu.rules.window import UNIT_MS, Setting, local_day

Raw: TypeAlias = int | str | None
EXACT_MAX: Final = 2**62
"""Beyond it a product is absent, since columns could not hold it."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Event: TypeAlias = Mapping[str, Any]


def value_of(
    dimension: Dimension, events: Sequence[Event], setting: Setting, words: Vocabulary
) -> int | float | str | None:
    """What a dimension is of the person with these events (shape: `rules.judge.Facts.events`)."""
    found = raw_of(dimension.expression, lambda one: aggregate_of(one, events, setting, words), setting)
    return shown(found, dimension.decimals)


def shown(raw: Raw, decimals: int) -> int | float | str | None:
    """A figure as people and rules read it."""
    return raw / 10**decimals if decimals and isinstance(raw, int) else raw


def raw_of(expression: Expression, figure: Callable[[Aggregate], Raw], setting: Setting) -> Raw:
    """What an expression without references is of a person whose aggregates are these."""
    if isinstance(expression, Aggregate):
        return figure(expression)

    def number(part: Expression) -> int | None:
        value = raw_of(part, figure, setting)
        assert not isinstance(value, str), part
        return value

    if isinstance(expression, Const):
        return expression.value
    if isinstance(expression, Total):
        parts = [number(part) for part in expression.parts]
        return None if None in parts else sum(part for part in parts if part is not None)
    if isinstance(expression, Difference):
        a, b = number(expression.a), number(expression.b)
        if a is None or b is None:
            return None
        return a - b if expression.floor is None else max(a - b, expression.floor)
    if isinstance(expression, Ratio):
        return _ratio(number(expression.a), number(expression.b), expression)
    if isinstance(expression, Since):
        day = number(expression.day)
        return None if day is None else max(0, local_day(setting.now_ms, setting.zone) - day)
    if isinstance(expression, After):
        at, days = number(expression.at), number(expression.days)
        return None if at is None or days is None else at + days * UNIT_MS["day"] // expression.scale
    if isinstance(expression, Regularity):
        return _regularity(number(expression.gaps), number(expression.total), number(expression.squares))
    assert isinstance(expression, Band), expression
    of = number(expression.of)
    return None if of is None else expression.names[sum(of >= edge for edge in expression.edges)]


def _ratio(a: int | None, b: int | None, ratio: Ratio) -> int | None:
    if a is None or b is None or b <= 0 or abs(a) > EXACT_MAX // (2 * ratio.scale):
        return None
    rounded = (2 * a * ratio.scale + b) // (2 * b)
    return rounded if ratio.most is None else min(rounded, ratio.most)


def _regularity(count: int | None, total: int | None, squares: int | None) -> int | None:
    if count is None or total is None or squares is None or count < 2 or total <= 0:
        return None
    # Deviation over mean is sqrt(n Σg² − (Σg)²) ÷ Σg, whatever n.
    deviation = isqrt(10_000 * (count * squares - total * total))
    return max(0, 100 - -(-deviation // total))


def _local(event: Event, zone: ZoneInfo) -> datetime:
    return (_EPOCH + timedelta(milliseconds=event["at_ms"])).astimezone(zone)


def raws_of(
    dimensions: Iterable[Dimension], events: Sequence[Event], setting: Setting, words: Vocabulary
) -> dict[str, Raw]:
    """Many dimensions of one person by key, before their decimals: each aggregate once."""
    by_name: dict[str, list[Event]] = {}
    for event in events:
        by_name.setdefault(event["name"], []).append(event)

    @cache
    def figure(one: Aggregate) -> Raw:
        if names := names_of(one.base, words):
            return aggregate_of(one, [event for name in names for event in by_name.get(name, ())], setting, words)
        return aggregate_of(one, events, setting, words)

    return {one.key: raw_of(one.expression, figure, setting) for one in dimensions}


def aggregate_of(aggregate: Aggregate, events: Sequence[Event], setting: Setting, words: Vocabulary) -> Raw:
    """An aggregate of the person with these events."""
    zone = setting.zone
    if aggregate.hours:
        events = [event for event in events if _local(event, zone).hour in aggregate.hours]
    if aggregate.weekdays:
        events = [event for event in events if _local(event, zone).isoweekday() in aggregate.weekdays]
    if aggregate.kind == "metric":
        return measure(aggregate.base, events, setting, words)
    counted = list(counted_events(aggregate.base, events, setting, words))
    if aggregate.kind in ("largest", "smallest", "sum", "said"):
        figures = (_figure(event, aggregate) for event in counted)
        return _of_figures(aggregate.kind, [figure for figure in figures if figure is not None])
    if aggregate.kind == "commonest":
        return _commonest(aggregate, counted, zone)
    if aggregate.kind == "different":
        return len({text for event in counted for text in _texts(event, aggregate)})
    if aggregate.kind in ("earliest", "latest"):
        texts = [(event["at_ms"], text.encode()) for event in counted for text in _texts(event, aggregate)[:1]]
        chosen = (min if aggregate.kind == "earliest" else max)(texts, default=None)
        return None if chosen is None else chosen[1].decode()
    return days_figure(aggregate.kind, sorted({local_day(event["at_ms"], zone) for event in counted}))


def _of_figures(kind: str, figures: Sequence[int]) -> int | None:
    if kind in ("sum", "said"):
        return sum(figures) if kind == "sum" else len(figures)
    return (max if kind == "largest" else min)(figures, default=None)


def _own_text(event: Event, aggregate: Aggregate) -> str:
    return first_text(map(parse_field, aggregate.fields), event)


def _line_texts(event: Event, aggregate: Aggregate) -> list[str]:
    """Of each line that an event lists."""
    lines = listed_lines(event.get("properties") or {}) if aggregate.lines else ()
    return [first_text(map(line_field, aggregate.fields), {"line": line}) for line in lines]


def _texts(event: Event, aggregate: Aggregate) -> list[str]:
    """What an event says: different texts, in the order of its lines."""
    texts = [text for text in _line_texts(event, aggregate) if text] or [_own_text(event, aggregate)]
    return [text for text in dict.fromkeys(texts) if text]


def _figure(event: Event, aggregate: Aggregate) -> int | None:
    if aggregate.fields == (MONEY,):
        return int(event["value_fen"])
    if texts := _line_texts(event, aggregate):
        return sum(SUM_SCALE if (figure := _scaled(text)) is None else figure for text in texts)
    return _scaled(_own_text(event, aggregate))


def _scaled(text: str) -> int | None:
    number = numeric(text)
    return None if number is None or not abs(number) <= SUMMAND_MAX else round(number * SUM_SCALE)


def _commonest(aggregate: Aggregate, counted: Sequence[Event], zone: ZoneInfo) -> Raw:
    of = aggregate.fields[0]
    if of in (HOUR, WEEKDAY):
        moments = [_local(event, zone) for event in counted]
        times = Counter(moment.hour if of == HOUR else moment.isoweekday() for moment in moments)
        return min(times, key=lambda value: (-times[value], value), default=None)
    often = Counter(text for event in counted for text in _texts(event, aggregate))
    return min(often, key=lambda text: (-often[text], text.encode()), default=None)


def days_figure(kind: str, days: Sequence[int]) -> int | None:
    """A figure of different local days in rising order."""
    gaps = sorted(later - earlier for earlier, later in pairwise(days))
    if kind == "gap_squares":
        return sum(gap * gap for gap in gaps)
    if kind == "run":
        longest = length = 0
        for earlier, later in zip([None, *days], days, strict=False):
            length = length + 1 if earlier is not None and later - earlier == 1 else 1
            longest = max(longest, length)
        return longest
    if kind in ("first_day", "last_day"):
        return (days[0] if kind == "first_day" else days[-1]) if days else None
    if not gaps:
        return None
    if kind == "gap_median":
        return gaps[(len(gaps) - 1) // 2] + gaps[len(gaps) // 2]
    return gaps[0] if kind == "gap_shortest" else gaps[-1]
