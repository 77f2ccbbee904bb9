"""Person rights: a copy of everything, and the removal of everything with a receipt (docs/rights.md).

An erasure is one database transaction that keeps the processor out: events are removed first, so that a failure leaves
a person who can be erased again; what other rooms hold is removed by their scrubs in the same transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from siyu.errors import PersonNotFound
from siyu.identity.actions import forget
from siyu.identity.person_records import LinkSeen, Named, links_of, names_of
from siyu.identity.spans import END_MS, Span
from siyu.profile import actions, event_records, read, rights_records
from siyu.profile.archive import Archive
from siyu.profile.change import instant
from siyu.profile.mention import Wanted
from siyu.profile.portrait import Moment, Portrait
from siyu.profile.rights_records import Record
from siyu.profile.timeline import Page, parse_cursor
from siyu.profile.trait import TraitEvent
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of

PAGE_EVENTS: Final = 1_000
"""Events, or touches, in one file of an archive."""

LINKS_MAX: Final = 100_000


class Erasing(NamedTuple):
    """The person being erased, for the scrubs of other rooms."""

    person: int
    spans: Sequence[Span]
    identifiers: Sequence[tuple[str, str]]
    """(kind, value) of those that are nobody else's."""
    wanted: Wanted
    """Finds the person in raw bodies."""
    at: datetime


Scrub = Callable[[Any, Erasing], Awaitable[Mapping[str, int]]]
"""Removes what a room holds of the person, on the raw asyncpg connection of the erasure's transaction; answers rows by
store name."""


class Receipt(msgspec.Struct, frozen=True):
    """What an erasure removed."""

    receipt_id: UUID
    at: datetime
    reason: str
    rows: dict[str, int]
    """Rows removed per store; all zero when there was nothing left to erase."""


class Order(NamedTuple):
    """An erasure as it is ordered."""

    record: Record
    """Who and when; its person ids are filled in."""
    reason: str
    scrubs: Sequence[Scrub]
    identifiers_max: int
    """Settings.identifiers_per_person_max, with which the persons left behind are computed again."""


async def erase(db: Database, events: EventStore, person_id: UUID, order: Order) -> Receipt:
    """Remove the person with this id from every store.

    Erasing an erased person answers a receipt of zeros. Raises PersonNotFound for an id that never was,
    EngineUnavailable when nothing, or only events, could be removed: then erase again."""
    record = order.record
    async with db.begin() as conn:
        connection = await driver_of(conn)
        await rights_records.lock_out_processing(connection)
        try:
            spans = await actions.spans_of(connection, person_id)
        except PersonNotFound:
            if not await rights_records.was_erased(connection, person_id):
                raise
            spans = []
        ids = await rights_records.uids_of(connection, spans) or [person_id]
        rows = await _erase_rows(connection, events, spans, order)
        paths = await rights_records.delete_exports(connection, ids)
        rows["exports"] = len(paths)
        kept = record._replace(person_ids=ids)
        await rights_records.add_erasure(connection, kept, order.reason, msgspec.json.encode(rows).decode())
    await asyncio.to_thread(_remove_files, [path for path in paths if path])
    return Receipt(record.record_id, record.at, order.reason, rows)


async def _erase_rows(connection: Any, events: EventStore, spans: Sequence[Span], order: Order) -> dict[str, int]:
    rows = {"events": 0, **dict.fromkeys(rights_records.LOGS, 0), "identifiers": 0, "links": 0}
    if not spans:
        return rows
    names = await read.identifier_names(connection, {span.anchor for span in spans})
    own = [
        (name["kind"], name["value"])
        for anchor, name in sorted(names.items())
        if any(span.until_ms == END_MS for span in spans if span.anchor == anchor)
    ]
    erasing = Erasing(spans[0].person, spans, own, Wanted(own), order.record.at)
    rows["events"] = await event_records.delete(events, spans)
    rows |= await rights_records.delete_logs(connection, spans)
    for scrub in order.scrubs:
        for store, count in (await scrub(connection, erasing)).items():
            rows[store] = rows.get(store, 0) + count
    rows |= await forget(connection, events, erasing.person, erasing.at, members_max=order.identifiers_max)
    return rows


def _remove_files(paths: Sequence[str]) -> None:
    for path in paths:
        Path(path).unlink(missing_ok=True)


class Subject(NamedTuple):
    """The person whose archive is made, read before the first byte goes out."""

    spans: list[Span]
    names: dict[int, dict[str, str]]
    portrait: Portrait


async def open_export(db: Database, person_id: UUID, moment: Moment, record: Record, path: str | None) -> Subject:
    """Find the person and write down that an export was asked for. Raises PersonNotFound."""
    async with db.begin() as conn:
        connection = await driver_of(conn)
        spans = await actions.spans_of(connection, person_id)
        names = await read.identifier_names(connection, {span.anchor for span in spans})
        one = (await actions.portraits(connection, spans, moment))[0][1]
        await rights_records.add_export(connection, record._replace(person_ids=[UUID(one.person_id)]), path)
    return Subject(spans, names, one)


RoomFile = Callable[[Any, UUID, datetime], Awaitable[tuple[str, Any]]]
"""What another room holds of a person, as a file: (name, content), read on a raw asyncpg connection."""


async def export(
    db: Database, events: EventStore, subject: Subject, at: datetime, files: Sequence[RoomFile] = ()
) -> AsyncIterator[bytes]:
    """The archive of a person, piece by piece (docs/rights.md lists its files); `files`: those of other rooms."""
    archive = Archive(at)
    spans = subject.spans
    yield archive.add("person.json", subject.portrait)
    async with db.driver() as connection:
        log = await read.trait_events(connection, spans)
        tags = await read.tags(connection, spans)
        consents = await read.consents(connection, spans)
        touches = await read.touches(connection, spans, None)
        links = await links_of(connection, sorted({span.anchor for span in spans}), LINKS_MAX)
        ends = await names_of(connection, {end for link in links for end in (link.a, link.b)})
        others = [await file(connection, UUID(subject.portrait.person_id), at) for file in files]
    for name, content in others:
        yield archive.add(name, content)
    yield archive.add("evidence.json", [_link(link, ends) for link in links])
    yield archive.add("traits.json", {"traits": subject.portrait.traits, "history": [_operation(one) for one in log]})
    yield archive.add("tags.json", [_timed(one) for one in tags])
    yield archive.add("consent.json", [_timed(one) for one in consents])
    for start in range(0, len(touches), PAGE_EVENTS):
        part = [_timed(one) for one in touches[start : start + PAGE_EVENTS]]
        yield archive.add(f"touches-{start // PAGE_EVENTS + 1:05}.json", part)
    wanted, number, count = Page(PAGE_EVENTS), 0, 0
    while True:
        page = await actions.timeline_of(events, spans, subject.names, wanted)
        number, count = number + 1, count + len(page.items)
        if page.items:
            yield archive.add(f"events-{number:05}.json", page.items)
        if page.next_before is None:
            break
        wanted = Page(PAGE_EVENTS, parse_cursor(page.next_before))
    counts = {
        "events": count,
        "traits": len(log),
        "tags": len(tags),
        "consents": len(consents),
        "touches": len(touches),
    }
    yield archive.add("manifest.json", {"person_id": subject.portrait.person_id, "at": at, "rows": counts})
    yield archive.finish()


def _operation(event: TraitEvent) -> dict[str, Any]:
    return {"at": instant(event.at_ms), "event_id": event.event_id, "source": event.source, "operations": event.ops}


def _link(link: LinkSeen, ends: Mapping[int, Named]) -> dict[str, Any]:
    fields = link._asdict()
    fields |= {end: {"kind": ends[fields[end]].kind, "value": ends[fields[end]].value} for end in ("a", "b")}
    return {"at": instant(fields.pop("first_ms")), **fields}


def _timed(row: Any) -> dict[str, Any]:
    fields = row._asdict()
    return {"at": instant(fields.pop("at_ms")), **fields}
