"""Segments: the list with sizes, a new one by sentence with its count, and who is in one."""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from litestar import Response, get, post
from litestar.response import Stream

from siyu.console.http_persons import listed
from siyu.console.http_rules import count_rule, lang_of
from siyu.console.i18n import mark as _
from siyu.console.page import SECURITY_HEADERS, redirect
from siyu.console.rule_form import Editor, editor_of, rule_from
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import MalformedRequest
from siyu.profile.many import portraits_of
from siyu.rules.parse import parse_rule
from siyu.rules.read import read_sentence
from siyu.rules.rule import Rule
from siyu.rules.sentence import say
from siyu.rules.write import rule_json
from siyu.segments import actions
from siyu.segments.actions import Wanted
from siyu.segments.segment import Segment
from siyu.segments.words import WORDS
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
    problem: str | None
    """Why its members wait."""


def _sentence(rule: Rule, visit: Visit) -> str:
    return say(rule, WORDS, lang_of(visit))


def _shown(segment: Segment, visit: Visit) -> Shown:
    try:
        return Shown(segment, _sentence(parse_rule(segment.rule, WORDS), visit), segment.problem)
    except MalformedRequest as error:
        return Shown(segment, "", visit.said(error))


def _said(request: AnyRequest, visit: Visit) -> str | None:
    said = request.query_params.get("said", "")
    return visit.face.text(SAID[said]) if said in SAID else None


@get("/segments", include_in_schema=False)
async def segments(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """All segments by key."""
    found = [_shown(one, visit) for one in await actions.all_of(db)]
    return visit.page("segments.html", segments=found, said=_said(request, visit))


@get("/segments/-new", include_in_schema=False)
async def new(request: AnyRequest, visit: Visit) -> Response[str]:
    """A new segment in the rule builder; `text`: begun with a sentence."""
    visit.operator.require("persons")
    text = request.query_params.get("text", "")
    rule = rule_json(read_sentence(text, WORDS, lang_of(visit))) if text else None
    examples = [(sentence, "?" + urlencode({"text": sentence})) for sentence in _examples(visit)]
    editor = editor_of(rule, lang_of(visit))
    return visit.page("segment_edit.html", one=None, editor=editor, examples=examples, said=None)


def _examples(visit: Visit) -> list[str]:
    return [_sentence(parse_rule(one, WORDS), visit) for one in EXAMPLES]


@get("/segments/{key:str}/edit", include_in_schema=False)
async def edit(key: str, visit: Visit, db: Database) -> Response[str]:
    """A segment in the rule builder."""
    visit.operator.require("persons")
    one = await actions.show(db, key)
    editor = _editor(one, visit)
    return visit.page("segment_edit.html", one=one, editor=editor, examples=[], said=None)


def _editor(one: Segment, visit: Visit) -> Editor:
    try:
        return editor_of(None if one.listed else one.rule, lang_of(visit))
    except MalformedRequest:
        return editor_of(None, lang_of(visit))  # not understood any more: to be said anew


@post("/segments/count", include_in_schema=False, status_code=200)
async def count(request: AnyRequest, visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """How many persons a sentence means; where it goes wrong, the place."""
    return await count_rule(await request.form(), visit, db, events)


async def _wanted(request: AnyRequest, visit: Visit, key: str | None = None) -> Wanted:
    form = await request.form()
    rule = rule_from(form, "rule", lang_of(visit))
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


routes: list[Any] = [segments, new, count, create, edit, segment, change, upload, delete, export]
