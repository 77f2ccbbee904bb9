"""Routes of the calendar: holidays and moved working days, by year."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from litestar import delete, get, put
from litestar.params import Parameter

from siyu.calendar import actions
from siyu.calendar.day import DAYS_MAX, NAME_CHARS_MAX, YEAR_MAX, YEAR_MIN, Day, Kind
from siyu.clock import Now
from siyu.idempotency import Key
from siyu.settings import Settings
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

BY_API = "api"
YearNumber = Annotated[int, Parameter(ge=YEAR_MIN, le=YEAR_MAX)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX, pattern=r"^[^\x00-\x1f]*[^\x00-\x20]+")]


class DayShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A holiday, or a working day on a weekend."""

    day: date
    name: str
    kind: Kind


class DayWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A holiday, or a working day on a weekend."""

    day: date
    name: Name
    kind: Kind


class YearWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All days of a year that are not what their weekday says."""

    days: Annotated[list[DayWanted], msgspec.Meta(min_length=1, max_length=DAYS_MAX)]


class YearShown(msgspec.Struct, frozen=True):
    """A year of the calendar."""

    year: int
    source: actions.Source
    """own: stored by the brand; published: came with the software; none: not known."""
    notice: str
    """The number of the notice it was published in."""
    at: datetime | None
    by: str
    days: list[DayShown]


class CalendarYears(msgspec.Struct, frozen=True):
    """Years with days, this one and the next."""

    items: list[YearShown]


def _shown(one: actions.Year) -> YearShown:
    days = [DayShown(each.day, each.name, each.kind) for each in one.days]
    return YearShown(one.year, one.source, one.notice, one.at, one.by, days)


@get("/api/calendar", summary="Holidays and working days", tags=["calendar"])
async def list_years(db: Database, now: Now, settings: Settings) -> CalendarYears:
    """All years that are known, this one and the next."""
    today = now().astimezone(ZoneInfo(settings.timezone)).date()
    async with db.driver() as connection:
        return CalendarYears([_shown(one) for one in await actions.years(connection, today)])


@get("/api/calendar/{year:int}", summary="A year of the calendar", tags=["calendar"])
async def show_year(year: YearNumber, db: Database) -> YearShown:
    """Its days; of a year that is not known there are none."""
    async with db.driver() as connection:
        return _shown(await actions.year_of(connection, year))


@put("/api/calendar/{year:int}", summary="Store a year of the calendar", tags=["calendar"])
async def store_year(
    year: YearNumber, data: YearWanted, db: Database, now: Now, idempotency_key: Key = None
) -> YearShown:
    """In place of what was there; rules follow with the next event. 422 INVALID_CALENDAR."""

    async def store(connection: Any) -> YearShown:
        wanted = [Day(one.day, one.name, one.kind) for one in data.days]
        return _shown(await actions.put_year(connection, year, wanted, now(), BY_API))

    return await once(db, Asked(idempotency_key, f"calendar {year}", data), YearShown, store, now)


@delete("/api/calendar/{year:int}", summary="Take a year back", tags=["calendar"], status_code=200)
async def remove_year(year: YearNumber, db: Database, now: Now, idempotency_key: Key = None) -> YearShown:
    """What the brand stored of it is gone; what is published counts again, where there is something."""

    async def remove(connection: Any) -> YearShown:
        return _shown(await actions.remove_year(connection, year))

    return await once(db, Asked(idempotency_key, f"calendar {year} removed", None), YearShown, remove, now)


routes: list[Any] = [list_years, show_year, store_year, remove_year]
