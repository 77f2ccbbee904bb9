"""Routes of persons, tags and person rights."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import NoneType
from typing import Annotated, Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgspec
from litestar import delete, get, post
from litestar.params import Dependency, Parameter
from litestar.response import Stream

from siyu.clock import Now
from siyu.idempotency import Key
from siyu.identity.person_id import person_uuid
from siyu.profile import actions, operate, rights
from siyu.profile.catalogue_http import Persons, TagBody
from siyu.profile.catalogue_http import routes as catalogue_routes
from siyu.profile.change import instant
from siyu.profile.consent import ALL_CHANNELS
from siyu.profile.portrait import ConsentNow, Moment, Portrait, TouchSeen, consent_now, touch_seen
from siyu.profile.rights import Receipt
from siyu.profile.rights_records import Record
from siyu.profile.tag import TagChange, fold_tags
from siyu.profile.timeline import PAGE_MAX, Page, Timeline, parse_cursor
from siyu.profile.trait import TraitOp
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.store.replies import Asked, repeatable

BY_API = "api"
Limit = Annotated[int, Parameter(ge=1, le=PAGE_MAX)]
Injected = Annotated[Sequence[Any], Dependency(default=(), skip_validation=True)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f]*$")]


class Traits(msgspec.Struct, frozen=True):
    """Traits by name; `problems`: those whose value does not fit the declared type."""

    traits: dict[str, Any]
    problems: dict[str, str]


class TraitChange(msgspec.Struct, frozen=True):
    """One operation on a trait."""

    at: datetime
    event_id: str
    source: str
    operation: str
    """set, set_once, append, increment, unset, delete."""
    value: Any


class TraitHistory(msgspec.Struct, frozen=True):
    """A trait as it stands, and how it came to be, newest first."""

    name: str
    value: Any
    at: datetime | None
    event_id: str | None
    problem: str
    history: list[TraitChange]


class Touches(msgspec.Struct, frozen=True):
    """Where the person came from, newest first."""

    items: list[TouchSeen]


class ConsentDecision(msgspec.Struct, frozen=True):
    """One decision."""

    at: datetime
    event_id: str
    purpose: str
    channel: str
    granted: bool
    source: str
    text_version: str


class Consent(msgspec.Struct, frozen=True):
    """What counts now, by purpose and channel (`*` = all), and every decision, newest first."""

    consent: dict[str, dict[str, ConsentNow]]
    history: list[ConsentDecision]


class ConsentBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person decided."""

    purpose: Word
    granted: bool
    channel: Word = ALL_CHANNELS
    text_version: Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[^\x00]*$")] = ""


class TagGiven(msgspec.Struct, frozen=True):
    """A tag a person carries, or an operation on one."""

    path: str
    at: datetime
    event_id: str
    origin: str
    by: str
    removed: bool = False


class PersonTags(msgspec.Struct, frozen=True):
    """Tags carried now, and every tag given or taken, newest first."""

    tags: list[TagGiven]
    history: list[TagGiven]


class ErasureBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a person is erased."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


def _moment(now: Now, settings: Settings) -> Moment:
    return Moment(now(), ZoneInfo(settings.timezone))


def _word(now: Now, key: str | None) -> operate.Word:
    return operate.Word(BY_API, (key or uuid4().hex).replace("\x00", ""), now())


def page_limit(text: str) -> int:
    """A `Limit` from its text. Raises ValueError."""
    limit = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(text)
    return limit


@get("/api/persons/lookup", summary="The person who has an identifier")
async def lookup_person(
    *, kind: str, value: str, db: Database, now: Now, settings: Settings, secret: bytes
) -> Portrait:
    """`kind` as in docs/identity.md (`phone`, `user_id`, `openid:<appid>` …). 404 PERSON_NOT_FOUND."""
    return await actions.lookup(db, kind, value, secret, _moment(now, settings))


@get("/api/persons", summary="Search persons")
async def search_persons(
    db: Database,
    now: Now,
    settings: Settings,
    wanted: Annotated[str, Parameter(query="query", max_length=255)] = "",
    limit: Annotated[int, Parameter(ge=1, le=100)] = 20,
) -> Persons:
    """By an identifier or its beginning, or the beginning of a name; without `query` those that came last."""
    return Persons(await actions.search(db, wanted.replace("\x00", "").strip(), limit, _moment(now, settings)))


@get("/api/persons/{person_id:str}", summary="One person")
async def show_person(person_id: str, db: Database, now: Now, settings: Settings) -> Portrait:
    """The portrait. 404 PERSON_NOT_FOUND."""
    return await actions.show(db, person_uuid(person_id), _moment(now, settings))


@get("/api/persons/{person_id:str}/timeline", summary="Events of a person, newest first")
async def person_timeline(
    *, person_id: str, db: Database, events: EventStore, limit: Limit = 50, before: str | None = None
) -> Timeline:
    """Pages: pass `next_before` of one as `before` of the next. A page may be a little longer than `limit`."""
    wanted = Page(limit, None if before is None else parse_cursor(before))
    return await actions.timeline(db, events, person_uuid(person_id), wanted)


@get("/api/persons/{person_id:str}/traits", summary="Traits of a person")
async def person_traits(person_id: str, db: Database, now: Now) -> Traits:
    """The traits as they stand."""
    traits = await actions.traits(db, person_uuid(person_id), now())
    return Traits(
        {name: trait.value for name, trait in traits.items()},
        {name: trait.problem for name, trait in traits.items() if trait.problem},
    )


@get("/api/persons/{person_id:str}/traits/{name:str}", summary="How a trait came to be")
async def person_trait(person_id: str, name: str, db: Database) -> TraitHistory:
    """The value and every operation on it, newest first; both empty when there never was one."""
    value, ops = await actions.history(db, person_uuid(person_id), name)
    history = [_trait_change(op) for op in ops]
    if value is None:
        return TraitHistory(name, None, None, None, "", history)
    return TraitHistory(name, value.value, instant(value.at_ms), value.event_id, value.problem, history)


def _trait_change(op: TraitOp) -> TraitChange:
    return TraitChange(instant(op.at_ms), op.event_id, op.source, op.op.name.lower(), op.value)


@get("/api/persons/{person_id:str}/touches", summary="Where a person came from")
async def person_touches(person_id: str, db: Database, limit: Limit = 200) -> Touches:
    """Every touch, newest first."""
    return Touches([touch_seen(touch) for touch in await actions.touches(db, person_uuid(person_id), limit)])


@get("/api/persons/{person_id:str}/consent", summary="What a person allows")
async def person_consent(person_id: str, db: Database) -> Consent:
    """What counts now, and every decision."""
    return await _consent_of(person_uuid(person_id), db)


async def _consent_of(person_id: UUID, db: Database) -> Consent:
    decisions = await actions.consents(db, person_id)
    return Consent(
        consent_now(decisions),
        [
            ConsentDecision(
                instant(one.at_ms), one.event_id, one.purpose, one.channel, one.granted, one.source, one.text_version
            )
            for one in decisions
        ],
    )


@post("/api/persons/{person_id:str}/consent", summary="Write down a decision of a person", status_code=200)
async def record_consent(
    person_id: str, data: ConsentBody, db: Database, now: Now, idempotency_key: Key = None
) -> Consent:
    """Counts from now on; a later event of the person's may change it."""
    said = operate.ConsentWord(data.purpose, data.channel, data.granted, data.text_version)

    async def work() -> None:
        await operate.record_consent(db, person_uuid(person_id), said, _word(now, idempotency_key))

    await repeatable(db, Asked(idempotency_key, f"consent {person_id}", data), NoneType, work, now)
    return await _consent_of(person_uuid(person_id), db)


@get("/api/persons/{person_id:str}/tags", summary="Tags of a person")
async def person_tags(person_id: str, db: Database) -> PersonTags:
    """Tags carried now, and their history."""
    return await _tags_of(person_uuid(person_id), db)


async def _tags_of(person_id: UUID, db: Database) -> PersonTags:
    ops = await actions.tags(db, person_id)
    given = [
        TagGiven(op.path, instant(op.at_ms), op.event_id, op.origin, op.by, op.change is TagChange.REMOVE) for op in ops
    ]
    carried = {(op.path, op.event_id) for op in fold_tags(ops).values()}
    return PersonTags([one for one in given if not one.removed and (one.path, one.event_id) in carried], given)


@post("/api/persons/{person_id:str}/tags", summary="Give a person a tag", status_code=200)
async def tag_person(person_id: str, data: TagBody, db: Database, now: Now, idempotency_key: Key = None) -> PersonTags:
    """The tag is created when it does not exist."""

    async def work() -> None:
        await operate.tag_person(db, person_uuid(person_id), data.path, TagChange.ADD, _word(now, idempotency_key))

    await repeatable(db, Asked(idempotency_key, f"tag {person_id}", data), NoneType, work, now)
    return await _tags_of(person_uuid(person_id), db)


@delete("/api/persons/{person_id:str}/tags", summary="Take a tag from a person", status_code=200)
async def untag_person(person_id: str, path: str, db: Database, now: Now, idempotency_key: Key = None) -> PersonTags:
    """`path` and every tag below it. 404 TAG_NOT_FOUND when there is no such tag."""

    async def work() -> None:
        await operate.tag_person(db, person_uuid(person_id), path, TagChange.REMOVE, _word(now, idempotency_key))

    await repeatable(db, Asked(idempotency_key, f"untag {person_id}", path), NoneType, work, now)
    return await _tags_of(person_uuid(person_id), db)


@post("/api/persons/{person_id:str}/export", summary="Everything about a person, as a zip", status_code=200)
async def export_person(
    *, person_id: str, db: Database, events: EventStore, now: Now, settings: Settings, files: Injected = ()
) -> Stream:
    """Streamed; the server keeps no copy. docs/rights.md lists the files."""
    moment = _moment(now, settings)
    record = Record(uuid4(), [], moment.now, BY_API)
    subject = await rights.open_export(db, person_uuid(person_id), moment, record, None)
    name = f"{subject.portrait.person_id}.zip"
    return Stream(
        rights.export(db, events, subject, moment.now, files),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


@delete("/api/persons/{person_id:str}", summary="Erase a person", status_code=200)
async def erase_person(
    *,
    person_id: str,
    db: Database,
    events: EventStore,
    now: Now,
    settings: Settings,
    scrubs: Injected = (),
    reason: Annotated[str, Parameter(max_length=500)] = "",
    idempotency_key: Key = None,
) -> Receipt:
    """From every store, for ever; answers the receipt. Erasing again answers a receipt of zeros."""
    order = _order(reason, now, settings, scrubs)
    return await _erased(person_id, order, Asked(idempotency_key, f"erase {person_id}", reason), (db, events, now))


@post("/api/persons/{person_id:str}/erasure", summary="Erase a person, with a reason", status_code=200)
async def erase_person_because(
    *,
    person_id: str,
    data: ErasureBody,
    db: Database,
    events: EventStore,
    now: Now,
    settings: Settings,
    scrubs: Injected = (),
    idempotency_key: Key = None,
) -> Receipt:
    """The same as DELETE."""
    order = _order(data.reason, now, settings, scrubs)
    asked = Asked(idempotency_key, f"erase {person_id}", data.reason)
    return await _erased(person_id, order, asked, (db, events, now))


async def _erased(
    person_id: str, order: rights.Order, asked: Asked, house: tuple[Database, EventStore, Now]
) -> Receipt:
    db, events, now = house

    async def work() -> Receipt:
        return await rights.erase(db, events, person_uuid(person_id), order)

    return await repeatable(db, asked, Receipt, work, now)


def _order(reason: str, now: Now, settings: Settings, scrubs: Sequence[Any]) -> rights.Order:
    record = Record(uuid4(), [], now(), BY_API)
    return rights.Order(record, reason.replace("\x00", ""), scrubs, settings.identifiers_per_person_max)


routes: list[Any] = [
    lookup_person,
    search_persons,
    show_person,
    person_timeline,
    person_traits,
    person_trait,
    person_touches,
    person_consent,
    record_consent,
    person_tags,
    tag_person,
    untag_person,
    export_person,
    erase_person,
    erase_person_because,
    *catalogue_routes,
]
