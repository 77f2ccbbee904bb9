"""What an operator does to a person: tags, consent, links, a copy of everything, erasure. Each asks before it acts."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote
from uuid import UUID, uuid4

from litestar import Response, get, post
from litestar.params import Dependency
from litestar.response import Stream

from siyu.clock import Now
from siyu.console.page import SECURITY_HEADERS, redirect
from siyu.console.people import display_name
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import MalformedRequest
from siyu.identity import actions as identity
from siyu.identity.actions import LinkNotFound
from siyu.identity.person_id import person_uuid
from siyu.identity.preview import preview_retraction
from siyu.profile import actions as profile
from siyu.profile import operate, rights
from siyu.profile.event_records import count as count_events
from siyu.profile.rights_records import Record
from siyu.profile.tag import TagChange
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

Injected = Annotated[Any, Dependency(default=(), skip_validation=True)]
ERASE_WORD: Final = "ERASE"
PURPOSES: Final = ("marketing", "analytics", "service", "personalisation", "third_party")
CHANNELS: Final = ("*", "sms", "email", "push", "wecom", "official_account", "mini_program")


def _by(visit: Visit) -> str:
    return f"console:{visit.operator.name}"


async def _text(request: AnyRequest, name: str, longest: int = 500) -> str:
    return str((await request.form()).get(name, "")).replace("\x00", "").strip()[:longest]


async def _word(request: AnyRequest, visit: Visit) -> operate.Word:
    """The form's own key: sent twice, it counts once."""
    return operate.Word(_by(visit), await _text(request, "key", 64) or uuid4().hex, visit.moment.now)


@post("/persons/{person_id:str}/tags", include_in_schema=False, status_code=303)
async def tag(request: AnyRequest, person_id: str, visit: Visit, db: Database) -> Response[str]:
    """Give a tag, or take one (and those below it) away."""
    visit.operator.require("persons")
    add, remove = await _text(request, "add"), await _text(request, "remove")
    change = TagChange.ADD if add else TagChange.REMOVE
    await operate.tag_person(db, person_uuid(person_id), add or remove, change, await _word(request, visit))
    return redirect(f"/console/persons/{person_id}?said={'tagged' if add else 'untagged'}")


@post("/persons/{person_id:str}/consent", include_in_schema=False, status_code=303)
async def consent(request: AnyRequest, person_id: str, visit: Visit, db: Database) -> Response[str]:
    """Write down what a person decided."""
    visit.operator.require("persons")
    purpose, channel = await _text(request, "purpose", 50), await _text(request, "channel", 50)
    if not purpose or not channel:
        raise MalformedRequest("A decision needs a purpose and a channel.", path="purpose")
    said = operate.ConsentWord(purpose, channel, await _text(request, "granted") == "yes", "")
    await operate.record_consent(db, person_uuid(person_id), said, await _word(request, visit))
    return redirect(f"/console/persons/{person_id}?said=consent")


def _link(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise LinkNotFound(f"No link has the id {text[:80]!r}.") from None


@get("/persons/{person_id:str}/links/{link_id:str}", include_in_schema=False)
async def retraction(
    *, person_id: str, link_id: str, visit: Visit, db: Database, events: EventStore, settings: Settings
) -> Response[str]:
    """What would result if a link were taken back; nothing is changed yet."""
    visit.operator.require("persons")
    one = await profile.show(db, person_uuid(person_id), visit.moment)
    persons = await preview_retraction(
        db, events, _link(link_id), visit.moment.now, members_max=settings.identifiers_per_person_max
    )
    return visit.page(
        "retraction.html", one=one, name=display_name(one, visit.locale), link_id=link_id, persons=persons
    )


@post("/persons/{person_id:str}/links/{link_id:str}", include_in_schema=False, status_code=303)
async def retract(
    request: AnyRequest, *, person_id: str, link_id: str, visit: Visit, db: Database, events: EventStore,
    settings: Settings,
) -> Response[str]:  # fmt: skip
    """Take a link back, or let it count again."""
    visit.operator.require("persons")
    most = settings.identifiers_per_person_max
    if await _text(request, "restore"):
        await identity.unretract(db, events, _link(link_id), members_max=most)
        return redirect(f"/console/persons/{person_id}/identity?said=restored")
    reason = f"{visit.operator.name}: {await _text(request, 'reason') or '–'}"
    await identity.retract(db, events, _link(link_id), reason, visit.moment.now, members_max=most)
    return redirect(f"/console/persons/{person_id}/identity?said=retracted")


@get("/persons/{person_id:str}/rights", include_in_schema=False)
async def person_rights(person_id: str, visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """A copy of everything, and erasure with what it would remove."""
    visit.operator.require("erase")
    number = person_uuid(person_id)
    one = await profile.show(db, number, visit.moment)
    async with db.driver() as connection:
        spans = await profile.spans_of(connection, number)
    return visit.page(
        "rights.html",
        one=one,
        name=display_name(one, visit.locale),
        event_count=await count_events(events, spans),
        touch_count=len(await profile.touches(db, number, 10_000)),
        word=ERASE_WORD,
    )


@post("/persons/{person_id:str}/export", include_in_schema=False, status_code=200)
async def export(person_id: str, visit: Visit, db: Database, events: EventStore, files: Injected = ()) -> Stream:
    """Everything about a person, as a zip; the server keeps no copy."""
    visit.operator.require("erase")
    record = Record(uuid4(), [], visit.moment.now, _by(visit))
    subject = await rights.open_export(db, person_uuid(person_id), visit.moment, record, None)
    name = quote(f"{subject.portrait.person_id}.zip")
    headers = SECURITY_HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    pieces = rights.export(db, events, subject, visit.moment.now, files)
    return Stream(pieces, media_type="application/zip", headers=headers)


@post("/persons/{person_id:str}/erase", include_in_schema=False, status_code=200)
async def erase(
    request: AnyRequest, *, person_id: str, visit: Visit, db: Database, events: EventStore, now: Now,
    settings: Settings, scrubs: Injected = (),
) -> Response[str]:  # fmt: skip
    """Remove the person from every store; the receipt."""
    visit.operator.require("erase")
    if await _text(request, "word") != ERASE_WORD:
        raise MalformedRequest(f"Type {ERASE_WORD} to erase the person.", path="word")
    order = rights.Order(
        Record(uuid4(), [], now(), _by(visit)),
        await _text(request, "reason"),
        scrubs,
        settings.identifiers_per_person_max,
    )
    receipt = await rights.erase(db, events, person_uuid(person_id), order)
    return visit.page("erased.html", receipt=receipt)


routes: list[Any] = [tag, consent, retraction, retract, person_rights, export, erase]
