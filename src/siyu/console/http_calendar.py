"""Holidays and working days for operators: a year at a glance, one day changed in place, a year pasted or uploaded."""

from __future__ import annotations

from calendar import Calendar
from collections.abc import Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from babel.dates import format_date, get_day_names
from litestar import Response, get, post
from litestar.datastructures import UploadFile

from siyu.calendar import actions
from siyu.calendar.actions import Year
from siyu.calendar.day import NAME_CHARS_MAX, YEAR_MAX, YEAR_MIN, Day, InvalidCalendar, Kind, as_text, read_days
from siyu.console.fields import NEEDED, Fields
from siyu.console.http_pools import UNREADABLE, text_of
from siyu.console.i18n import babel_locale
from siyu.console.i18n import mark as _
from siyu.console.page import redirect
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import NotFound
from siyu.rules.moments import HOLIDAYS
from siyu.rules.vocabulary import choice_label
from siyu.store.postgres import Database, driver_of

SAID: Final = {
    "stored": _("The year is stored. Rules follow with the next event."),
    "removed": _("Taken back. What was published counts again, where there is something."),
}
KINDS: Final = {
    Kind.REST.value: _("Off: a holiday"),
    Kind.WORK.value: _("Worked, though a weekend"),
    "": _("Like any other day of the week"),
}
WRONG_LINE: Final = _("Line %s is not understood: a day, a name, and rest or work, with commas between.")
WRONG_YEAR: Final = _("These are not the days of %s: each once, each with a name, all of that year.")
NO_DAY: Final = _("Choose a day of this year.")


class Cell(NamedTuple):
    """A day as the year shows it."""

    day: date
    name: str
    look: str
    """off, worked, free (a weekend) or plain."""


class Month(NamedTuple):
    """A month as weeks of seven days; None: a day of another month."""

    label: str
    weeks: list[list[Cell | None]]


def _named(name: str, visit: Visit) -> str:
    return choice_label(name, HOLIDAYS, "zh" if visit.locale.startswith("zh") else "en") or name


def months(year: Year, visit: Visit) -> list[Month]:
    """A year as it hangs on a wall."""
    known = {one.day: one for one in year.days}

    def cell(day: date) -> Cell:
        one = known.get(day)
        if one is not None:
            return Cell(day, _named(one.name, visit), "off" if one.kind is Kind.REST else "worked")
        return Cell(day, "", "free" if day.isoweekday() > 5 else "plain")

    found = []
    for number in range(1, 13):
        weeks = Calendar().monthdatescalendar(year.year, number)
        label = format_date(date(year.year, number, 1), "LLLL", locale=babel_locale(visit.locale))
        found.append(Month(label, [[cell(day) if day.month == number else None for day in week] for week in weeks]))
    return found


async def _page(
    visit: Visit, db: Database, number: int, fields: Fields | None = None, *, said: str | None = None, chosen: str = ""
) -> Response[str]:
    today = visit.format.local(visit.format.now).date()
    async with db.driver() as connection:
        known = await actions.years(connection, today)
        year = await actions.year_of(connection, number)
        lacking = actions.missing(await actions.days_known(connection), today)
    day = _chosen(chosen, number)
    there = next((one for one in year.days if one.day == day), None)
    values = {"text": as_text(year.days), "day": "" if day is None else day.isoformat()}
    values |= {"name": there.name, "kind": there.kind.value} if there else {"kind": Kind.REST.value}
    names = get_day_names("narrow", locale=babel_locale(visit.locale))
    return visit.page(
        "calendar.html", year=year, years=sorted({one.year for one in known} | {number}), months=months(year, visit),
        weekdays=[names[n] for n in range(7)], today=today, day=day, lacking=lacking, said=said,
        kinds=[(key, visit.face.text(words)) for key, words in KINDS.items()], named=[one.value for one in HOLIDAYS],
        off=sum(one.kind is Kind.REST for one in year.days), worked=sum(one.kind is Kind.WORK for one in year.days),
        values=values | (fields.values if fields else {}), wrong=fields.wrong if fields else {},
        status=422 if fields and fields.wrong else 200,
    )  # fmt: skip


def _chosen(text: str, year: int) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.year == year else None


def _number(text: str, visit: Visit) -> int:
    given = int(text) if text.isdecimal() and len(text) == 4 else visit.format.local(visit.format.now).year
    return min(max(given, YEAR_MIN), YEAR_MAX)


def _known(number: int) -> None:
    if not YEAR_MIN <= number <= YEAR_MAX:
        raise NotFound("There is no calendar of this year.")


@get("/calendar", include_in_schema=False)
async def show(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """A year; `day`: one of its days in the form."""
    asked = request.query_params
    said = visit.face.text(SAID[asked["said"]]) if asked.get("said", "") in SAID else None
    number = _number(asked.get("year", ""), visit)
    return await _page(visit, db, number, said=said, chosen=asked.get("day", ""))


async def _store(visit: Visit, db: Database, year: int, days: Sequence[Day]) -> None:
    async with db.begin() as conn:
        by = f"console:{visit.operator.name}"
        await actions.put_year(await driver_of(conn), year, days, visit.moment.now, by)


@post("/calendar/{number:int}", include_in_schema=False, status_code=303)
async def store(request: AnyRequest, number: int, visit: Visit, db: Database) -> Response[str]:
    """A whole year out of lines that were pasted, or a file."""
    visit.operator.require("persons")
    _known(number)
    form = await request.form()
    fields, file = Fields(form, visit.face.text), form.get("file")
    text: str | None = fields.raw("text")
    if isinstance(file, UploadFile) and file.filename:
        text = text_of(await file.read())
        if text is None:
            fields.refuse("file", UNREADABLE)
    elif not text:
        fields.refuse("text", NEEDED)
    if text and not fields.wrong:
        try:
            await _store(visit, db, number, read_days(text))
            return redirect(f"/console/calendar?year={number}&said=stored")
        except InvalidCalendar as error:
            line = error.details.get("line")
            fields.refuse("text", WRONG_YEAR if line is None else WRONG_LINE, number if line is None else line)
    return await _page(visit, db, number, fields)


@post("/calendar/{number:int}/day", include_in_schema=False, status_code=303)
async def change_day(request: AnyRequest, number: int, visit: Visit, db: Database) -> Response[str]:
    """One day of a year; the others stay."""
    visit.operator.require("persons")
    _known(number)
    fields = Fields(await request.form(), visit.face.text)
    day, kind = _chosen(fields.raw("day"), number), fields.raw("kind")
    name = fields.text("name", NAME_CHARS_MAX, needed=bool(kind))
    if day is None:
        fields.refuse("day", NO_DAY)
    if kind not in KINDS:
        fields.choice("kind", list(KINDS))
    if day is not None and not fields.wrong:
        async with db.begin() as conn:
            connection = await driver_of(conn)
            await actions.change_day(
                connection, day, Day(day, name, Kind(kind)) if kind else None,
                visit.moment.now, f"console:{visit.operator.name}",
            )  # fmt: skip
        return redirect(f"/console/calendar?year={number}&day={day}&said=stored")
    return await _page(visit, db, number, fields, chosen=fields.raw("day"))


@post("/calendar/{number:int}/remove", include_in_schema=False, status_code=303)
async def remove(number: int, visit: Visit, db: Database) -> Response[str]:
    """Take back what the brand stored of a year."""
    visit.operator.require("persons")
    _known(number)
    async with db.begin() as conn:
        await actions.remove_year(await driver_of(conn), number)
    return redirect(f"/console/calendar?year={number}&said=removed")


routes: list[Any] = [show, store, change_day, remove]
