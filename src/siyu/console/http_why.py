"""Why an earn rule gave somebody something or nothing, for operators: each condition with a tick or a cross."""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

from litestar import Response, get
from litestar.params import Parameter

from siyu.console.people import display_name, person_meant
from siyu.console.visit import Visit
from siyu.errors import NotFound
from siyu.identity.person_id import person_uuid
from siyu.loyalty.explain import Condition, Explained, House, explain
from siyu.loyalty.react import all_rules
from siyu.loyalty.read import find_named
from siyu.rules.explain import Seen
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

_TEXT_MAX: Final = 200


class Line(NamedTuple):
    """A condition as the page shows it."""

    one: Condition
    text: str
    seen: str
    """What was seen; empty: nothing to show."""


@get("/earn-rules/{number:str}/why", include_in_schema=False)
async def why(
    *,
    number: str,
    visit: Visit,
    db: Database,
    events: EventStore,
    q: Annotated[str, Parameter(max_length=_TEXT_MAX)] = "",
    event: Annotated[str, Parameter(max_length=_TEXT_MAX)] = "",
) -> Response[str]:
    """What became of a person's newest event that the rule means, or of the one named."""
    q, event = (text.replace("\x00", "").strip() for text in (q, event))
    async with db.driver() as connection:
        rule = next((one for one in await all_rules(connection) if one.id == number), None)
    if rule is None:
        raise NotFound(f"There is no earn rule {number[:60]!r}.")
    person = await person_meant(db, q, visit.moment) if q else None
    found: Explained | None = None
    unknown = False
    if person is not None:
        async with db.driver() as connection:
            house = House(connection, events, visit.moment.zone)
            named = await find_named(connection, person_uuid(person.person_id))
            try:
                found = await explain(house, number, named, event or None, visit.moment.now)
            except NotFound:
                unknown = True
    return visit.page(
        "earn_rule_why.html", one=rule, q=q, event=event, unknown=unknown, found=found,
        person=person, name=display_name(person, visit.locale) if person is not None else "",
        lines=[] if found is None else [_line(one, visit) for one in found.conditions],
    )  # fmt: skip


def _line(one: Condition, visit: Visit) -> Line:
    zh = visit.locale.startswith("zh")
    seen = (one.seen_zh if zh else one.seen_en) or shown(one.seen)
    if one.what == "amount" and isinstance(one.seen, int):
        seen = visit.format.money(one.seen)
    return Line(one, one.zh if zh else one.en, seen)


def shown(seen: Seen) -> str:
    """What was seen, as a page says it; empty: nothing."""
    if isinstance(seen, list):
        return "、".join(seen)
    if isinstance(seen, bool):
        return "✓" if seen else "✗"
    return "" if seen is None else str(seen)


routes: list[Any] = [why]
