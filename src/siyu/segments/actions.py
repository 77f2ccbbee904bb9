"""Verbs of segments: define, count beforehand, list, fill a list, show members, forget a person."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from siyu.cells import harmless
from siyu.collect.identifiers import clean_value
from siyu.errors import MalformedRequest, TooLarge
from siyu.identity.spans import END_MS
from siyu.profile.many import portraits_of
from siyu.profile.portrait import Moment
from siyu.profile.rights import Erasing
from siyu.rules.parse import refuse
from siyu.rules.possible import asked_rule
from siyu.rules.rule import Rule
from siyu.rules.window import Setting
from siyu.rules.write import rule_json
from siyu.segments import records
from siyu.segments.population import Persons, Source, who
from siyu.segments.records import Definition
from siyu.segments.segment import (
    LISTED,
    SEGMENTS_MAX,
    Live,
    Segment,
    SegmentInUse,
    SegmentNotFound,
    SegmentTaken,
    check_key,
    check_label,
    expand,
    live_of,
)
from siyu.segments.words import WORDS
from siyu.store.postgres import Database, driver_of

VALUES_MAX: Final = 200_000
"""Identifiers of one upload."""
_PAGE: Final = 2_000


class Wanted(NamedTuple):
    """A segment as it is asked for. `rule` None: a list by upload."""

    key: str
    label: str
    rule: Mapping[str, Any] | None
    announced: bool = True


def definition_of(wanted: Wanted) -> Definition:
    """What to write. Raises InvalidRule."""
    listed = wanted.rule is None
    rule = {"person": LISTED, "op": "contains", "value": wanted.key} if listed else wanted.rule
    return Definition(
        check_key(wanted.key), check_label(wanted.label), rule_json(asked_rule(rule, WORDS)), listed, wanted.announced
    )


async def create(db: Database, wanted: Wanted, now: datetime, by: str) -> Segment:
    """Define a segment; its members follow within seconds. Raises InvalidRule, SegmentTaken."""
    definition = definition_of(wanted)
    async with db.begin() as conn:
        connection = await driver_of(conn)
        await records.lock_definitions(connection)
        known = await records.all_segments(connection)
        if any(one.key == definition.key for one in known):
            raise SegmentTaken(f"There is a segment {definition.key!r} already.")
        if len(known) >= SEGMENTS_MAX:
            raise TooLarge(f"There are at most {SEGMENTS_MAX} segments.")
        await records.write_segment(connection, definition, now, by, changed=True)
        _check(live_of(await records.all_segments(connection), WORDS), definition.key)
    return await show(db, definition.key)


async def update(db: Database, wanted: Wanted, now: datetime, by: str) -> Segment:
    """The next version of a segment; a list keeps being one. Raises SegmentNotFound, InvalidRule."""
    async with db.begin() as conn:
        connection = await driver_of(conn)
        await records.lock_definitions(connection)
        before = _find(await records.all_segments(connection), wanted.key)
        if before.listed and wanted.rule is not None:
            raise refuse("A list has no rule of its own.", "rule")
        definition = definition_of(wanted if before.listed or wanted.rule else wanted._replace(rule=before.rule))
        changed = definition.rule != before.rule
        await records.write_segment(connection, definition, now, by, changed=changed)
        live = _check(live_of(await records.all_segments(connection), WORDS), wanted.key)
        if changed:
            await records.unbuild(connection, [key for key, one in live.items() if wanted.key in one.uses])
    return await show(db, wanted.key)


def _check(found: tuple[dict[str, Live], dict[str, MalformedRequest]], key: str) -> dict[str, Live]:
    """Refuse a definition that cannot be, whatever is wrong with others."""
    live, wrong = found
    if key in wrong:
        raise wrong[key]
    return live


async def delete(db: Database, key: str, now: datetime, by: str) -> None:
    """Remove a segment. Raises SegmentNotFound, SegmentInUse."""
    async with db.begin() as conn:
        connection = await driver_of(conn)
        await records.lock_definitions(connection)
        segments = await records.all_segments(connection)
        _find(segments, key)
        if users := sorted(name for name, one in live_of(segments, WORDS)[0].items() if key in one.uses):
            raise SegmentInUse(f"Named by: {', '.join(users[:10])}.", segments=users)
        await records.delete_segment(connection, key, now, by)


def _find(segments: Sequence[Segment], key: str) -> Segment:
    found = next((one for one in segments if one.key == key), None)
    if found is None:
        raise SegmentNotFound(f"There is no segment {key[:80]!r}.")
    return found


async def all_of(db: Database) -> list[Segment]:
    """Every segment, by key."""
    async with db.driver() as connection:
        return await records.all_segments(connection)


async def show(db: Database, key: str) -> Segment:
    """One segment. Raises SegmentNotFound."""
    return _find(await all_of(db), key)


class Version(msgspec.Struct):
    """A version of a segment; no rule: it was deleted then."""

    version: int
    label: str
    rule: msgspec.Raw | None
    at: datetime
    by: str


async def versions(db: Database, key: str) -> list[Version]:
    """Every version there was, newest first. Raises SegmentNotFound."""
    async with db.driver() as connection:
        rows = await records.versions(connection, key)
    if not rows:
        raise SegmentNotFound(f"There is no segment {key[:80]!r}.")
    return [Version(row[0], row[1], None if row[2] is None else msgspec.Raw(row[2].encode()), *row[3:]) for row in rows]


async def preview(source: Source, rule: Rule, setting: Setting) -> tuple[int, Persons]:
    """How many persons there are, and of whom a rule holds now. Raises InvalidRule, QueryTooExpensive."""
    live, _ = live_of(await all_of(source.db), WORDS)
    written = {key: one.rule for key, one in live.items()}
    total, found = await who(source, {"": expand(rule, written, (), set())}, setting)
    return total, found[""]


class Upload(msgspec.Struct):
    """What became of an upload."""

    added: int
    """Identifiers that were not on the list."""
    unknown: list[str]
    """The first hundred values that nobody has."""
    unknown_count: int


async def upload(db: Database, key: str, values: Sequence[str], kind: str | None, *, replace: bool) -> Upload:
    """Put identifiers on a list; without `kind` a value means every identifier that has it.

    Raises SegmentNotFound, InvalidRule (no list), TooLarge."""
    if len(values) > VALUES_MAX:
        raise TooLarge(f"One upload has at most {VALUES_MAX} values.")
    cleaned = {value: _clean(value, kind) for value in dict.fromkeys(values)}
    async with db.begin() as conn:
        connection = await driver_of(conn)
        await records.lock_definitions(connection)
        segment = _find(await records.all_segments(connection), key)
        if not segment.listed:
            raise refuse("This segment has a rule; only a list takes an upload.", "key")
        if replace:
            await records.clear_list(connection, key)
        found = await _found(connection, cleaned, kind)
        added = await records.add_to_list(connection, key, sorted({anchor for _, anchor in found}))
        live, _ = live_of(await records.all_segments(connection), WORDS)
        await records.unbuild(connection, [key, *(name for name, one in live.items() if key in one.uses)])
    return _upload(added, cleaned, found)


async def unknown_of(db: Database, values: Sequence[str], kind: str | None) -> Upload:
    """What of an upload nobody has now; nothing is added."""
    cleaned = {value: _clean(value, kind) for value in dict.fromkeys(values)}
    async with db.driver() as connection:
        return _upload(0, cleaned, await _found(connection, cleaned, kind))


async def _found(connection: Any, cleaned: Mapping[str, set[str]], kind: str | None) -> list[tuple[str, int]]:
    return await records.find_anchors(connection, sorted({text for texts in cleaned.values() for text in texts}), kind)


def _upload(added: int, cleaned: Mapping[str, set[str]], found: Sequence[tuple[str, int]]) -> Upload:
    there = {value for value, _ in found}
    unknown = [value for value, texts in cleaned.items() if not there.intersection(texts)]
    return Upload(added, unknown[:100], len(unknown))


def _clean(value: str, kind: str | None) -> set[str]:
    """The spellings under which a value may be known."""
    kinds = (kind,) if kind else ("phone", "email", "user_id")
    return {text for one in kinds if (text := clean_value(one, value)) is not None}


class Member(msgspec.Struct):
    """A person in a segment."""

    person_id: str


class Members(msgspec.Struct):
    """A page of the persons of a segment."""

    size: int
    persons: list[Member]
    next_after: int | None


async def members(db: Database, key: str, after: int, limit: int) -> Members:
    """Members in a fixed order, after the place `after`. Raises SegmentNotFound."""
    segment = await show(db, key)
    async with db.driver() as connection:
        rows = await records.members(connection, key, after, limit)
    return Members(segment.size, [Member(uid) for _, uid in rows], rows[-1][0] if len(rows) == limit else None)


async def member_numbers(db: Database, key: str, after: int, limit: int) -> list[int]:
    """The numbers of a page of members."""
    async with db.driver() as connection:
        return [person for person, _ in await records.members(connection, key, after, limit)]


async def export(db: Database, key: str, now: datetime, zone: ZoneInfo) -> AsyncIterator[bytes]:
    """The members as CSV (UTF-8 with a byte order mark, as spreadsheets want it), a page at a time."""
    yield "\ufeff".encode() + _line("person_id", "name", "phone", "email", "user_id", "lifecycle", "tags")
    after = 0
    while True:
        async with db.driver() as connection:
            rows = await records.members(connection, key, after, _PAGE)
        found = await portraits_of(db, [person for person, _ in rows], Moment(now, zone))
        lines = []
        for person, uid in rows:
            if (one := found.get(person)) is None:
                continue
            first = {each.kind: each.value for each in reversed(one.identifiers)}
            name = one.traits.get("name") or one.traits.get("nickname") or ""
            known = (first.get(kind, "") for kind in ("phone", "email", "user_id"))
            lines.append(_line(uid, str(name), *known, one.lifecycle, " ".join(one.tags)))
        yield b"".join(lines)
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def _line(*cells: str) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([cell if _is_phone(cell) else harmless(cell) for cell in cells])
    return text.getvalue().encode()


def _is_phone(cell: str) -> bool:
    return cell[:1] == "+" and cell[1:].isdigit()


async def scrub_segments(connection: Any, erasing: Erasing) -> Mapping[str, int]:
    """Remove an erased person from segments and lists (a Scrub)."""
    own = {span.anchor for span in erasing.spans if span.until_ms == END_MS}
    return await records.scrub(connection, sorted({erasing.person, *own}))
