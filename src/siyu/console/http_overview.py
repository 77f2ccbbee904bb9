"""The overview: today against before, the last 30 days, sources, the newest events, processing, set-up."""

from __future__ import annotations

import asyncio
from datetime import datetime, time, timedelta
from typing import Any, Final, NamedTuple

from litestar import Response, get

from siyu.analytics import overview as reads
from siyu.analytics.overview import Day, Figures
from siyu.collect.actions import list_keys
from siyu.collect.loose_json import loads
from siyu.console.about import about
from siyu.console.drawing import sparkline
from siyu.console.format import change
from siyu.console.i18n import mark as _
from siyu.console.people import display_name
from siyu.console.visit import Visit
from siyu.processor.actions import stream_state
from siyu.profile.many import channels, portraits_of
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

TREND_DAYS: Final = 30
LIVE_EVENTS: Final = 12


class Tile(NamedTuple):
    """One figure of today."""

    name: str
    value: str
    exact: str
    against_yesterday: float | None
    against_last_week: float | None
    line: Any
    path: str
    tone: str


def _tiles(visit: Visit, figures: list[Figures], days: list[Day]) -> list[Tile]:
    today, yesterday, last_week = figures
    f = visit.format
    day = f.local(f.now).date().isoformat()
    rows = (
        ("persons", _("Active persons"), False, f"/console/persons?did=active&day={day}", "jade"),
        ("new_persons", _("New persons"), False, f"/console/persons?did=new&day={day}", "sky"),
        ("events", _("Events"), False, f"/console/persons?did=active&sort=events&day={day}", "plum"),
        ("orders", _("Orders"), False, f"/console/persons?did=bought&sort=orders&day={day}", "gold"),
        ("revenue_fen", _("Revenue"), True, f"/console/persons?did=bought&sort=spend&day={day}", "rose"),
    )
    tiles = []
    for field, name, money, path, tone in rows:
        value = getattr(today, field)
        line = [getattr(each, field) for each in days]
        tiles.append(
            Tile(
                visit.face.text(name),
                f.money(value) if money else f.compact(value),
                f.money_exact(value) if money else f.number(value),
                change(value, getattr(yesterday, field)),
                change(value, getattr(last_week, field)),
                sparkline(line),
                path,
                tone,
            )
        )
    return tiles


def _every_day(days: list[Day], first: datetime, count: int) -> list[Day]:
    known = {day.day: day for day in days}
    wanted = [(first + timedelta(days=n)).date() for n in range(count)]
    return [known.get(day, Day(day, 0, 0, 0, 0)) for day in wanted]


@get("/", include_in_schema=False)
async def overview(visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """The first page after the login."""
    instant, zone = visit.moment
    midnight = datetime.combine(instant.astimezone(zone).date(), time(), zone)
    first = midnight - timedelta(days=TREND_DAYS - 1)
    person = await reads.person_of_event(events)
    stretches = [(midnight - timedelta(days=n), instant - timedelta(days=n)) for n in (0, 1, 7)]
    figures, days, ends, names = await asyncio.gather(
        reads.figures(events, person, stretches),
        reads.days(events, person, first, instant, zone.key),
        reads.by_end(events, person, first, instant),
        reads.event_names(events),
    )
    came_from, state, keys = await asyncio.gather(
        channels(db, first, instant, 8), stream_state(db), list_keys(db, "write")
    )
    every_day = _every_day(days, first, TREND_DAYS)
    return visit.page(
        "overview.html",
        tiles=_tiles(visit, figures, every_day),
        chart=_chart(visit, every_day),
        ends=ends,
        channels=came_from,
        state=state,
        quiet=not days,
        empty=not names,
        has_key=any(key.revoked_at is None for key in keys),
        live=await live_events(visit, db, events, person),
        trend_days=TREND_DAYS,
    )


def _chart(visit: Visit, days: list[Day]) -> dict[str, Any]:
    text = visit.face.text
    return {
        "kind": "lines",
        "labels": [day.day.isoformat() for day in days],
        "series": [
            {"name": text(_("Active persons")), "values": [day.persons for day in days], "tone": "jade"},
            {"name": text(_("Orders")), "values": [day.orders for day in days], "tone": "gold"},
            {"name": text(_("Revenue")), "values": [day.revenue_fen / 100 for day in days], "tone": "rose", "axis": 1},
        ],
        "days": "/console/persons?did=active&day=",
    }


class LiveEvent(NamedTuple):
    """An event as a sentence: who did what where."""

    person_id: str
    person_name: str
    name: str
    end: str
    value_fen: int
    at: datetime
    about: str
    event_id: str


async def live_events(visit: Visit, db: Database, events: EventStore, person: str) -> list[LiveEvent]:
    """The newest events with the names of their persons."""
    rows = await reads.newest(events, person, visit.format.now, LIVE_EVENTS)
    known = await portraits_of(db, sorted({row.person for row in rows}), visit.moment)
    found = []
    for row in rows:
        one = known.get(row.person)
        found.append(
            LiveEvent(
                one.person_id if one else "",
                display_name(one, visit.locale) if one else visit.face.text(_("Somebody")),
                row.name,
                row.end,
                row.value_fen,
                row.received_at,
                about(loads(row.properties)),
                row.event_id,
            )
        )
    return found


@get("/overview/live", include_in_schema=False)
async def live(visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """The newest events, asked for again and again."""
    person = await reads.person_of_event(events)
    return visit.page("overview_live.html", live=await live_events(visit, db, events, person))


@get("/overview/state", include_in_schema=False)
async def state(visit: Visit, db: Database) -> Response[str]:
    """How far processing is."""
    return visit.page("overview_state.html", state=await stream_state(db))


routes: list[Any] = [overview, live, state]
