"""What questions share: typed parts, times and zones, limits, and refusals that name the wrong field."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from siyu.errors import InvalidQuestion
from siyu.rules import Condition, InvalidCondition, parse_condition
from siyu.rules.condition import Field, parse_field
from siyu.rules.possible import check_where
from siyu.rules.rule import InvalidRule

STEPS_MAX: Final = 20
EXCLUSIONS_MAX: Final = 10
SERIES_MAX: Final = 10
INTERVALS_MAX: Final = 400
HOURS_MAX: Final = 24 * 62
RANGE_DAYS_MAX: Final = 366 * 20
GROUPS_DEFAULT: Final = 25
GROUPS_MAX: Final = 500
PAGE_MAX: Final = 10_000
NAME_MAX: Final = 512
OTHER: Final = "$other"
"""The group of all values beyond the limit of a breakdown."""

_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_WINDOW_DEFAULT_MS: Final = 14 * 86_400_000
_WINDOW_MAX_MS: Final = 10 * 366 * 86_400_000

EventName: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX)]
Where: TypeAlias = dict[str, Any]


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Root of everything a question is made of: unknown fields are refused."""


class Span(Shape, frozen=True, kw_only=True):
    """The time a question looks at: [from, to), or the last whole local days up to and with today."""

    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=RANGE_DAYS_MAX)] | None = None


class Window(Shape, frozen=True, kw_only=True):
    """How long a chain may take, from its first event, the bound included. Zero or less means 14 days."""

    n: Annotated[int, msgspec.Meta(ge=-(10**9), le=10**9)] = 14
    unit: Literal["second", "minute", "hour", "day", "week"] = "day"

    @property
    def milliseconds(self) -> int:
        """The window in milliseconds."""
        if self.n <= 0:
            return _WINDOW_DEFAULT_MS
        return min(self.n * _SECONDS[self.unit] * 1000, _WINDOW_MAX_MS)


class Step(Shape, frozen=True, kw_only=True):
    """Events of one name (none: any behaviour) that fulfil a condition."""

    event: EventName | None = None
    where: Where | None = None


class Breakdown(Shape, frozen=True, kw_only=True):
    """Answer per value of a property: of the events, or of the persons."""

    event_prop: str | None = None
    person_prop: str | None = None
    attribution: Annotated[str, msgspec.Meta(pattern=r"^(first_touch|last_touch|all_events|step:[0-9]{1,2})$")] = (
        "first_touch"
    )
    limit: Annotated[int, msgspec.Meta(ge=1, le=GROUPS_MAX)] = GROUPS_DEFAULT


class Question(Shape, frozen=True, kw_only=True):
    """What every kind has: persons behind a number (`cell`), a page of them, the zone of its days."""

    timezone: str | None = None
    persons: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 1_000
    offset: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0


class Interval(NamedTuple):
    """[start, end) in epoch milliseconds."""

    start: int
    end: int


class Matcher(NamedTuple):
    """A parsed Step. `names` empty: any behaviour."""

    names: tuple[str, ...]
    where: Condition | None


def refuse(message: str, path: str) -> InvalidQuestion:
    """The refusal of a question at `path`."""
    return InvalidQuestion(message, path=path)


def zone_of(name: str | None, default: str) -> ZoneInfo:
    """The time zone called `name`. Raises InvalidQuestion."""
    try:
        return ZoneInfo(name or default)
    except (KeyError, ValueError, OSError):
        raise refuse(f"There is no time zone {name!r}.", "timezone") from None


def instant(text: str, zone: ZoneInfo, path: str) -> datetime:
    """An aware time from ISO text; without an offset it is a wall clock in `zone`, without a time its midnight."""
    try:
        if len(text) <= 10:
            return datetime.combine(date.fromisoformat(text), time(), zone)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise refuse(f"{text!r} is not an ISO 8601 date or time.", path) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def epoch_ms(moment: datetime, path: str = "range") -> int:
    """Epoch milliseconds, rounded up: no earlier millisecond is taken in. Raises InvalidQuestion outside 1970–2100."""
    try:
        delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except OverflowError:  # the first and the last day of the calendar, in a zone away from UTC
        delta = timedelta(days=-1)
    ms = -(-delta // timedelta(milliseconds=1))
    if not 0 <= ms <= 4_102_444_800_000:
        raise refuse("Times lie between 1970 and 2100.", path)
    return ms


def span_of(span: Span | None, zone: ZoneInfo, now: datetime, *, days_default: int = 30) -> Interval:
    """The interval a question looks at. Raises InvalidQuestion."""
    if span is None:
        span = Span(days=days_default)
    if span.days is not None:
        if span.from_ is not None or span.to is not None:
            raise refuse("Either days, or from and to.", "range.days")
        today = now.astimezone(zone).date()
        first, end = today - timedelta(days=span.days - 1), today + timedelta(days=1)
        midnights = [datetime.combine(day, time(), zone) for day in (first, end)]
        return Interval(epoch_ms(midnights[0]), epoch_ms(midnights[1]))
    if span.from_ is None:
        raise refuse("A range needs from (and to), or days.", "range.from")
    start = epoch_ms(instant(span.from_, zone, "range.from"), "range.from")
    end_ms = epoch_ms(now if span.to is None else instant(span.to, zone, "range.to"), "range.to")
    if end_ms <= start:
        raise refuse("The range ends before it begins.", "range.to")
    if end_ms - start > RANGE_DAYS_MAX * 86_400_000:
        raise refuse(f"A range has at most {RANGE_DAYS_MAX} days.", "range.to")
    return Interval(start, end_ms)


def condition_of(where: Where | None, path: str) -> Condition | None:
    """The parsed condition, None when there is none. Raises InvalidQuestion."""
    if not where:
        return None
    try:
        condition = parse_condition(where, path)
        check_where(where, path)
        return condition
    except (InvalidCondition, InvalidRule) as error:
        raise refuse(str(error), str(error.details.get("path", path))) from None


def field_of(name: str, path: str) -> Field:
    """The field a property name means. Raises InvalidQuestion."""
    try:
        return parse_field(name, path)
    except InvalidCondition as error:
        raise refuse(str(error), path) from None


def check_breakdown(breakdown: Breakdown | None, *, attributions: bool = False) -> None:
    """Refuse a breakdown that names no property or two, or an attribution where there is none to choose."""
    if breakdown is None:
        return
    if (breakdown.event_prop is None) == (breakdown.person_prop is None):
        raise refuse("A breakdown names event_prop or person_prop.", "breakdown")
    name = breakdown.event_prop if breakdown.event_prop is not None else breakdown.person_prop
    field_of(str(name), "breakdown.event_prop" if breakdown.event_prop is not None else "breakdown.person_prop")
    if not attributions and breakdown.attribution != "first_touch":
        raise refuse("Only funnels choose an attribution.", "breakdown.attribution")
