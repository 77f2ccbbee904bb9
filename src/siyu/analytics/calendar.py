"""Whole calendar periods of a zone: their bounds, their labels, and the SQL that says which one an event is in.

The SQL computes with local wall-clock days: UTC plus the zone's offset, which is a constant between two clock changes.
So a day is a calendar day also when it has 23 or 25 hours.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from siyu.analytics.question import HOURS_MAX, INTERVALS_MAX, Interval, refuse
from siyu.analytics.scope import MILLIS
from siyu.rules import Params

Unit: TypeAlias = Literal["hour", "day", "week", "month"]
WeekStart: TypeAlias = Literal["monday", "sunday"]

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
_EPOCH: Final = date(1970, 1, 1)


class Calendar(NamedTuple):
    """Periods in a row."""

    zone: ZoneInfo
    unit: Unit
    starts: tuple[int, ...]
    """Epoch ms of each period's beginning, and of the end of the last: one number more than there are periods."""
    labels: tuple[str, ...]

    @property
    def intervals(self) -> int:
        """How many periods."""
        return len(self.labels)

    @property
    def span(self) -> Interval:
        """From the first beginning to the last end."""
        return Interval(self.starts[0], self.starts[-1])


def first_day(day: date, unit: Unit, week_start: WeekStart = "monday") -> date:
    """The day on which the period of `day` begins."""
    if unit == "week":
        return day - timedelta(days=day.weekday() if week_start == "monday" else (day.weekday() + 1) % 7)
    return day.replace(day=1) if unit == "month" else day


def move(day: date, unit: Unit, periods: int) -> date:
    """The first day of the period `periods` after the one beginning on `day`."""
    if unit == "month":
        months = day.year * 12 + day.month - 1 + periods
        return date(months // 12, months % 12 + 1, 1)
    return day + timedelta(days=periods * (7 if unit == "week" else 1))


def midnight_ms(day: date, zone: ZoneInfo) -> int:
    """Epoch ms of the beginning of a local day."""
    return _ms(datetime.combine(day, time(), zone))


def periods(zone: ZoneInfo, unit: Unit, first: date, count: int) -> Calendar:
    """`count` periods (not hours), the first beginning on `first`."""
    days = [move(first, unit, i) for i in range(count + 1)]
    return Calendar(
        zone, unit, tuple(midnight_ms(day, zone) for day in days), tuple(day.isoformat() for day in days[:-1])
    )


def covering(zone: ZoneInfo, unit: Unit, span: Interval, week_start: WeekStart = "monday") -> Calendar:
    """The periods that touch `span`. Raises InvalidQuestion when they are too many."""
    if unit == "hour":
        return _hours(zone, span)
    first = first_day(_local(span.start, zone).date(), unit, week_start)
    last = first_day(_local(span.end - 1, zone).date(), unit, week_start)
    days = (last - first).days
    count = (
        (last.year - first.year) * 12 + last.month - first.month
        if unit == "month"
        else days // (7 if unit == "week" else 1)
    ) + 1
    if count > INTERVALS_MAX:
        raise refuse(f"That is {count} intervals; at most {INTERVALS_MAX} are answered.", "interval")
    return periods(zone, unit, first, count)


def _hours(zone: ZoneInfo, span: Interval) -> Calendar:
    offset = _offset_ms(span.start, zone)
    start = span.start - (span.start + offset) % HOUR_MS
    count = -(-(span.end - start) // HOUR_MS)
    if count > HOURS_MAX:
        raise refuse(f"That is {count} hours; at most {HOURS_MAX} are answered.", "interval")
    starts = tuple(start + i * HOUR_MS for i in range(count + 1))
    return Calendar(zone, "hour", starts, tuple(_local(ms, zone).isoformat(timespec="minutes") for ms in starts[:-1]))


def _local(ms: int, zone: ZoneInfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone)


def _ms(moment: datetime) -> int:
    return (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _offset_ms(ms: int, zone: ZoneInfo) -> int:
    offset = _local(ms, zone).utcoffset()
    assert offset is not None
    return offset // timedelta(milliseconds=1)


@lru_cache(maxsize=1024)
def _changes(zone: ZoneInfo, year: int) -> tuple[tuple[int, int], ...]:
    """(moment, offset before): the clock changes of a UTC year, found day by day: some are weeks apart."""
    found: list[tuple[int, int]] = []
    at, end = (_ms(datetime(y, 1, 1, tzinfo=UTC)) for y in (year, year + 1))
    offset = _offset_ms(at, zone)
    while at < end:
        low, high = at, at + DAY_MS
        at, changed = high, _offset_ms(high, zone)
        if changed == offset:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset_ms(middle, zone) == offset else (low, middle)
        found.append((high, offset))
        offset = changed
    return tuple(found)


def _offsets(zone: ZoneInfo, span: Interval) -> list[tuple[int, int]]:
    """(until, offset): the zone's offsets within `span`, each up to the next clock change."""
    first, last = (datetime.fromtimestamp(ms // 1000, UTC).year for ms in span)
    changes = [change for year in range(first, last + 1) for change in _changes(zone, year)]
    inside = [change for change in changes if span.start < change[0] < span.end]
    return [*inside, (span.end, _offset_ms(span.end - 1, zone))]


def local_millis_sql(zone: ZoneInfo, span: Interval) -> str:
    """The local wall clock of an event within `span`, as milliseconds since 1970-01-01 00:00 local."""
    offsets = _offsets(zone, span)
    if len(offsets) == 1:
        return f"({MILLIS} + {offsets[0][1]})"
    changes = ", ".join(f"{MILLIS} < {until}, {offset}" for until, offset in offsets[:-1])
    return f"({MILLIS} + multiIf({changes}, {offsets[-1][1]}))"


def day_sql(zone: ZoneInfo, span: Interval) -> str:
    """Local calendar day of an event within `span`, days since 1970-01-01."""
    return f"intDiv({local_millis_sql(zone, span)}, {DAY_MS})"


def index_sql(calendar: Calendar, params: Params) -> str:
    """Index (0 …) of the period an event within the calendar's span is in."""
    if calendar.unit == "hour":
        return f"intDiv({MILLIS} - {calendar.starts[0]}, {HOUR_MS})"
    first = date.fromisoformat(calendar.labels[0])
    day = f"({day_sql(calendar.zone, calendar.span)} - {(first - _EPOCH).days})"
    if calendar.unit == "day":
        return day
    if calendar.unit == "week":
        return f"intDiv({day}, 7)"
    firsts = [date.fromisoformat(label) for label in calendar.labels]
    lengths = [(move(day_, "month", 1) - day_).days for day_ in firsts]
    months = params.add([i for i, length in enumerate(lengths) for _ in range(length)], "Array(UInt16)")
    return f"{months}[{day} + 1]"
