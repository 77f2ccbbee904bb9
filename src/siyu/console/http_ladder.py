"""The ladder of tiers for operators: its picture, its form with a rule builder for each tier, who stands on a tier."""

from __future__ import annotations

import re
from typing import Any, Final

from litestar import Response, get, post

from siyu.console.fields import WRONG_RULE, Fields
from siyu.console.http_persons import listed
from siyu.console.http_rules import lang_of
from siyu.console.http_tiers import DOWNGRADES, PERIODS, UNITS, said_of, texts_of
from siyu.console.i18n import mark as _
from siyu.console.ladder_form import ladder_from, ladder_values
from siyu.console.page import redirect
from siyu.console.rule_form import Editor, editor_from, editor_of
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import MalformedRequest
from siyu.membership import tiers
from siyu.membership.http_tiers import shown
from siyu.membership.ladder import Ladder
from siyu.profile.many import portraits_of
from siyu.store.postgres import Database, driver_of

PAGE_PERSONS: Final = 50
_WHERE: Final = re.compile(r"tiers\[(\d+)\]")
CONTRADICTS: Final = _("The ladder contradicts itself: %s")


@get("/tiers", include_in_schema=False)
async def ladder(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """The ladder with how many persons stand on each tier, its terms, its versions."""
    versions, counts = await tiers.ladders(db, visit.moment.now, tiers.VERSIONS_MAX)
    now = shown(versions[0], counts)
    return visit.page(
        "tiers.html", ladder=now, versions=versions, total=sum(counts.values()),
        most=max([1, *counts.values()]), periods=texts_of(visit, PERIODS), units=texts_of(visit, UNITS),
        downgrades=texts_of(visit, DOWNGRADES), said=said_of(request, visit),
    )  # fmt: skip


@get("/tiers/-edit", include_in_schema=False)
async def edit(visit: Visit, db: Database) -> Response[str]:
    """The ladder in its form."""
    visit.operator.require("persons")
    versions, _counts = await tiers.ladders(db, visit.moment.now, 1)
    now = versions[0].ladder
    editors = [editor_of(rule, lang_of(visit)) for rule in [*(tier.rule for tier in now.tiers), None]]
    return _form_page(visit, ladder_values(now), {}, editors)


def _form_page(visit: Visit, values: dict[str, str], wrong: dict[str, str], editors: list[Editor]) -> Response[str]:
    """`editors`: one for each tier, and one for another."""
    many = len(editors) - 1
    return visit.page(
        "tiers_edit.html", values={f"percent{many}": "100", f"place{many}": str(many + 1)} | values,
        wrong=wrong, editors=editors, periods=texts_of(visit, PERIODS), units=texts_of(visit, UNITS),
        downgrades=texts_of(visit, DOWNGRADES), counted=values.get("period") == "ever", status=422 if wrong else 200,
    )  # fmt: skip


@post("/tiers", include_in_schema=False, status_code=303)
async def change(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """The next version of the ladder."""
    visit.operator.require("persons")
    form = await request.form()
    fields = Fields(form, visit.face.text)
    versions, _counts = await tiers.ladders(db, visit.moment.now, 1)
    wanted, places = ladder_from(fields, form, versions[0].ladder, lang_of(visit))
    if not fields.wrong:
        try:
            await _store(visit, db, wanted)
            return redirect("/console/tiers?said=changed")
        except MalformedRequest as error:
            found = _WHERE.search(str(error.details.get("path", "")))
            place = places[int(found[1])] if found and int(found[1]) < len(places) else None
            if place is None:
                fields.refuse("", CONTRADICTS, visit.said(error))
            else:
                fields.refuse(f"rule{place}", WRONG_RULE)
    many = fields.whole("tiers", 0, 20) or 0
    editors = [editor_from(form, f"rule{place}", lang_of(visit)) for place in range(many + 1)]
    return _form_page(visit, fields.values, fields.wrong, editors)


async def _store(visit: Visit, db: Database, wanted: Ladder) -> None:
    async with db.begin() as conn:
        await tiers.put_ladder(await driver_of(conn), wanted, visit.moment.now, f"console:{visit.operator.name}")


@get("/tiers/{name:str}", include_in_schema=False)
async def tier_persons(name: str, request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Who is on a tier."""
    given = request.query_params.get("after", "")
    after = int(given) if given.isdecimal() and len(given) < 18 else 0
    page = await tiers.persons_on(db, name, after, PAGE_PERSONS)
    portraits = await portraits_of(db, page, visit.moment)
    versions, _counts = await tiers.ladders(db, visit.moment.now, 1)
    english = next((tier.en for tier in versions[0].ladder.tiers if tier.name == name), "")
    return visit.page(
        "tier_persons.html", name=name if visit.locale.startswith("zh") else english or name,
        people=listed([portraits[number] for number in page if number in portraits], visit.locale),
        next_after=page[-1] if len(page) == PAGE_PERSONS else None,
    )  # fmt: skip


routes: list[Any] = [ladder, edit, change, tier_persons]
