"""Holidays and moved working days, and what follows from them for any day. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from siyu.errors import MalformedRequest
from siyu.rules.moments import HOLIDAY, WORKDAY

NAME_CHARS_MAX: Final = 40
DAYS_MAX: Final = 366
YEAR_MIN: Final = 2000
YEAR_MAX: Final = 2100
_SATURDAY: Final = 6
_DATE: Final = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?", re.ASCII)
_PARTED: Final = re.compile(r"[,，\t;；]")
_RANGE: Final = re.compile(r"\s*[~～至]\s*")


class InvalidCalendar(MalformedRequest):
    """Days that are no year's calendar; `details["path"]` or `details["line"]` names the place."""

    code = "INVALID_CALENDAR"
    status = 422


class Kind(StrEnum):
    """What becomes of a day."""

    REST = "rest"
    """Nobody works: a statutory holiday, or a day off beside it."""
    WORK = "work"
    """Worked though it is a weekend, for a holiday (调休)."""


_KINDS: Final = {
    **dict.fromkeys(("rest", "holiday", "off", "true", "休", "休息", "放假"), Kind.REST),
    **dict.fromkeys(("work", "workday", "false", "班", "上班", "补班", "调休上班"), Kind.WORK),
}


class Day(NamedTuple):
    """A day that is not what its weekday says, or is a holiday anyway."""

    day: date
    name: str
    """The holiday; of a working day the one it is moved for."""
    kind: Kind


class Days:
    """All known days of all known years."""

    def __init__(self, days: Iterable[Day] = ()) -> None:
        self._known: Final[Mapping[date, Day]] = {one.day: one for one in days}
        self.years: Final = frozenset(day.year for day in self._known)

    def of(self, year: int) -> list[Day]:
        """The days of a year, in order."""
        return sorted(one for day, one in self._known.items() if day.year == year)

    def holiday(self, day: date) -> str | None:
        """The holiday's name; None: it is none, or its year is not known."""
        one = self._known.get(day)
        return one.name if one is not None and one.kind is Kind.REST else None

    def workday(self, day: date) -> bool | None:
        """Whether people work; None: the year is not known."""
        if day.year not in self.years:
            return None
        one = self._known.get(day)
        return day.isoweekday() < _SATURDAY if one is None else one.kind is Kind.WORK

    def with_own(self, own: Iterable[Day]) -> Days:
        """With the brand's own days: a year of theirs stands for the whole year."""
        mine = list(own)
        years = {one.day.year for one in mine}
        return Days([*(one for day, one in self._known.items() if day.year not in years), *mine]) if mine else self


def asked_of(days: Days, day: date) -> dict[str, Any]:
    """What rules may ask of a day; what is not known is missing."""
    found = {HOLIDAY: days.holiday(day), WORKDAY: days.workday(day)}
    return {name: value for name, value in found.items() if value is not None}


def checked(year: int, days: Iterable[Day]) -> list[Day]:
    """The days of a year in order. Raises InvalidCalendar."""
    found: dict[date, Day] = {}
    for place, one in enumerate(days):
        if one.day.year != year:
            raise InvalidCalendar(f"{one.day} is not in {year}.", path=f"days[{place}].day")
        if one.day in found:
            raise InvalidCalendar(f"{one.day} stands there twice.", path=f"days[{place}].day")
        name = one.name.strip()
        if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
            raise InvalidCalendar(f"A name has 1 to {NAME_CHARS_MAX} characters.", path=f"days[{place}].name")
        found[one.day] = one._replace(name=name)
    if not found:
        raise InvalidCalendar("A year has at least one day: without any it is not known.", path="days")
    return [found[day] for day in sorted(found)]


def read_days(text: str) -> list[Day]:
    """Days out of lines like `2026-01-01,元旦,rest`, `2026-02-15~2026-02-23,春节,休` or `2026/1/4,元旦,班`.

    A first line without a date is a heading; empty lines and those that begin with # say nothing. Raises
    InvalidCalendar with the number of the line."""
    found: list[Day] = []
    lines = [(number, line.strip()) for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1)]
    said = [(number, line) for number, line in lines if line and not line.startswith("#")]
    for place, (number, line) in enumerate(said):
        if place == 0 and not any(map(str.isdigit, line)):
            continue
        found += _read_line(number, line)
        if len(found) > DAYS_MAX:
            raise InvalidCalendar(f"A year has at most {DAYS_MAX} days.", line=number)
    return found


def _read_line(number: int, line: str) -> list[Day]:
    parts = [part.strip().strip('"') for part in _PARTED.split(line)]
    kind = _KINDS.get(parts[2].lower()) if len(parts) == 3 else None
    if kind is None:
        raise InvalidCalendar("A line is a day, a name, and rest or work, with commas between.", line=number)
    first, *rest = [_date(part, number) for part in _RANGE.split(parts[0], maxsplit=1)]
    last = rest[0] if rest else first
    if not 0 <= (last - first).days < DAYS_MAX:
        raise InvalidCalendar(f"{first} to {last} is no stretch of days in a year.", line=number)
    return [Day(first + timedelta(days=n), parts[1], kind) for n in range((last - first).days + 1)]


def _date(text: str, number: int) -> date:
    found = _DATE.fullmatch(text)
    try:
        return date(*map(int, found.groups())) if found else date.fromisoformat(text)
    except ValueError:
        raise InvalidCalendar(f"{text[:40]!r} is no day.", line=number) from None


def as_text(days: Iterable[Day]) -> str:
    """Days as lines that `read_days` reads."""
    return "".join(f"{one.day},{one.name},{one.kind.value}\n" for one in days)
