"""Routes of identity: why a person is one, taking links back, declaring, conflicts."""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import delete, get, post
from litestar.params import Parameter

from siyu.clock import Now
from siyu.errors import MalformedRequest, PersonNotFound
from siyu.idempotency import Key
from siyu.identity import actions, explain
from siyu.identity.explain import ConflictPage, EvidenceView, PersonView
from siyu.identity.person_records import find_anchor
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.store.replies import Asked, repeatable

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Limit = Annotated[int, Parameter(ge=1, le=200)]
_FIRST_PLACE = (-(1 << 62), UUID(int=0))


class Retraction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which link is taken back, and why."""

    link_id: UUID
    reason: Text


class Retracted(msgspec.Struct, frozen=True):
    """A link and the persons of its two identifiers as they are now."""

    link_id: UUID
    persons: list[PersonView]


class IdentifierNamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An identifier as INTERFACE names it."""

    kind: Text
    value: Text


class Alias(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two identifiers that an operator declares to be one person's, and who says so."""

    a: IdentifierNamed
    b: IdentifierNamed
    reason: Text


@get("/api/persons/{person_id:str}/evidence", summary="Why these identifiers are one person")
async def evidence(db: Database, person_id: str, a: str | None = None, b: str | None = None) -> EvidenceView:
    """The links between a person's identifiers, each with its source event; refused and retracted ones too.

    With `a` and `b` (ids of two of the identifiers) also the chain of links between them."""
    if (a is None) != (b is None):
        raise MalformedRequest("a and b belong together.", path="b" if b is None else "a")
    ends = (_uuid(a, "a"), _uuid(b, "b")) if a is not None and b is not None else None
    try:
        person = UUID(person_id)
    except ValueError as error:
        raise PersonNotFound(f"Nobody has the id {person_id[:100]}.") from error
    return await explain.evidence(db, person, ends)


@post("/api/identity/retractions", summary="Take a link back", status_code=200)
async def retract(
    *, data: Retraction, db: Database, events: EventStore, now: Now, settings: Settings, idempotency_key: Key = None
) -> Retracted:
    """Takes one link out of the evidence; answers the persons that result. Repeating it changes nothing."""

    async def work() -> None:
        await actions.retract(
            db, events, data.link_id, data.reason, now(), members_max=settings.identifiers_per_person_max
        )

    await repeatable(db, Asked(idempotency_key, "identity.retract", data), NoneType, work, now)
    return await _retracted(db, data.link_id)


async def _retracted(db: Database, link: UUID) -> Retracted:
    return Retracted(link, await explain.persons(db, await actions.persons_of(db, link)))


@delete("/api/identity/retractions/{link_id:str}", summary="Let a link count again", status_code=200)
async def unretract(
    *, link_id: str, db: Database, events: EventStore, now: Now, settings: Settings, idempotency_key: Key = None
) -> Retracted:
    """Undoes a retraction; answers the persons that result."""
    link = _uuid(link_id, "link_id")

    async def work() -> None:
        await actions.unretract(db, events, link, members_max=settings.identifiers_per_person_max)

    await repeatable(db, Asked(idempotency_key, "identity.unretract", link), NoneType, work, now)
    return await _retracted(db, link)


@post("/api/identity/aliases", summary="Declare two identifiers one person", status_code=200)
async def declare(
    *, data: Alias, db: Database, events: EventStore, now: Now, settings: Settings, idempotency_key: Key = None
) -> Retracted:
    """An operator's decision that two identifiers are one person's. It is a link that can be taken back."""
    anchors = []
    async with db.connect() as connection:
        for end in (data.a, data.b):
            anchor = await find_anchor(connection, end.kind, end.value)
            if anchor is None or end.kind == "any":
                raise PersonNotFound(f"Nobody has the {end.kind} {end.value[:100]}.")
            anchors.append(anchor)

    async def work() -> UUID:
        ends = (anchors[0], anchors[1])
        limit = settings.identifiers_per_person_max
        link, _ = await actions.declare_alias(db, events, ends, data.reason, now(), members_max=limit)
        return link

    return await _retracted(db, await repeatable(db, Asked(idempotency_key, "identity.alias", data), UUID, work, now))


@get("/api/identity/conflicts", summary="Links refused by a rule")
async def conflicts(db: Database, limit: Limit = 50, after: str | None = None) -> ConflictPage:
    """Links that would have given a person two values of a single class, or too many identifiers, oldest first."""
    place = _FIRST_PLACE
    if after is not None:
        instant, _, link = after.partition(".")
        if not instant.lstrip("-").isdecimal() or len(instant) > 18:
            raise MalformedRequest("after must be the `next` of an earlier answer.", path="after")
        place = (int(instant), _uuid(link, "after"))
    return await explain.conflicts(db, place, limit)


def _uuid(text: str, path: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise MalformedRequest(f"{path} is not an id.", path=path) from error


routes: list[Any] = [evidence, retract, unretract, declare, conflicts]
