"""Segments: the list with sizes, a new one by sentence with its count, and who is in one."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from litestar import Response, get, post
from litestar.response import Stream

from siyu.console.http_persons import listed
from siyu.console.i18n import mark as _
from siyu.console.page import SECURITY_HEADERS, redirect
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import MalformedRequest
from siyu.profile.many import portraits_of
from siyu.rules.parse import parse_rule
from siyu.rules.read import read_sentence
from siyu.rules.rule import Rule
from siyu.rules.sentence import say
from siyu.rules.vocabulary import Lang
from siyu.rules.window import Setting
from siyu.rules.write import rule_json
from siyu.segments import actions
from siyu.segments.actions import Wanted
from siyu.segments.population import Source
from siyu.segments.segment import Segment
from siyu.segments.words import WORDS
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

PAGE_MEMBERS: Final = 50
EXAMPLES: Final[tuple[dict[str, Any], ...]] = (
    {"did": {"event": "order.paid", "at_least": 2, "days": 90}},
    {
        "all": [
            {"did": {"event": "cart.added", "days": 7}},
            {"not_happened": {"event": "order.paid", "n": 7, "unit": "day"}},
        ]
    },
    {"all": [{"person": "trait.city", "op": "eq", "value": "广州"}, {"segment": "lifecycle.sleeping"}]},
)
SAID: Final = {
    "made": _("The segment was made. Its members are found within seconds."),
    "changed": _("The segment was changed."),
    "deleted": _("The segment was deleted. Its versions stay on record."),
    "listed": _("The identifiers are on the list."),
}


class Shown(NamedTuple):
    """A segment with its sentence."""

    segment: Segment
    sentence: str


def _lang(visit: Visit) -> Lang:
    return "zh" if visit.locale.startswith("zh") else "en"


def _sentence(rule: Rule, visit: Visit) -> str:
    return say(rule, WORDS, _lang(visit))


def _shown(segment: Segment, visit: Visit) -> Shown:
    return Shown(segment, _sentence(parse_rule(segment.rule, WORDS), visit))


def _said(request: AnyRequest, visit: Visit) -> str | None:
    said = request.query_params.get("said", "")
    return visit.face.text(SAID[said]) if said in SAID else None


@get("/segments", include_in_schema=False)
async def segments(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """All segments, the largest groups first by their key, and the form of a new one."""
    found = [_shown(one, visit) for one in await actions.all_of(db)]
    examples = [_sentence(parse_rule(one, WORDS), visit) for one in EXAMPLES]
    return visit.page("segments.html", segments=found, examples=examples, said=_said(request, visit))


@post("/segments/count", include_in_schema=False, status_code=200)
async def count(
    request: AnyRequest, visit: Visit, db: Database, events: EventStore, settings: Settings
) -> Response[str]:
    """How many persons a sentence means, while it is being written; where it goes wrong, the place."""
    text = str((await request.form()).get("text", ""))
    context: dict[str, Any] = {"text": text, "error": None, "count": 0, "total": 0, "at": None}
    if not text.strip():
        return visit.page("segment_count.html", **context)
    try:
        rule = read_sentence(text, WORDS, _lang(visit))
        source = Source(db, events, WORDS, settings.question_seconds_max)
        total, found = await actions.preview(source, rule, Setting(visit.moment.now, visit.moment.zone))
        context |= {"count": len(found), "total": total}
    except MalformedRequest as error:
        context |= {"error": error, "at": error.details.get("at")}
    return visit.page("segment_count.html", **context)


async def _wanted(request: AnyRequest, visit: Visit, key: str | None = None) -> Wanted:
    form = await request.form()
    text = str(form.get("text", "")).strip()
    rule = rule_json(read_sentence(text, WORDS, _lang(visit))) if text else None
    return Wanted(key or str(form.get("key", "")), str(form.get("label", "")), rule, bool(form.get("events")))


@post("/segments", include_in_schema=False, status_code=303)
async def create(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Define a segment; without a sentence a list."""
    visit.operator.require("persons")
    made = await actions.create(db, await _wanted(request, visit), visit.moment.now, visit.operator.name)
    return redirect(f"/console/segments/{made.key}?said=made")


@get("/segments/{key:str}", include_in_schema=False)
async def segment(key: str, request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """One segment: its sentence, who is in it, its versions."""
    shown = _shown(await actions.show(db, key), visit)
    given = request.query_params.get("after", "")
    after = int(given) if given.isdecimal() and len(given) < 18 else 0
    page = await actions.member_numbers(db, key, after, PAGE_MEMBERS)
    portraits = await portraits_of(db, page, visit.moment)
    return visit.page(
        "segment.html",
        one=shown,
        people=listed([portraits[number] for number in page if number in portraits], visit.locale),
        versions=await actions.versions(db, key),
        next_after=page[-1] if len(page) == PAGE_MEMBERS else None,
        said=_said(request, visit),
    )


@post("/segments/{key:str}", include_in_schema=False, status_code=303)
async def change(key: str, request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """The next version of a segment."""
    visit.operator.require("persons")
    await actions.update(db, await _wanted(request, visit, key), visit.moment.now, visit.operator.name)
    return redirect(f"/console/segments/{key}?said=changed")


@post("/segments/{key:str}/list", include_in_schema=False, status_code=303)
async def upload(key: str, request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Put identifiers on a list, one a line."""
    visit.operator.require("persons")
    form = await request.form()
    values = [line.strip() for line in str(form.get("values", "")).splitlines() if line.strip()]
    await actions.upload(db, key, values, None, replace=bool(form.get("replace")))
    return redirect(f"/console/segments/{key}?said=listed")


@post("/segments/{key:str}/delete", include_in_schema=False, status_code=303)
async def delete(key: str, visit: Visit, db: Database) -> Response[str]:
    """Remove a segment."""
    visit.operator.require("persons")
    await actions.delete(db, key, visit.moment.now, visit.operator.name)
    return redirect("/console/segments?said=deleted")


@get("/segments/{key:str}/members.csv", include_in_schema=False)
async def export(key: str, visit: Visit, db: Database) -> Stream:
    """The members for a spreadsheet."""
    visit.operator.require("persons")
    await actions.show(db, key)
    moment = visit.moment
    headers = SECURITY_HEADERS | {"content-disposition": f'attachment; filename="{key}.csv"'}
    return Stream(
        actions.export(db, key, moment.now, moment.zone), media_type="text/csv; charset=utf-8", headers=headers
    )


routes: list[Any] = [segments, count, create, segment, change, upload, delete, export]
