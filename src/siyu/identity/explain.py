"""Why identifiers are one person, for people: links with their events, refusals with what stands against them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from siyu.errors import MalformedRequest, PersonNotFound
from siyu.identity import person_records as records
from siyu.identity.link_records import moment
from siyu.identity.path import Edge, shortest_path
from siyu.identity.person_records import LinkSeen, Named
from siyu.store.postgres import Database

LINKS_MAX: Final = 2_000
"""Links shown of one person; those that count come first."""


class Identified(msgspec.Struct, frozen=True):
    """An identifier."""

    id: UUID
    kind: str
    value: str


class SourceEvent(msgspec.Struct, frozen=True):
    """The earliest event that gave the evidence."""

    event_id: str
    source: str
    occurred_at: datetime | None


class LinkView(msgspec.Struct, frozen=True):
    """A link. `status`: accepted, passed (a phone or email that went on to another person), refused, retracted."""

    link_id: UUID
    rule: str
    a: Identified
    b: Identified
    event: SourceEvent
    status: Literal["accepted", "passed", "refused", "retracted"]
    reason: str | None = None
    """Of a refusal CONFLICT or CAP, of a retraction what was said."""
    clash: str | None = None
    """Of a conflict: the kind of which there would be two."""
    retracted_at: datetime | None = None


class MemberView(msgspec.Struct, frozen=True):
    """An identifier of a person; `since` and `until` when it was not, or is not, always theirs."""

    id: UUID
    kind: str
    value: str
    first_seen: datetime
    source: str
    since: datetime | None
    until: datetime | None


class EvidenceView(msgspec.Struct, frozen=True):
    """Why a person is one person."""

    person_id: UUID
    identifiers: list[MemberView]
    links: list[LinkView]
    truncated: bool
    path: list[LinkView] | None = None
    """The chain between the two identifiers asked for; null when none was asked for or there is none."""


class PersonView(msgspec.Struct, frozen=True):
    """A person and the identifiers that are theirs now."""

    person_id: UUID
    identifiers: list[Identified]


class ConflictView(msgspec.Struct, frozen=True):
    """A refused link, the persons it would have joined, and the chain between the two values that stand against it."""

    link: LinkView
    persons: list[UUID]
    values: list[Identified]
    path: list[LinkView]


class ConflictPage(msgspec.Struct, frozen=True):
    """Conflicts, oldest first; `next` continues."""

    items: list[ConflictView]
    next: str | None


async def evidence(db: Database, person_id: UUID, ends: tuple[UUID, UUID] | None) -> EvidenceView:
    """The links that speak of a person's identifiers, and the chain between two of them. Raises PersonNotFound."""
    async with db.connect() as connection:
        person = await records.resolve_person_id(connection, person_id)
        if person is None:
            raise PersonNotFound(f"Nobody has the id {person_id}.")
        members = await records.members(connection, person)
        anchors = sorted({member.anchor for member in members})
        links = await _with_named_values(connection, anchors, LINKS_MAX + 1)
        names = await records.names_of(connection, {person, *(end for link in links for end in (link.a, link.b))})
    shown = links[:LINKS_MAX]
    path = None
    if ends is not None:
        numbers = {member.uid: member.anchor for member in members}
        if not set(ends) <= numbers.keys():
            raise MalformedRequest("a and b must be ids of two identifiers of this person.", path="a")
        path = _views(_chain(links, numbers[ends[0]], numbers[ends[1]]) or [], names) or None
    return EvidenceView(
        names[person].uid,
        [MemberView(m.uid, m.kind, m.value, m.first_seen, m.source, m.since, m.until) for m in members],
        _views(shown, names),
        len(links) > LINKS_MAX,
        path,
    )


async def persons(db: Database, numbers: Sequence[int]) -> list[PersonView]:
    """These persons with their identifiers; a value that an alias names and nobody has is nobody."""
    found = []
    async with db.connect() as connection:
        for person in numbers:
            members = [m for m in await records.members(connection, person) if m.until is None]
            identifiers = [Identified(m.uid, m.kind, m.value) for m in members]
            if identifiers:
                names = await records.names_of(connection, [person])
                found.append(PersonView(names[person].uid, identifiers))
    return found


async def conflicts(db: Database, after: tuple[int, UUID], limit: int) -> ConflictPage:
    """Refused links that wait for a human, oldest first."""
    async with db.connect() as connection:
        links = await records.refused_links(connection, after, limit + 1)
        items = [await _conflict(connection, link) for link in links[:limit]]
    last = links[limit - 1] if len(links) > limit else None
    return ConflictPage(items, None if last is None else f"{last.first_ms}.{last.link_id}")


async def _conflict(connection: Any, link: LinkSeen) -> ConflictView:
    """A refused link explained: the two values that would be one person's, and how each hangs on an end of the link."""
    sides = []
    for end in (link.a, link.b):
        (person,) = await records.person_now(connection, [end])
        members = await records.members(connection, person)
        clashing = [member for member in members if member.kind == link.clash]
        around = await _with_named_values(connection, sorted({member.anchor for member in members}), LINKS_MAX)
        sides.append((person, end, clashing, around))
    path: list[LinkSeen] = []
    values = []
    for person, end, clashing, around in sides:
        if clashing:
            value = min(clashing, key=lambda member: (member.anchor != person, member.value))
            values.append(Identified(value.uid, value.kind, value.value))
            chain = _chain(around, value.anchor, end) or []
            path = [*chain, link] if end == link.a else [*path, *reversed(chain)]
        elif end == link.a:
            path = [link]
    names = await records.names_of(
        connection, {link.a, link.b, *(p for p, *_ in sides), *(end for step in path for end in (step.a, step.b))}
    )
    owners = list(dict.fromkeys(names[person].uid for person, *_ in sides))
    return ConflictView(_view(link, names), owners, values, _views(path, names))


async def _with_named_values(connection: Any, anchors: Sequence[int], limit: int) -> list[LinkSeen]:
    """The links of these identifiers, and those of values that an alias names and one of them has."""
    links = await records.links_of(connection, anchors, limit)
    named = sorted({link.b for link in links if link.rule == "named"} - set(anchors))
    if named:
        there = {link.link_id for link in links}
        links += [link for link in await records.links_of(connection, named, limit) if link.link_id not in there]
    return links


def _chain(links: Sequence[LinkSeen], start: int, goal: int) -> list[LinkSeen] | None:
    """The shortest chain of links that count; one that passed on explains nothing while another chain exists."""
    by_id = {link.link_id: link for link in links}
    counting = [link for link in links if link.counts and link.rule != "unbind"]
    for some in ([link for link in counting if not link.passed], counting):
        path = shortest_path([Edge(link.link_id, link.a, link.b) for link in some], start, goal)
        if path is not None:
            return [by_id[edge.link_id] for edge in path]
    return None


def _views(links: Sequence[LinkSeen], names: dict[int, Named]) -> list[LinkView]:
    return [_view(link, names) for link in links]


def _view(link: LinkSeen, names: dict[int, Named]) -> LinkView:
    status: Literal["accepted", "passed", "refused", "retracted"] = "passed" if link.passed else "accepted"
    if link.refused is not None:
        status = "refused"
    if link.retracted_at is not None:
        status = "retracted"
    return LinkView(
        link.link_id,
        link.rule,
        Identified(*names[link.a]),
        Identified(*names[link.b]),
        SourceEvent(link.event_id, link.source, moment(link.first_ms) if link.rule != "named" else None),
        status,
        link.retracted_because if link.retracted_at else link.refused,
        link.clash,
        link.retracted_at,
    )
