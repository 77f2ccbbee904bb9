"""The time a metric looks at. An event at `t` counts for "the last d" during [t, t + d): so `now - d < t <= now`.

What lies after `now` has not happened yet, in every window. Calendar periods are the brand's zone's.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

UNIT_MS: Final = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}
PERIODS: Final = ("day", "week", "month", "quarter", "half", "year")
DAYS_MAX: Final = 36_600
BEGINNING_MS: Final = -(2**53)
"""Before everything."""

Form: TypeAlias = Literal["ever", "last", "this", "days", "between", "campaign"]


class Duration(NamedTuple):
    """So many units of a fixed length."""

    n: int
    unit: str

    @property
    def ms(self) -> int:
        """Its length in milliseconds."""
        return self.n * UNIT_MS[self.unit]


class Window(NamedTuple):
    """A stretch of time. `last`: n units back from now; `this`: the calendar period n periods ago; `days`: the last n
    local days with today; `between`: from start (or the beginning) to before end (or now); `campaign`: its own time."""

    form: Form = "ever"
    n: int = 0
    unit: str = ""
    start: str = ""
    end: str = ""

    @property
    def fades_ms(self) -> int | None:
        """After what time an event leaves a rolling window; None for the others."""
        return Duration(self.n, self.unit).ms if self.form == "last" else None

    @property
    def turns(self) -> bool:
        """Whether it moves on at a local midnight."""
        return self.form in ("this", "days")


class Setting(NamedTuple):
    """When and where a rule is looked at."""

    now: datetime
    zone: ZoneInfo
    campaign: tuple[int, int] | None = None
    """[start, end) of the campaign, epoch milliseconds."""

    @property
    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return epoch_ms(self.now)

    @property
    def today(self) -> date:
        """The local day."""
        return self.now.astimezone(self.zone).date()


class Interval(NamedTuple):
    """[start, end) in epoch milliseconds."""

    start: int
    end: int


def epoch_ms(at: datetime) -> int:
    """Whole milliseconds since 1970, exactly."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def instant_ms(text: str, zone: ZoneInfo) -> int:
    """Epoch milliseconds of an ISO time; one without an offset is local. Raises ValueError."""
    at = datetime.fromisoformat(text)
    return epoch_ms(at if at.tzinfo else at.replace(tzinfo=zone))


def interval_of(window: Window, setting: Setting) -> Interval:
    """The time a window means now. Raises ValueError for a campaign's outside of one."""
    until = setting.now_ms + 1
    if window.form == "last":
        return Interval(until - Duration(window.n, window.unit).ms, until)
    if window.form == "this":
        start, end = _period(window.unit, window.n, setting.today)
        return Interval(_midnight_ms(start, setting.zone), min(until, _midnight_ms(end, setting.zone)))
    if window.form == "days":
        return Interval(_midnight_ms(setting.today - timedelta(days=window.n - 1), setting.zone), until)
    if window.form == "between":
        start_ms = instant_ms(window.start, setting.zone) if window.start else BEGINNING_MS
        return Interval(start_ms, min(until, instant_ms(window.end, setting.zone)) if window.end else until)
    if window.form == "campaign":
        if setting.campaign is None:
            raise ValueError("There is no campaign here.")
        return Interval(setting.campaign[0], min(until, setting.campaign[1]))
    return Interval(BEGINNING_MS, until)


def local_day(at_ms: int, zone: ZoneInfo) -> int:
    """The number of the local day of an instant; 1970-01-01 is 0."""
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return at.astimezone(zone).toordinal() - _EPOCH.toordinal()


def _period(unit: str, ago: int, today: date) -> tuple[date, date]:
    """First day of a calendar period and of the next one. Weeks begin on Monday."""
    if unit == "day":
        first = today - timedelta(days=ago)
        return first, first + timedelta(days=1)
    if unit == "week":
        first = today - timedelta(days=today.weekday() + 7 * ago)
        return first, first + timedelta(days=7)
    months = {"month": 1, "quarter": 3, "half": 6, "year": 12}[unit]
    index = (today.year * 12 + today.month - 1) // months - ago
    return _month(index * months), _month((index + 1) * months)


def _month(index: int) -> date:
    return date(index // 12, index % 12 + 1, 1)


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    return epoch_ms(datetime.combine(day, time(), zone))
