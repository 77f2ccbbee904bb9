"""Why something is for somebody or not: a segment, a coupon, a price rule, an item of the points mall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple

from litestar import Response, get
from litestar.params import Parameter

from siyu.console.http_why import shown
from siyu.console.i18n import mark as _
from siyu.console.people import display_name, person_meant
from siyu.console.visit import Visit
from siyu.coupons import facts, template_records
from siyu.coupons.owner import find_owner
from siyu.coupons.pricing import Pricing, Turn
from siyu.coupons.template import FIRST_PAID_ORDER, condition_of
from siyu.errors import NotFound
from siyu.profile.portrait import Portrait
from siyu.segments import actions as segments
from siyu.segments.explain import Judged
from siyu.shop import redeeming
from siyu.store.postgres import Database

_TEXT_MAX: Final = 200
WORDS: Final = {
    "segment": (_("Segment"), "segments"),
    "coupon": (_("Coupon"), "coupons"),
    "price-rule": (_("Price rule"), "price-rules"),
    "mall": (_("Item"), "mall"),
}
"""Kind → what it is called, the page of its like."""


class Meant(NamedTuple):
    """What a person may be in or have."""

    label: str
    address: str
    conditions: list[Mapping[str, Any]]
    """Rules that must all hold; none: it is for everybody."""


async def _meant(db: Database, what: str, key: str, *, zh: bool) -> Meant:
    if what == "segment":
        one = await segments.show(db, key)
        return Meant(one.label, f"/console/segments/{one.key}", [one.rule])
    async with db.driver() as connection:
        if what == "mall":
            item = await redeeming.find_item(connection, key)
            return Meant(item.label, "/console/mall", redeeming.conditions_of(item))
        if what == "coupon" and (stored := (await template_records.newest(connection, [key])).get(key)) is not None:
            kept = stored.template
            new = [{"person": FIRST_PAID_ORDER, "op": "eq", "value": True}] if kept.new_user_only else []
            asked = [kept.audience] if kept.audience is not None else []
            return Meant(_label(kept, zh=zh), f"/console/coupons/{key}", [*new, *asked])
        if what == "price-rule" and (known := (await template_records.price_rules(connection)).get(key)) is not None:
            rule = known[1]
            asked = [rule.condition] if rule.condition is not None else []
            return Meant(_label(rule, zh=zh), f"/console/price-rules/{key}", [*asked])
    raise NotFound(f"There is no {what[:30]} {key[:60]!r}.")


def _label(one: Any, *, zh: bool) -> str:
    return str((one.label_zh if zh else one.label_en) or one.label_zh or one.label_en or one.id)


class Line(NamedTuple):
    """A condition as the page shows it."""

    held: bool
    text: str
    seen: str
    depth: int


@get("/why/{what:str}/{key:str}", include_in_schema=False)
async def why(
    *,
    what: str,
    key: str,
    visit: Visit,
    db: Database,
    pricing: Pricing,
    q: Annotated[str, Parameter(max_length=_TEXT_MAX)] = "",
) -> Response[str]:
    """Each condition, with a tick or a cross and what was seen, for a person looked up by anything."""
    if what not in WORDS:
        raise NotFound(f"There is no {what[:30]}.")
    zh = visit.locale.startswith("zh")
    meant = await _meant(db, what, key, zh=zh)
    q = q.replace("\x00", "").strip()
    person = await person_meant(db, q, visit.moment) if q else None
    lines = [] if person is None else await _lines(visit, db, pricing, meant, person)
    return visit.page(
        "why.html", meant=meant, what=visit.face.text(WORDS[what][0]), back=f"/console/{WORDS[what][1]}", q=q,
        person=person, lines=lines, held=all(one.held for one in lines if one.depth == 0),
        name=display_name(person, visit.locale) if person is not None else "",
    )  # fmt: skip


async def _lines(visit: Visit, db: Database, pricing: Pricing, meant: Meant, person: Portrait) -> list[Line]:
    if not meant.conditions:
        return []
    async with db.driver() as connection:
        owner = await find_owner(connection, person.person_id, pricing.secret, visit.moment.now)
        turn = Turn(connection, pricing, visit.moment.now)
        found = await facts.looked_at(turn, owner, condition_of({"all": meant.conditions}))
    return [_line(visit, one) for one in found]


def _line(visit: Visit, one: Judged) -> Line:
    zh = visit.locale.startswith("zh")
    seen = (one.seen_zh if zh else one.seen_en) or shown(one.seen)
    return Line(one.held, one.zh if zh else one.en, seen, one.depth)


routes: list[Any] = [why]
