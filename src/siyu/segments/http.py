"""Segments over HTTP (docs/segments.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from types import NoneType
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from litestar import delete, get, post, put
from litestar.params import Parameter
from litestar.response import Stream

from siyu.clock import Now
from siyu.errors import MalformedRequest
from siyu.idempotency import Key
from siyu.rules.parse import parse_rule, refuse
from siyu.rules.possible import asked_rule
from siyu.rules.read import read_sentence
from siyu.rules.rule import Rule
from siyu.rules.sentence import say
from siyu.rules.window import Setting
from siyu.rules.write import rule_json
from siyu.segments import actions
from siyu.segments.actions import Members, Upload, Version, Wanted
from siyu.segments.population import Source
from siyu.segments.segment import Segment
from siyu.segments.words import WORDS
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.store.replies import Asked, repeatable

BY_API = "api"


class SegmentFields(msgspec.Struct, forbid_unknown_fields=True):
    """What may be said of a segment: a `rule`, or a sentence in `text`; neither: a list by upload."""

    label: str
    rule: dict[str, Any] | None = None
    text: str | None = None
    events: bool = True
    """Whether who enters or leaves makes an event."""


class NewSegment(SegmentFields, forbid_unknown_fields=True, kw_only=True):
    """A segment to define."""

    key: str


class RuleToCount(msgspec.Struct, forbid_unknown_fields=True):
    """A rule, as JSON or as a sentence."""

    rule: dict[str, Any] | None = None
    text: str | None = None


class ListUpload(msgspec.Struct, forbid_unknown_fields=True):
    """Identifiers for a list."""

    values: list[str]
    kind: str | None = None
    replace: bool = False


class Uploaded(msgspec.Struct, frozen=True):
    """What is kept of an upload's answer."""

    added: int


class SegmentShown(msgspec.Struct):
    """A segment."""

    key: str
    label: str
    rule: dict[str, Any]
    zh: str
    en: str
    listed: bool
    events: bool
    version: int
    size: int
    ready: bool
    """Whether `size` and the members are those of this version, kept true."""
    created_at: datetime
    changed_at: datetime
    built_at: datetime | None
    problem: str | None
    """Why the members wait: what the rule asks for and cannot be read at the moment."""


class Count(msgspec.Struct):
    """How many persons a rule holds of, of how many."""

    count: int
    total: int
    rule: dict[str, Any]
    zh: str
    en: str


def _rule(rule: dict[str, Any] | None, text: str | None) -> dict[str, Any] | None:
    if text is None:
        return rule
    if rule is not None:
        raise refuse("Either rule, or text.", "text")
    return rule_json(read_sentence(text, WORDS))


def shown(segment: Segment) -> SegmentShown:
    """A segment with its sentences."""
    zh, en, problem = "", "", segment.problem
    try:
        rule: Rule = parse_rule(segment.rule, WORDS)
        zh, en = say(rule, WORDS, "zh"), say(rule, WORDS, "en")
    except MalformedRequest as error:
        problem = str(error)
    return SegmentShown(
        segment.key,
        segment.label,
        segment.rule,
        zh,
        en,
        segment.listed,
        segment.announced,
        segment.version,
        segment.size,
        segment.is_ready and problem is None,
        segment.created_at,
        segment.changed_at,
        segment.built_at,
        problem,
    )


@get("/api/segments", summary="All segments")
async def list_segments(db: Database) -> list[SegmentShown]:
    """Every segment with its size, by key."""
    return [shown(one) for one in await actions.all_of(db)]


@post("/api/segments", status_code=201, summary="Define a segment")
async def create_segment(data: NewSegment, db: Database, now: Now, idempotency_key: Key = None) -> SegmentShown:
    """The segment; its members follow within seconds (`ready`). Raises INVALID_RULE, SEGMENT_EXISTS."""
    wanted = Wanted(data.key, data.label, _rule(data.rule, data.text), data.events)

    async def work() -> None:
        await actions.create(db, wanted, now(), BY_API)

    await repeatable(db, Asked(idempotency_key, "segment.create", data), NoneType, work, now)
    return shown(await actions.show(db, data.key))


@post("/api/segments/preview", status_code=200, summary="Count a rule before it is saved")
async def preview(data: RuleToCount, db: Database, events: EventStore, now: Now, settings: Settings) -> Count:
    """Of how many persons a rule holds now. Raises INVALID_RULE, QUERY_TOO_EXPENSIVE."""
    rule = asked_rule(_rule(data.rule, data.text), WORDS)
    source = Source(db, events, WORDS, settings.question_seconds_max)
    total, found = await actions.preview(source, rule, Setting(now(), ZoneInfo(settings.timezone)))
    return Count(len(found), total, rule_json(rule), say(rule, WORDS, "zh"), say(rule, WORDS, "en"))


@get("/api/segments/{key:str}", summary="One segment")
async def show_segment(key: str, db: Database) -> SegmentShown:
    """The segment. Raises SEGMENT_NOT_FOUND."""
    return shown(await actions.show(db, key))


@put("/api/segments/{key:str}", summary="Change a segment")
async def change_segment(
    key: str, data: SegmentFields, db: Database, now: Now, idempotency_key: Key = None
) -> SegmentShown:
    """Its next version. Raises SEGMENT_NOT_FOUND, INVALID_RULE."""
    wanted = Wanted(key, data.label, _rule(data.rule, data.text), data.events)

    async def work() -> None:
        await actions.update(db, wanted, now(), BY_API)

    await repeatable(db, Asked(idempotency_key, f"segment.change {key}", data), NoneType, work, now)
    return shown(await actions.show(db, key))


@delete("/api/segments/{key:str}", status_code=204, summary="Remove a segment")
async def delete_segment(key: str, db: Database, now: Now, idempotency_key: Key = None) -> None:
    """Its versions stay. Raises SEGMENT_NOT_FOUND, SEGMENT_IN_USE."""

    async def work() -> None:
        await actions.delete(db, key, now(), BY_API)

    await repeatable(db, Asked(idempotency_key, "segment.delete", key), NoneType, work, now)


@get("/api/segments/{key:str}/versions", summary="Every version of a segment")
async def segment_versions(key: str, db: Database) -> list[Version]:
    """Newest first. Raises SEGMENT_NOT_FOUND."""
    return await actions.versions(db, key)


@get("/api/segments/{key:str}/members", summary="Who is in a segment")
async def segment_members(
    key: str,
    db: Database,
    after: Annotated[int, Parameter(ge=0)] = 0,
    limit: Annotated[int, Parameter(ge=1, le=10_000)] = 1_000,
) -> Members:
    """A page of members; `next_after` is the `after` of the next. Raises SEGMENT_NOT_FOUND."""
    return await actions.members(db, key, after, limit)


@get("/api/segments/{key:str}/members.csv", summary="The members as CSV")
async def export_members(key: str, db: Database, now: Now, settings: Settings) -> Stream:
    """All members, for a spreadsheet. Raises SEGMENT_NOT_FOUND."""
    await actions.show(db, key)
    body: AsyncIterator[bytes] = actions.export(db, key, now(), ZoneInfo(settings.timezone))
    name = f"{key}.csv"
    return Stream(
        body, media_type="text/csv; charset=utf-8", headers={"content-disposition": f'attachment; filename="{name}"'}
    )


@post("/api/segments/{key:str}/list", status_code=200, summary="Upload identifiers to a list")
async def upload_list(key: str, data: ListUpload, db: Database, now: Now, idempotency_key: Key = None) -> Upload:
    """Put identifiers on a list, or in place of what is on it. Raises SEGMENT_NOT_FOUND, INVALID_RULE, TOO_LARGE.

    Under a key that was used it is looked at again what nobody has: no identifier is kept with the answer."""
    missing: Upload | None = None

    async def work() -> Uploaded:
        nonlocal missing
        missing = await actions.upload(db, key, data.values, data.kind, replace=data.replace)
        return Uploaded(missing.added)

    done = await repeatable(db, Asked(idempotency_key, f"segment.list {key}", data), Uploaded, work, now)
    missing = missing or await actions.unknown_of(db, data.values, data.kind)
    return msgspec.structs.replace(missing, added=done.added)


routes: list[Any] = [
    list_segments,
    create_segment,
    preview,
    show_segment,
    change_segment,
    delete_segment,
    segment_versions,
    segment_members,
    export_members,
    upload_list,
]
