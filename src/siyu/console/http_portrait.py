"""The portrait (画像): who a person is, why these identifiers are one person, what they did."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from litestar import Response, get

from siyu.collect.actions import list_keys
from siyu.collect.catalogue import value_fen
from siyu.console.about import about
from siyu.console.drawing import Graph, Identifier, Link, lay_out
from siyu.console.i18n import mark as _
from siyu.console.people import display_name
from siyu.console.visit import AnyRequest, Visit
from siyu.identity import explain
from siyu.identity.explain import EvidenceView, LinkView
from siyu.identity.person_id import person_uuid
from siyu.profile import actions as profile
from siyu.profile import operate
from siyu.profile.tag import Tag
from siyu.profile.timeline import Page, TimelineItem, parse_cursor
from siyu.segments import actions as segments
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

PAGE_EVENTS: Final = 40
FILTER_READ_MAX: Final = 1_000
"""Events looked through at once for a timeline filtered by name."""
TOUCHES_MAX: Final = 50

SAID: Final = {
    "retracted": _("The link was taken back. These are the persons that result."),
    "restored": _("The link counts again."),
    "tagged": _("The tag was given."),
    "untagged": _("The tag was taken away."),
    "consent": _("The decision was written down."),
}


class Moment(NamedTuple):
    """An event on the timeline."""

    item: TimelineItem
    about: str
    value_fen: int
    properties: list[tuple[str, Any]]


class TimelineDay(NamedTuple):
    """The events of one local day."""

    day: Any
    moments: list[Moment]


def _moment(item: TimelineItem) -> Moment:
    properties = msgspec.json.decode(bytes(item.properties))
    flat = [(name, value) for name, value in properties.items() if not isinstance(value, dict | list)]
    return Moment(item, about(properties), value_fen(item.name, properties), flat[:40])


async def timeline_days(
    visit: Visit, db: Database, events: EventStore, person_id: UUID, *, before: str | None, name: str
) -> tuple[list[TimelineDay], str | None]:
    """A page of the timeline by local day, and where the next begins; `name` filters by event name."""
    limit = FILTER_READ_MAX if name else PAGE_EVENTS
    page = await profile.timeline(db, events, person_id, Page(limit, parse_cursor(before) if before else None))
    items = [item for item in page.items if not name or item.name == name]
    local = visit.format.local
    days = [
        TimelineDay(day, [_moment(item) for item in group])
        for day, group in groupby(items, key=lambda item: local(item.occurred_at).date())
    ]
    return days, page.next_before


@get("/persons/{person_id:str}", include_in_schema=False)
async def portrait(
    request: AnyRequest, person_id: str, visit: Visit, db: Database, events: EventStore
) -> Response[str]:
    """The whole person on one page."""
    number = person_uuid(person_id)
    name, said = request.query_params.get("name", ""), request.query_params.get("said", "")
    one, traits, touches, (days, next_before) = await asyncio.gather(
        profile.show(db, number, visit.moment),
        profile.traits(db, number, visit.moment.now),
        profile.touches(db, number, TOUCHES_MAX),
        timeline_days(visit, db, events, number, before=None, name=name),
    )
    tags, tree = await asyncio.gather(profile.tags(db, number), operate.list_tags(db))
    return visit.page(
        "portrait.html",
        one=one,
        name=display_name(one, visit.locale),
        traits=traits,
        declared=await operate.declared_traits(db),
        touches=touches,
        tag_origins={op.path: op for op in reversed(tags)},
        tag_choices=_choices(tree, one.tags),
        segment_names={each.key: each.label for each in await segments.all_of(db)},
        days=days,
        next_before=next_before,
        event_name=name,
        event_names=sorted({moment.item.name for day in days for moment in day.moments}),
        at=_instant,
        said=visit.face.text(SAID[said]) if said in SAID else None,
    )


def _instant(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def _choices(tree: list[Tag], carried: list[str]) -> list[str]:
    return [tag.path for tag in tree if tag.path not in carried]


def draw(evidence: EvidenceView) -> Graph:
    """The evidence as a drawing: members, and the far ends of links that do not count."""
    members = [Identifier(str(one.id), one.kind, one.value) for one in evidence.identifiers]
    own = {one.id for one in members}
    far: dict[str, Identifier] = {}
    links = []
    for link in evidence.links:
        for end in (link.a, link.b):
            if str(end.id) not in own:
                far[str(end.id)] = Identifier(str(end.id), end.kind, end.value, foreign=True)
        links.append(Link(str(link.link_id), str(link.a.id), str(link.b.id), link.status, link.rule))
    return lay_out([*members, *far.values()], links)


@get("/persons/{person_id:str}/identity", include_in_schema=False)
async def identity(request: AnyRequest, person_id: str, visit: Visit, db: Database) -> Response[str]:
    """Why these identifiers are one person: every link with its source event, refused and retracted ones too."""
    number = person_uuid(person_id)
    said = request.query_params.get("said", "")
    one, evidence, keys = await asyncio.gather(
        profile.show(db, number, visit.moment), explain.evidence(db, number, None), list_keys(db, "write")
    )
    groups: dict[str, list[LinkView]] = {"accepted": [], "passed": [], "refused": [], "retracted": []}
    for link in evidence.links:
        groups[link.status].append(link)
    return visit.page(
        "identity.html",
        one=one,
        name=display_name(one, visit.locale),
        evidence=evidence,
        graph=draw(evidence),
        groups=groups,
        sources={key.id: key.name for key in keys},
        said=visit.face.text(SAID[said]) if said in SAID else None,
    )


@get("/persons/{person_id:str}/timeline", include_in_schema=False)
async def timeline(
    request: AnyRequest, person_id: str, visit: Visit, db: Database, events: EventStore
) -> Response[str]:
    """The next page of the timeline, for infinite scrolling."""
    number, given = person_uuid(person_id), request.query_params
    name = given.get("name", "")
    days, next_before = await timeline_days(visit, db, events, number, before=given.get("before") or None, name=name)
    return visit.page(
        "timeline.html",
        person_id=person_id,
        days=days,
        next_before=next_before,
        event_name=name,
        continued=bool(given.get("before")),
    )


@get("/persons/{person_id:str}/traits", include_in_schema=False)
async def trait(request: AnyRequest, person_id: str, visit: Visit, db: Database) -> Response[str]:
    """How a trait came to be."""
    name = request.query_params.get("name", "")
    value, ops = await profile.history(db, person_uuid(person_id), name)
    keys = await list_keys(db, "write")
    return visit.page(
        "trait.html", name=name, value=value, ops=ops[:100], at=_instant, sources={key.id: key.name for key in keys}
    )


routes: list[Any] = [portrait, identity, timeline, trait]
