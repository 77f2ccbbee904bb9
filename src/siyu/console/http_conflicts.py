"""Conflicts: links that a rule refused, for a human to look at."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple
from uuid import UUID

from litestar import Response, get

from siyu.console.people import display_name
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import MalformedRequest
from siyu.identity import explain
from siyu.identity.explain import ConflictView, Identified
from siyu.profile.many import portraits_by_id
from siyu.store.postgres import Database

PAGE_CONFLICTS: Final = 20
_FIRST: Final = (-(1 << 62), UUID(int=0))


class Side(NamedTuple):
    """One of the persons that a refused link would have joined."""

    person_id: str
    name: str
    lifecycle: str


def _place(after: str) -> tuple[int, UUID]:
    """Where a page begins. Raises MalformedRequest."""
    if not after:
        return _FIRST
    instant, _dot, link = after.partition(".")
    try:
        if len(instant) > 18:
            raise ValueError
        return int(instant), UUID(link)
    except ValueError:
        raise MalformedRequest("The address does not name a page.", path="after") from None


@get("/conflicts", include_in_schema=False)
async def conflicts(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Refused links, oldest first, with the persons they would have joined."""
    page = await explain.conflicts(db, _place(request.query_params.get("after", "")), PAGE_CONFLICTS)
    found = await asyncio.gather(*(_sides(visit, db, one) for one in page.items))
    rows = [(one, sides, walk(one)) for one, sides in zip(page.items, found, strict=True)]
    return visit.page("conflicts.html", conflicts=rows, next_place=page.next)


class Step(NamedTuple):
    """One identifier on the way from one value to the other; `rule` of the link that leads to it."""

    identifier: Identified
    rule: str
    refused: bool


def walk(conflict: ConflictView) -> list[Step]:
    """The chain between the two values, identifier by identifier."""
    if not conflict.path:
        return []
    first = conflict.path[0]
    here = first.a
    if len(conflict.path) > 1 and first.a.id in (conflict.path[1].a.id, conflict.path[1].b.id):
        here = first.b
    if conflict.values and conflict.values[0].id in (first.a.id, first.b.id):
        here = first.a if conflict.values[0].id == first.a.id else first.b
    steps = [Step(here, "", False)]
    for link in conflict.path:
        here = link.b if link.a.id == here.id else link.a
        steps.append(Step(here, link.rule, link.link_id == conflict.link.link_id))
    return steps


async def _sides(visit: Visit, db: Database, conflict: ConflictView) -> list[Side]:
    portraits = await portraits_by_id(db, conflict.persons, visit.moment)
    return [Side(one.person_id, display_name(one, visit.locale), one.lifecycle) for one in portraits]


routes: list[Any] = [conflicts]
