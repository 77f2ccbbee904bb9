"""Verbs of the profile: what a batch changes, what is read of persons, what operators do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.collect.identifiers import clean_value
from siyu.errors import PersonNotFound
from siyu.identity.spans import Span, spans_by_anchors, spans_by_uid
from siyu.ids import identifier_key, identifier_uid
from siyu.profile import event_records, read, records
from siyu.profile.catalogue import declared_of
from siyu.profile.change import Problem, ProfileChange, distinct_paths, event_key, instant, rows_of
from siyu.profile.consent import Decision
from siyu.profile.portrait import Moment, Portrait, portrait, traits_of
from siyu.profile.tag import TagOp
from siyu.profile.timeline import Cursor, Page, Timeline, TimelineItem, cursor_text
from siyu.profile.touch import Touch
from siyu.profile.trait import Op, TraitOp, TraitValue, fold
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of


async def absorb(conn: AsyncConnection, changes: Sequence[ProfileChange], now: datetime) -> list[Problem]:
    """Write what a batch of events changes in profiles, inside the caller's transaction.

    Idempotent: the same changes again, alone or among others, write nothing. Answers what could not be taken, one
    Problem each; the rest of such an event is taken."""
    rows = rows_of(changes)
    connection = await driver_of(conn)
    await records.append(connection, "trait_changes", rows.traits)
    await records.append(connection, "consent_ops", rows.consents)
    await records.append(connection, "touches", rows.touches)
    if rows.tags:
        await records.ensure_tags(connection, distinct_paths(rows.tags), now)
        await records.insert_tags(connection, rows.tags)
    return rows.problems


async def absorb_purchases(conn: AsyncConnection, rows: Sequence[tuple[int, int, str, int]]) -> None:
    """Write the money of events, (anchor, at_ms, event_id, value_fen) each, inside the caller's transaction.

    Idempotent. No money is a free purchase, less a refund."""
    await records.append(
        await driver_of(conn),
        "purchases",
        [(anchor, instant(at_ms), event_key("", event_id), fen) for anchor, at_ms, event_id, fen in rows],
    )


async def spans_of(connection: Any, person_id: UUID) -> list[Span]:
    """The members of the person with this id (the uid of any of them). Raises PersonNotFound."""
    spans = await spans_by_uid(connection, person_id)
    if not spans:
        raise PersonNotFound(f"No person has the id {person_id}.")
    return spans


async def lookup(db: Database, kind: str, value: str, secret: bytes, moment: Moment) -> Portrait:
    """The person who has this identifier now. Raises PersonNotFound."""
    cleaned = clean_value(kind, value)
    uid = None if cleaned is None else identifier_uid(identifier_key(kind, cleaned), secret)
    found = None if uid is None else await _portrait_of(db, uid, moment)
    if found is None:
        raise PersonNotFound(f"No person has the {kind} {value[:80]!r}.")
    return found


async def show(db: Database, person_id: UUID, moment: Moment) -> Portrait:
    """The person with this id. Raises PersonNotFound."""
    found = await _portrait_of(db, person_id, moment)
    if found is None:
        raise PersonNotFound(f"No person has the id {person_id}.")
    return found


async def _portrait_of(db: Database, uid: UUID, moment: Moment) -> Portrait | None:
    async with db.driver() as connection:
        facts, shared = await read.facts_by_uid(connection, uid, moment.now, moment.zone.key)
    return next((portrait(person, known, shared, moment) for person, known in facts.items() if known.identifiers), None)


async def portraits(connection: Any, spans: Sequence[Span], moment: Moment) -> list[tuple[int, Portrait]]:
    """(person, portrait) of all persons in `spans`, in their order."""
    facts, shared = await read.facts_of(connection, spans, moment.now, moment.zone.key)
    return [(person, portrait(person, known, shared, moment)) for person, known in facts.items() if known.identifiers]


async def timeline(db: Database, events: EventStore, person_id: UUID, wanted: Page) -> Timeline:
    """A page of a person's events, newest first. Raises PersonNotFound."""
    async with db.driver() as connection:
        spans, names = await read.named_spans(connection, person_id)
    if not spans:
        raise PersonNotFound(f"No person has the id {person_id}.")
    return await timeline_of(events, spans, names, wanted)


async def timeline_of(
    events: EventStore, spans: Sequence[Span], names: dict[int, dict[str, str]], wanted: Page
) -> Timeline:
    """A page of the events of `spans`; `names`: {kind, value} of each anchor."""
    rows = await event_records.page(events, spans, wanted)
    items = [
        TimelineItem(
            event_id,
            name,
            end,
            instant(at_ms),
            instant(received_ms),
            msgspec.Raw(properties.encode()),
            msgspec.Raw(context.encode()),
            names[anchor],
        )
        for anchor, at_ms, _place, event_id, name, end, received_ms, properties, context in rows
    ]
    full = len(rows) >= wanted.limit
    return Timeline(items, cursor_text(Cursor(rows[-1][1], rows[-1][2])) if full else None)


async def history(db: Database, person_id: UUID, name: str) -> tuple[TraitValue | None, list[TraitOp]]:
    """A trait as it stands and every operation on it (and every delete), newest first. Raises PersonNotFound."""
    async with db.driver() as connection:
        spans = await spans_of(connection, person_id)
        events = await read.trait_events(connection, spans)
        declared = declared_of(await records.read_declared(connection))
    ops = [op for event in events for op in event.operations() if op.name == name or op.op is Op.DELETE]
    return fold(ops, declared).get(name), sorted(ops, key=lambda op: op[:6], reverse=True)


async def traits(db: Database, person_id: UUID, now: datetime) -> dict[str, TraitValue]:
    """The traits of a person. Raises PersonNotFound."""
    async with db.driver() as connection:
        spans = await spans_of(connection, person_id)
        facts, shared = await read.facts_of(connection, spans, now, "UTC")
    return next((traits_of(known, shared) for known in facts.values()), {})


async def touches(db: Database, person_id: UUID, limit: int) -> list[Touch]:
    """The touches of a person, newest first. Raises PersonNotFound."""
    async with db.driver() as connection:
        return await read.touches(connection, await spans_of(connection, person_id), limit)


async def consents(db: Database, person_id: UUID) -> list[Decision]:
    """Every decision of a person, newest first. Raises PersonNotFound."""
    async with db.driver() as connection:
        return await read.consents(connection, await spans_of(connection, person_id))


async def tags(db: Database, person_id: UUID) -> list[TagOp]:
    """Every tag given or taken, newest first. Raises PersonNotFound."""
    async with db.driver() as connection:
        return await read.tags(connection, await spans_of(connection, person_id))


async def search(db: Database, query: str, limit: int, moment: Moment, offset: int = 0) -> list[Portrait]:
    """Persons with an identifier equal to or beginning with `query`, or a name beginning with it; without a query
    those registered last. At most `limit`, after the first `offset`."""
    async with db.driver() as connection:
        if query:
            anchors = await _matches(connection, query)
        else:
            anchors = await read.newest_anchors(connection, (offset + limit) * 4)
        spans = await spans_by_anchors(connection, anchors)
        order = {anchor: place for place, anchor in enumerate(anchors)}
        best: dict[int, int] = {}
        for span in spans:
            best[span.person] = min(best.get(span.person, len(order)), order.get(span.anchor, len(order)))
        chosen = sorted(best, key=lambda person: (best[person], person))[offset : offset + limit]
        found = await portraits(connection, [span for span in spans if span.person in set(chosen)], moment)
    places = {person: place for place, person in enumerate(chosen)}
    return [one for _, one in sorted(found, key=lambda pair: places[pair[0]])]


async def _matches(connection: Any, query: str) -> list[int]:
    """Anchors that fit `query`, the best first."""
    spellings = {query, query.lower()} | {text for kind in ("phone", "email") if (text := clean_value(kind, query))}
    return await read.matching_anchors(connection, sorted(spellings), query)
