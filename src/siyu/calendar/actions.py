"""Verbs of the calendar: read it, look at a year, store one, take it back. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from siyu.calendar import records
from siyu.calendar.day import Day, Days, checked
from siyu.calendar.published import NOTICES, PUBLISHED

Source: TypeAlias = Literal["own", "published", "none"]
"""Stored by the brand, come with the software, or not known."""
_DECEMBER: Final = 12


class Year(NamedTuple):
    """A year of the calendar."""

    year: int
    source: Source
    days: Sequence[Day]
    notice: str = ""
    """The number of the notice that it was published in."""
    at: datetime | None = None
    by: str = ""


async def days_known(connection: Any) -> Days:
    """All days that are known now: one statement."""
    return PUBLISHED.with_own(await records.own_days(connection))


async def year_of(connection: Any, year: int) -> Year:
    """A year, known or not."""
    days, stored = await days_known(connection), await records.stored(connection, year)
    if stored is not None:
        return Year(year, "own", days.of(year), "", *stored)
    return Year(year, "published" if year in days.years else "none", days.of(year), NOTICES.get(year, ""))


async def years(connection: Any, today: date) -> list[Year]:
    """All years with days, this one and the next, in order."""
    own = {one.day.year for one in await records.own_days(connection)}
    return [await year_of(connection, year) for year in sorted({*own, *PUBLISHED.years, today.year, today.year + 1})]


async def put_year(connection: Any, year: int, days: Iterable[Day], at: datetime, by: str) -> Year:
    """Store a year in place of what was there. `connection`: in a transaction. Raises InvalidCalendar."""
    await records.replace(connection, year, checked(year, days), at, by)
    return await year_of(connection, year)


async def change_day(connection: Any, day: date, wanted: Day | None, at: datetime, by: str) -> Year:
    """One day of a year, the others as they are; None: it is like any other day of the week. The year is stored with
    it, and taken back with its last day. `connection`: in a transaction. Raises InvalidCalendar."""
    await records.lock(connection, day.year)
    others = [one for one in (await days_known(connection)).of(day.year) if one.day != day]
    if wanted is None and not others:
        return await remove_year(connection, day.year)
    return await put_year(connection, day.year, [*others, *([wanted] if wanted else [])], at, by)


async def remove_year(connection: Any, year: int) -> Year:
    """Take back what the brand has stored of a year; what is published counts again."""
    await records.remove(connection, year)
    return await year_of(connection, year)


def missing(days: Days, today: date) -> list[int]:
    """The years whose days should be known by now and are not: the running one, from December on the next as well."""
    wanted = [today.year, today.year + 1] if today.month == _DECEMBER else [today.year]
    return [year for year in wanted if year not in days.years]
