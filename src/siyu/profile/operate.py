"""What operators decide: tags, consent on a person's word, declared traits, lifecycle thresholds.

An operator's word on a person is written like an event's, at the operator's time, on the canonical identifier. It comes
after everything known of the same thing at that moment, so it holds until a later event says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from siyu.identity.spans import Span, spans_by_anchors
from siyu.profile import read, records
from siyu.profile.actions import portraits, spans_of
from siyu.profile.catalogue import Declared, declared_of
from siyu.profile.change import ConsentRow, TagRow, event_key, instant
from siyu.profile.lifecycle import Thresholds
from siyu.profile.portrait import LIFECYCLE_FIGURE, Moment, Portrait
from siyu.profile.tag import PATH_JOIN, Tag, TagChange, TagNotFound, TagTaken, WrongTag, tag_path
from siyu.store.postgres import Database, driver_of

SLICE: Final = 500
"""Identifiers looked at in one go."""


class Word(NamedTuple):
    """Who says something, and the key that makes saying it twice the same as once."""

    by: str
    key: str
    now: datetime

    @property
    def event_id(self) -> str:
        """Stands where an event's id would."""
        return f"operator:{self.key}"


async def tag_person(db: Database, person_id: UUID, path: str, change: TagChange, word: Word) -> None:
    """Give a person a tag (creating it) or take it (and those below it) away. Raises PersonNotFound, WrongTag,
    TagNotFound."""
    path = tag_path(path)
    async with db.begin() as conn:
        connection = await driver_of(conn)
        spans = await spans_of(connection, person_id)
        if change is TagChange.ADD:
            await records.ensure_tags(connection, [path], word.now)
        if (tag := await records.find_tag(connection, None, path)) is None:
            raise TagNotFound(f"There is no tag {path!r}.")
        known = [op for op in await read.tags(connection, spans) if _within(op.path, tag.path)]
        if any(op.event_id == word.event_id for op in known):
            return
        at = _after(word.now, (op.at_ms for op in known))
        concerned = {tag.path} if change is TagChange.ADD else {tag.path, *(op.path for op in known)}
        anchor, key = _anchor(spans, at), event_key(word.by, word.event_id)
        await records.insert_tags(
            connection,
            [TagRow(anchor, one, at, key, change, word.event_id, "manual", word.by) for one in sorted(concerned)],
        )


class ConsentWord(NamedTuple):
    """A decision of a person, passed on by an operator."""

    purpose: str
    channel: str
    granted: bool
    text_version: str


async def record_consent(db: Database, person_id: UUID, said: ConsentWord, word: Word) -> None:
    """Write down what a person decided. Raises PersonNotFound."""
    async with db.begin() as conn:
        connection = await driver_of(conn)
        spans = await spans_of(connection, person_id)
        known = [one for one in await read.consents(connection, spans) if one.purpose == said.purpose]
        if any(one.event_id == word.event_id for one in known):
            return
        at = _after(word.now, (one.at_ms for one in known))
        row = ConsentRow(
            _anchor(spans, at),
            said.purpose,
            said.channel,
            at,
            event_key(word.by, word.event_id),
            not said.granted,
            word.event_id,
            word.by,
            said.text_version,
        )
        await records.append(connection, "consent_ops", [row])


async def list_tags(db: Database) -> list[Tag]:
    """The whole tree, in the order of paths."""
    async with db.driver() as connection:
        return await records.list_tags(connection)


async def create_tag(db: Database, path: str, now: datetime) -> Tag:
    """The tag at `path`, created with those above it where missing. Raises WrongTag."""
    path = tag_path(path)
    async with db.begin() as conn:
        connection = await driver_of(conn)
        await records.ensure_tags(connection, [path], now)
        return await _tag(connection, None, path)


async def move_tag(db: Database, tag_id: int, path: str, now: datetime) -> Tag:
    """Rename a tag, or move it with all below it; former paths keep leading to it.

    Raises TagNotFound, WrongTag (also for a place below itself), TagTaken."""
    path = tag_path(path)
    async with db.begin() as conn:
        connection = await driver_of(conn)
        tag = await _tag(connection, tag_id, None)
        if path == tag.path:
            return tag
        if path.startswith(tag.path + PATH_JOIN):
            raise WrongTag(f"{tag.path!r} cannot be moved below itself.")
        taken = await records.find_tag(connection, None, path)
        if taken is not None and taken.path == path:
            raise TagTaken(f"There is another tag at {path!r}.")
        above = path.rpartition(PATH_JOIN)[0]
        parent = None
        if above:
            await records.ensure_tags(connection, [above], now)
            parent = (await _tag(connection, None, above)).tag_id
        await records.move_tag(connection, tag, parent, path)
        return await _tag(connection, tag_id, None)


async def tagged_persons(db: Database, path: str, limit: int, moment: Moment) -> list[Portrait]:
    """Persons who carry the tag at `path` or one below it now, at most `limit`. Raises TagNotFound, WrongTag."""
    found: list[Portrait] = []
    async with db.driver() as connection:
        tag = await _tag(connection, None, tag_path(path))
        anchors = await records.anchors_with_tag(connection, tag.path)
        seen: set[int] = set()
        # Whoever was ever given the tag may have lost it again: so look in slices until enough are found.
        for start in range(0, len(anchors), SLICE):
            spans = await spans_by_anchors(connection, anchors[start : start + SLICE])
            fresh = [span for span in spans if span.person not in seen]
            seen |= {span.person for span in fresh}
            for _, one in await portraits(connection, fresh, moment):
                if any(_within(carried, tag.path) for carried in one.tags):
                    found.append(one)
            if len(found) >= limit:
                break
    return found[:limit]


async def declared_traits(db: Database) -> dict[str, Declared]:
    """The trait catalogue in force."""
    async with db.driver() as connection:
        return declared_of(await records.read_declared(connection))


async def declare_trait(db: Database, name: str, declared: Declared) -> None:
    """Give a trait a type and labels; what was sent before is read by it too."""
    async with db.begin() as conn:
        await records.declare_trait(await driver_of(conn), name, *declared)


async def thresholds(db: Database) -> Thresholds:
    """The lifecycle thresholds in force."""
    async with db.driver() as connection:
        text = await records.read_figure(connection, LIFECYCLE_FIGURE)
    return Thresholds() if text is None else msgspec.json.decode(text, type=Thresholds)


async def set_thresholds(db: Database, limits: Thresholds, now: datetime) -> None:
    """Change the lifecycle thresholds, from now on for everybody."""
    async with db.begin() as conn:
        await records.write_figure(await driver_of(conn), LIFECYCLE_FIGURE, msgspec.json.encode(limits).decode(), now)


async def _tag(connection: Any, tag_id: int | None, path: str | None) -> Tag:
    beyond = tag_id is not None and not 0 < tag_id < 2**63
    if beyond or (tag := await records.find_tag(connection, tag_id, path)) is None:
        raise TagNotFound(f"There is no tag {path or tag_id!r}.")
    return tag


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root + PATH_JOIN)


def _after(now: datetime, known_ms: Iterable[int]) -> datetime:
    """`now`, or just after the newest that is known."""
    now_ms = int(now.timestamp() * 1000)
    return instant(max([now_ms, *(ms + 1 for ms in known_ms)]))


def _anchor(spans: Sequence[Span], at: datetime) -> int:
    """The canonical identifier, or another of the person where that one has left it by `at`."""
    at_ms = int(at.timestamp() * 1000)
    present = [span.anchor for span in spans if span.since_ms <= at_ms < span.until_ms]
    person = spans[0].person
    return person if person in present else min(present, default=person)
