"""What people do to identity: take a link back, let it count again, declare two identifiers one person, erase.

Each changes the evidence and computes the persons it touches again, in one transaction. A declaration, once made, is a
link like any other; nothing is merged that could not be parted again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from siyu.errors import Conflict, NotFound
from siyu.identity import link_records, person_records
from siyu.identity.evidence import link_id as id_of_link
from siyu.identity.evidence import stronger_first
from siyu.identity.link_records import Change, LinkRow
from siyu.identity.recompute import Recompute
from siyu.identity.resolution import link_weight
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

OPERATOR: Final = "operator"
"""Source of links that a person declared."""


class LinkNotFound(NotFound):
    """No link has this id."""

    code = "LINK_NOT_FOUND"


class LinkRefused(Conflict):
    """The declaration would give a person two values of a single class; `details["kind"]` names it."""

    code = "LINK_REFUSED"


async def retract(
    db: Database, events: EventStore, link_id: UUID, reason: str, now: datetime, *, members_max: int
) -> list[int]:
    """Take a link out of the evidence; the persons of its two identifiers now. Repeating it changes nothing.

    Raises LinkNotFound, EngineUnavailable."""
    async with db.begin() as connection:
        await link_records.lock_writers(connection)
        link = await _link(connection, link_id)
        if await person_records.retract(connection, link_id, now, reason):
            await recompute(connection, events, members_max, [link.a, link.b])
        return await _persons(connection, link)


async def unretract(db: Database, events: EventStore, link_id: UUID, *, members_max: int) -> list[int]:
    """Let a link count again; the persons of its two identifiers now. Raises LinkNotFound, EngineUnavailable."""
    async with db.begin() as connection:
        await link_records.lock_writers(connection)
        link = await _link(connection, link_id)
        if await person_records.unretract(connection, link_id):
            await recompute(connection, events, members_max, [link.a, link.b])
        return await _persons(connection, link)


async def persons_of(db: Database, link_id: UUID) -> list[int]:
    """The persons of a link's two identifiers now. Raises LinkNotFound."""
    async with db.connect() as connection:
        return await _persons(connection, await _link(connection, link_id))


async def _persons(connection: Any, link: person_records.LinkSeen) -> list[int]:
    """The persons of a link's two ends; of a value that an alias names, those of the identifiers that have it."""
    ends = [link.a, link.b]
    named = await link_records.named_by(connection, ends)
    return sorted(await person_records.person_now(connection, [*ends, *(anchor for anchor, _ in named)]))


async def declare_alias(
    db: Database, events: EventStore, ends: tuple[int, int], operator: str, now: datetime, *, members_max: int
) -> tuple[UUID, list[int]]:
    """Declare that the persons of two identifiers (anchors) are one: the link, and the person that results.

    The link is between the strongest identifiers of the two, so that a declaration takes nothing away from anybody.
    Raises NotFound for an unknown identifier, LinkRefused, EngineUnavailable."""
    async with db.begin() as connection:
        await link_records.lock_writers(connection)
        persons = await person_records.person_of(connection, ends, now)
        chosen = [persons[end] for end in ends]
        known = await link_records.identifiers_of(connection, {*ends, *chosen})
        if missing := [end for end in ends if end not in known]:
            raise NotFound("No such identifier.", anchors=missing)
        pair = chosen if chosen[0] != chosen[1] else list(ends)
        a, b = stronger_first(known[pair[0]][0], known[pair[1]][0])
        row = LinkRow(
            id_of_link(known[a.id][1], known[b.id][1], "alias"),
            a.id,
            b.id,
            "alias",
            link_weight("alias", a.kind, b.kind),
            int(now.timestamp() * 1000),
            operator,
            OPERATOR,
        )
        await link_records.add_links(connection, [row])
        await person_records.unretract(connection, row.link_id)
        await recompute(connection, events, members_max, [a.id, b.id])
        link = await _link(connection, row.link_id)
        if link.refused is not None:
            raise LinkRefused(
                f"They cannot be one person: there would be two values of {link.clash or 'too many identifiers'}.",
                kind=link.clash,
            )
        return row.link_id, sorted(await person_records.person_now(connection, list(ends)))


async def forget(connection: Any, events: EventStore, person: int, at: datetime, *, members_max: int) -> dict[str, int]:
    """Erase a person's identifiers and links: rows by store. In the caller's transaction, after their events are gone.

    What others share with them (a tablet, a number since passed on) stays and is computed again without them. What is
    seen of the erased identifiers from before `at` does not come back. Raises EngineUnavailable."""
    await link_records.lock_writers(connection)
    anchors = await person_records.anchors_now_of(connection, person)
    if not anchors:
        return {"identifiers": 0, "links": 0}
    ends = await person_records.delete_links(connection, anchors)
    others = {end for pair in ends for end in pair} - set(anchors)
    names = await person_records.orphaned_names(connection, sorted(others))
    ends += await person_records.delete_links(connection, names)
    buried = await person_records.bury(connection, [*anchors, *names], at)
    await recompute(connection, events, members_max, others - set(names), gone=[*anchors, *names])
    return {"identifiers": buried, "links": len(ends)}


async def recompute(
    connection: Any, events: EventStore, members_max: int, seeds: Collection[int], gone: Sequence[int] = ()
) -> set[int]:
    """Compute the persons that these identifiers' links reach again; tell the mirror and all processes what moved."""
    freed = await link_records.uncap(connection, list(seeds))
    over = await link_records.cap(connection, list(seeds), members_max)
    room = {end for pair in set(freed).difference(over) for end in pair}
    outcome = await Recompute(connection, events, members_max).run(room.union(seeds))
    moved = outcome.moved.union(gone)
    touched = outcome.touched.union(seeds, room) - moved
    handed = outcome.handed.union(gone)
    await link_records.add_change(connection, uuid4(), Change(list(moved), list(touched), list(handed)))
    return moved


async def _link(connection: Any, link_id: UUID) -> person_records.LinkSeen:
    link = await person_records.find_link(connection, link_id)
    if link is None:
        raise LinkNotFound(f"No link has the id {link_id}.")
    return link
