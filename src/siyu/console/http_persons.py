"""Finding persons: by identifier or name, by tag, by lifecycle, by what they did."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple, get_args
from zoneinfo import ZoneInfo

from litestar import Response, get

from siyu.analytics import overview as reads
from siyu.analytics.overview import SORTS, Column, Did, PersonRow, Sort, Wanted
from siyu.console.i18n import mark as _
from siyu.console.labels import Labels
from siyu.console.people import display_name
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import MalformedRequest
from siyu.profile import actions as profile
from siyu.profile import operate
from siyu.profile.lifecycle import Lifecycle
from siyu.profile.many import persons_of_channel, portraits_of
from siyu.profile.portrait import Moment, Portrait
from siyu.profile.tag import TagNotFound, WrongTag
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

PAGE_PERSONS: Final = 50
PAGES_MAX: Final = 400
STAGES: Final[tuple[Lifecycle, ...]] = get_args(Lifecycle)

SORT_NAMES: Final[dict[Sort, str]] = {
    "last_seen": _("Seen last"),
    "spend": _("Spend"),
    "orders": _("Orders"),
    "events": _("Events"),
}


class Listed(NamedTuple):
    """A person in a list."""

    name: str
    portrait: Portrait
    row: PersonRow | None


class Listing(NamedTuple):
    """A page of persons, what it is a page of, and how many there are in all (None: unknown)."""

    people: list[Listed]
    total: int | None
    title: str
    more: bool = False
    """Whether there is another page, where the total is unknown."""


def listed(portraits: list[Portrait], locale: str) -> list[Listed]:
    """Portraits as list entries."""
    return [Listed(display_name(one, locale), one, None) for one in portraits]


class Asked(NamedTuple):
    """The filters in the address."""

    q: str
    lifecycle: Lifecycle | None
    tag: str
    end: str
    source: str
    event: str
    channel: str
    did: str
    since: str
    until: str
    sort: Sort
    page: int


def _asked(request: AnyRequest) -> Asked:
    given = request.query_params
    day = given.get("day", "")
    page, stage, sort = given.get("page", "1"), given.get("lifecycle", ""), given.get("sort", "last_seen")
    return Asked(
        q=given.get("q", "").replace("\x00", "").strip()[:255],
        lifecycle=next((each for each in STAGES if each == stage), None),
        tag=given.get("tag", "").strip()[:400],
        end=given.get("end", "")[:100],
        source=given.get("source", "")[:100],
        event=given.get("event", "")[:400],
        channel=given.get("channel", "")[:400],
        did=given.get("did", ""),
        since=day or given.get("since", ""),
        until=_next_day(day) if day else given.get("until", ""),
        sort=next((each for each in SORTS if each == sort), "last_seen"),
        page=min(PAGES_MAX, max(1, int(page))) if page.isdecimal() and len(page) < 8 else 1,
    )


def _next_day(text: str) -> str:
    try:
        return (date.fromisoformat(text) + timedelta(days=1)).isoformat()
    except (ValueError, OverflowError) as error:
        raise MalformedRequest(f"{text[:40]!r} is not a date.", path="day") from error


def _day(text: str, zone: ZoneInfo, default: datetime) -> datetime:
    """The local midnight of an ISO date, or an instant in full. Raises MalformedRequest."""
    if not text:
        return default
    try:
        if len(text) <= 10:
            return datetime.combine(date.fromisoformat(text), time(), zone).astimezone(UTC)
        instant = datetime.fromisoformat(text.replace(" ", "+"))
        return (instant if instant.tzinfo else instant.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MalformedRequest(f"{text[:40]!r} is not a date.", path="since") from error


@get("/persons", include_in_schema=False)
async def persons(request: AnyRequest, visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """Persons, searched or listed."""
    asked = _asked(request)
    moment = visit.moment
    if asked.q:
        found = await profile.search(db, asked.q, PAGE_PERSONS + 1, moment, (asked.page - 1) * PAGE_PERSONS)
        title = visit.face.text(_("Persons for “%(text)s”")) % {"text": asked.q}
        listing = _one_page(visit, found, asked.page, title)
    elif asked.tag:
        listing = await _with_tag(visit, db, asked, moment)
    elif asked.channel:
        listing = await _of_channel(visit, db, asked, moment)
    else:
        listing = await _all(visit, db, events, asked, moment)
    return visit.page(
        "persons.html",
        asked=asked,
        listing=listing,
        stages=STAGES,
        sorts=SORT_NAMES,
        tags=await operate.list_tags(db),
        page_persons=PAGE_PERSONS,
        find_text=asked.q,
    )


def _one_page(visit: Visit, found: list[Portrait], page: int, title: str) -> Listing:
    """A page of a list that is read one person further than shown; its total is known once its end is seen."""
    more = len(found) > PAGE_PERSONS
    total = None if more else (page - 1) * PAGE_PERSONS + len(found)
    return Listing(listed(found[:PAGE_PERSONS], visit.locale), total, title, more)


async def _with_tag(visit: Visit, db: Database, asked: Asked, moment: Moment) -> Listing:
    try:
        found = await operate.tagged_persons(db, asked.tag, asked.page * PAGE_PERSONS + 1, moment)
    except (TagNotFound, WrongTag):
        found = []
    title = visit.face.text(_("Persons with the tag “%(text)s”")) % {"text": asked.tag}
    return _one_page(visit, found[(asked.page - 1) * PAGE_PERSONS :], asked.page, title)


async def _of_channel(visit: Visit, db: Database, asked: Asked, moment: Moment) -> Listing:
    start = _day(asked.since, moment.zone, moment.now - timedelta(days=30))
    end = _day(asked.until, moment.zone, moment.now)
    offset = (asked.page - 1) * PAGE_PERSONS
    numbers, total = await persons_of_channel(db, asked.channel, start, end, limit=PAGE_PERSONS, offset=offset)
    known = await portraits_of(db, numbers, moment)
    title = visit.face.text(_("Persons from the channel “%(text)s”"))
    found = [known[number] for number in numbers if number in known]
    return Listing(listed(found, visit.locale), total, title % {"text": Labels(visit.locale).channel(asked.channel)})


async def _all(visit: Visit, db: Database, events: EventStore, asked: Asked, moment: Moment) -> Listing:
    did = None
    title = visit.face.text(_("Persons"))
    only: dict[Column, str] = {}
    if asked.end:
        only["end"] = asked.end
    if asked.source:
        only["source"] = asked.source
    if asked.event:
        only["name"] = asked.event
    if asked.did in _DID_TITLES or only:
        start = _day(asked.since, moment.zone, moment.now - timedelta(days=30))
        end = _day(asked.until, moment.zone, moment.now)
        what = asked.did if asked.did in _DID_TITLES else "active"
        did = Did(what, start, end)  # type: ignore[arg-type]  # one of the titles' keys by the line above
        title = visit.face.text(_DID_TITLES[what])
    wanted = Wanted(asked.sort, asked.lifecycle, did, only, PAGE_PERSONS, (asked.page - 1) * PAGE_PERSONS)
    limits = await operate.thresholds(db)
    person = await reads.person_of_event(events)
    rows, total = await reads.persons_listed(events, person, wanted, limits, moment.now)
    known = await portraits_of(db, [row.person for row in rows], moment)
    people = [
        Listed(display_name(known[row.person], visit.locale), known[row.person], row)
        for row in rows
        if row.person in known
    ]
    return Listing(people, total, title)


_DID_TITLES: Final = {
    "active": _("Active persons"),
    "new": _("New persons"),
    "bought": _("Persons who bought"),
    "sent": _("Persons behind the events that arrived"),
}

routes: list[Any] = [persons]
