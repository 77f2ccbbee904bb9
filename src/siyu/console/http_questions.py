"""Questions: forms, answers as charts, the persons behind every number, saved questions."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple
from urllib.parse import quote
from uuid import UUID

import msgspec
from litestar import Response, get, post

from siyu.analytics import actions as analytics
from siyu.analytics import overview as reads
from siyu.analytics.as_table import to_csv
from siyu.analytics.clv import CUSTOMERS_MIN, REPEATERS_MIN, TooFewBuyers
from siyu.analytics.http import until_left
from siyu.analytics.kinds import parse_question
from siyu.analytics.pages import PersonPage
from siyu.console.http_persons import listed
from siyu.console.i18n import mark as _
from siyu.console.page import SECURITY_HEADERS, html, redirect
from siyu.console.question_form import (
    KINDS,
    RANGE_DAYS,
    QuestionJson,
    decode_question,
    encode_question,
    first_question,
    question_of,
)
from siyu.console.result import MODEL_NAMES, present
from siyu.console.result_words import cell_words
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import InvalidQuestion, MalformedRequest, NotFound, SiyuError
from siyu.profile.many import portraits_by_id
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

PAGE_PERSONS: Final = 50


class KindCard(NamedTuple):
    """How a kind of question is offered."""

    name: str
    symbol: str
    about: str


CARDS: Final = {
    "funnel": KindCard(_("Funnel"), "chart-funnel", _("How many get from step to step, and how long it takes them")),
    "retention": KindCard(_("Retention"), "grid-dots", _("Who comes back in the weeks after")),
    "trend": KindCard(_("Trend"), "chart-line", _("Counts, persons, sums and averages over time")),
    "paths": KindCard(_("Paths"), "chart-sankey", _("What people do next, session by session")),
    "attribution": KindCard(
        _("Attribution"), "route", _("Which channels the purchases are credited to, model by model")
    ),
    "lifecycle": KindCard(_("Growth"), "chart-area", _("New, returning, resurrected and dormant persons")),
    "stickiness": KindCard(_("Stickiness"), "repeat", _("On how many days people are active")),
    "rfm": KindCard("RFM", "crown", _("Recency, frequency and money of all buyers")),
    "clv": KindCard(_("Lifetime value"), "wallet", _("What each buyer is expected to buy in the time to come")),
    "segment_size": KindCard(_("Audience"), "users", _("How many persons did this, and not that")),
}


def _card(kind: str) -> KindCard:
    if kind not in KINDS:
        raise NotFound("There is no such kind of question.")
    return CARDS[kind]


@get("/questions", include_in_schema=False)
async def questions(visit: Visit, db: Database) -> Response[str]:
    """All kinds, and what was saved."""
    saved = []
    for one in await analytics.saved_questions(db):
        question = msgspec.json.decode(bytes(one.question))
        if question.get("kind") in KINDS:
            saved.append((one, question["kind"], encode_question(question)))
    return visit.page("questions.html", cards=CARDS, saved=saved)


def _question(request: AnyRequest, kind: str) -> QuestionJson:
    return decode_question(request.query_params.get("q", ""), kind)


@get("/questions/{kind:str}", include_in_schema=False)
async def question(request: AnyRequest, kind: str, visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """The form of a kind; the answer is fetched by the page."""
    card = _card(kind)
    names = await reads.event_names(events)
    if request.query_params.get("q"):
        asked = _question(request, kind)
    else:
        properties = await reads.property_names(events, "") if kind == "attribution" else []
        asked = first_question(kind, [name for name, _count in names], properties)
    return visit.page(
        "question.html",
        kind=kind,
        card=card,
        cards=CARDS,
        question=asked,
        encoded=encode_question(asked),
        names=names,
        models=MODEL_NAMES,
        range_days=RANGE_DAYS,
        raw=msgspec.json.format(msgspec.json.encode(asked), indent=2).decode(),
        said=visit.face.text(_("The question was saved.")) if request.query_params.get("said") == "saved" else None,
    )


@get("/questions/{kind:str}/go", include_in_schema=False, status_code=303)
async def go(request: AnyRequest, kind: str, visit: Visit) -> Response[str]:
    """A filled-in form becomes an address that can be shared."""
    _card(kind)
    given = request.query_params
    if given.get("json"):
        try:
            asked = msgspec.json.decode(given["json"])
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidQuestion(f"This is not JSON: {error}", path="") from error
        parse_question(asked)
        if asked["kind"] not in KINDS:
            raise InvalidQuestion("The console has no form for this kind; ask it over the API.", path="kind")
        return redirect(f"/console/questions/{asked['kind']}?q={encode_question(asked)}")
    form = {name: given.getall(name) for name in given}
    return redirect(f"/console/questions/{kind}?q={encode_question(question_of(kind, form))}")


@get("/questions/{kind:str}/answer", include_in_schema=False)
async def answer(
    request: AnyRequest, *, kind: str, visit: Visit, db: Database, events: EventStore, settings: Settings
) -> Response[str]:
    """The answer as a fragment: chart and numbers, or what is wrong with the question."""
    _card(kind)
    asked = _question(request, kind)
    moment = visit.moment
    work = analytics.ask(db, events, asked, moment.now, settings.timezone, seconds_max=settings.question_seconds_max)
    try:
        result = await until_left(request, work)
    except asyncio.CancelledError:
        return html("", 499)
    except TooFewBuyers:
        return visit.page("too_few_buyers.html", buyers=CUSTOMERS_MIN, repeaters=REPEATERS_MIN)
    except SiyuError as error:
        if error.status >= 500:
            raise
        return visit.page("question_problem.html", error=error, path=error.details.get("path", ""))
    encoded = encode_question(asked)
    return visit.page(
        f"result_{'lines' if kind in ('trend', 'lifecycle', 'stickiness') else kind}.html",
        kind=kind,
        question=asked,
        encoded=encoded,
        by_end=encode_question(asked | {"channel": "@end"}),
        cell=_CellAddress(f"/console/questions/{kind}/persons?q={encoded}"),
        result=present(kind, asked, result, visit.face),
    )


class _CellAddress(NamedTuple):
    """Addresses of the persons behind numbers."""

    base: str

    def __call__(self, **cell: Any) -> str:
        given = {name: value for name, value in cell.items() if value is not None}
        return f"{self.base}&cell={quote(msgspec.json.encode(given))}"


@get("/questions/{kind:str}/persons", include_in_schema=False)
async def persons(
    request: AnyRequest, *, kind: str, visit: Visit, db: Database, events: EventStore, settings: Settings
) -> Response[str]:
    """The persons behind a number, page by page."""
    card = _card(kind)
    asked, cell = _question(request, kind), _cell(request)
    page = request.query_params.get("page", "1")
    number = min(100_000, max(1, int(page))) if page.isdecimal() and len(page) < 8 else 1
    paged = asked | {"cell": cell, "limit": PAGE_PERSONS, "offset": (number - 1) * PAGE_PERSONS}
    found = await analytics.ask(
        db, events, paged, visit.moment.now, settings.timezone, seconds_max=settings.question_seconds_max
    )
    if not isinstance(found, PersonPage):
        raise MalformedRequest("This number has no persons behind it.", path="cell")
    portraits = await portraits_by_id(db, [UUID(one) for one in found.persons], visit.moment)
    return visit.page(
        "question_persons.html",
        kind=kind,
        card=card,
        encoded=encode_question(asked),
        cell=list(cell_words(asked, cell, visit.face)),
        cell_text=request.query_params.get("cell", ""),
        people=listed(portraits, visit.locale),
        total=found.count,
        page=number,
        pages=max(1, -(-found.count // PAGE_PERSONS)),
    )


def _cell(request: AnyRequest) -> dict[str, Any]:
    try:
        cell = msgspec.json.decode(request.query_params.get("cell", "{}"))
    except (msgspec.DecodeError, RecursionError):
        cell = None
    if not isinstance(cell, dict):
        raise MalformedRequest("The address does not name a number.", path="cell")
    return cell


@get("/questions/{kind:str}/csv", include_in_schema=False)
async def as_csv(
    request: AnyRequest, *, kind: str, visit: Visit, db: Database, events: EventStore, settings: Settings
) -> Response[bytes]:
    """The answer as CSV, with a mark that makes spreadsheets read it as UTF-8."""
    _card(kind)
    result = await analytics.ask(
        db,
        events,
        _question(request, kind),
        visit.moment.now,
        settings.timezone,
        seconds_max=settings.question_seconds_max,
    )
    headers = SECURITY_HEADERS | {"Content-Disposition": f'attachment; filename="{kind}.csv"'}
    return Response(b"\xef\xbb\xbf" + to_csv(result).encode(), media_type="text/csv; charset=utf-8", headers=headers)


@get("/questions/properties", include_in_schema=False)
async def properties(request: AnyRequest, visit: Visit, events: EventStore) -> Response[str]:
    """Property names of an event, for completion."""
    names = await reads.property_names(events, request.query_params.get("event", "")[:512])
    return visit.page("property_names.html", names=names)


@post("/questions/save", include_in_schema=False, status_code=303)
async def save(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Keep a question."""
    form = await request.form()
    kind, text = str(form.get("kind", "")), str(form.get("q", ""))
    _card(kind)
    await analytics.save_question(db, str(form.get("title", "")), decode_question(text, kind), visit.moment.now)
    return redirect(f"/console/questions/{kind}?q={text}&said=saved")


@post("/questions/forget", include_in_schema=False, status_code=303)
async def forget(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Delete a kept question."""
    try:
        number = UUID(str((await request.form()).get("id", "")))
    except ValueError:
        raise NotFound("There is no such saved question.") from None
    await analytics.forget_question(db, number)
    return redirect("/console/questions")


routes: list[Any] = [questions, properties, question, go, answer, persons, as_csv, save, forget]
