"""What would happen: a retraction tried out in a transaction that is rolled back."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from siyu.identity import link_records, person_records
from siyu.identity.actions import LinkNotFound, recompute
from siyu.identity.explain import Identified, PersonView
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database


class _TriedOut(Exception):
    """Ends the transaction without committing it."""


async def preview_retraction(
    db: Database, events: EventStore, link_id: UUID, now: datetime, *, members_max: int
) -> list[PersonView]:
    """The persons that the two identifiers of a link would be without it; nothing is changed. Raises LinkNotFound."""
    found: list[PersonView] = []
    try:
        async with db.begin() as connection:
            await link_records.lock_writers(connection)
            link = await person_records.find_link(connection, link_id)
            if link is None:
                raise LinkNotFound(f"No link has the id {link_id}.")
            if await person_records.retract(connection, link_id, now, "preview"):
                await recompute(connection, events, members_max, [link.a, link.b])
            for person in sorted(await person_records.person_now(connection, [link.a, link.b])):
                found.append(await _view(connection, person))
            raise _TriedOut
    except _TriedOut:
        return found


async def _view(connection: Any, person: int) -> PersonView:
    members = [one for one in await person_records.members(connection, person) if one.until is None]
    names = await person_records.names_of(connection, [person])
    return PersonView(names[person].uid, [Identified(one.uid, one.kind, one.value) for one in members])
