"""The rule builder's own calls: a node as fields, the sentence of a draft and back, a live count, what lists offer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Response, get, post

from siyu.analytics import overview as reads
from siyu.calendar.actions import days_known, missing
from siyu.chinese import worded
from siyu.collect.catalogue import CATALOGUE, GROUPS
from siyu.console.page import SECURITY_HEADERS
from siyu.console.rule_draft import DEPTH_MAX, Made, checked
from siyu.console.rule_form import (
    PROFILE,
    VOCABULARIES,
    Editor,
    Offer,
    Offers,
    attribute_offers,
    editor_of,
    event_offers,
    family_offers,
    read_draft,
)
from siyu.console.visit import AnyRequest, Visit
from siyu.coupons.template import FIRST_PAID_ORDER
from siyu.errors import MalformedRequest
from siyu.profile import operate
from siyu.rules.moments import CALENDAR
from siyu.rules.phrases import PHRASES
from siyu.rules.possible import asked_rule, asked_sentence
from siyu.rules.rule import InvalidRule, attributes_of
from siyu.rules.sentence import say
from siyu.rules.vocabulary import Lang, Vocabulary
from siyu.rules.window import Setting
from siyu.rules.write import rule_json
from siyu.segments import actions
from siyu.segments.population import Source
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore, QueryTooExpensive
from siyu.store.postgres import Database

COUNT_SECONDS_MAX: Final = 5
"""A live count that takes longer is given up: the rule may be saved all the same."""


class Problem(msgspec.Struct):
    """What is wrong: at the character `at` of the sentence, or in the node at `place` of the builder, in `field`."""

    message: str
    at: int | None = None
    place: str | None = None
    field: str = ""


class Said(msgspec.Struct):
    """A draft as a sentence; empty for an empty draft."""

    text: str = ""
    problem: Problem | None = None


class Understood(msgspec.Struct):
    """A sentence as the fields of the builder (HTML)."""

    html: str | None = None
    problem: Problem | None = None


def lang_of(visit: Visit) -> Lang:
    """The language rules are shown in."""
    return "zh" if visit.locale.startswith("zh") else "en"


def _words(form: Mapping[str, Any]) -> tuple[str, Vocabulary]:
    """The vocabulary of a builder, by its name."""
    name = str(form.get("vocabulary", ""))
    return (name, VOCABULARIES[name]) if name in VOCABULARIES else ("", WORDS)


def _json(value: msgspec.Struct) -> Response[bytes]:
    return Response(msgspec.json.encode(value), media_type="application/json", headers=SECURITY_HEADERS)


def _problem(error: MalformedRequest, made: Made | None, lang: Lang) -> Problem:
    place, field = None, ""
    if made is not None:
        path = str(error.details.get("path", ""))
        place, node = made.place(path)
        field = path.removeprefix(node).lstrip(".").partition("[")[0].partition(".")[0]
    at = error.details.get("at")
    return Problem(worded(error, lang), at if isinstance(at, int) else None, place, field)


@post("/rules/say", include_in_schema=False, status_code=200)
async def say_draft(request: AnyRequest, visit: Visit) -> Response[bytes]:
    """The sentence of the fields as they stand, or the field that is wrong."""
    form = await request.form()
    made: Made | None = None
    try:
        _, words = _words(form)
        made = read_draft(str(form.get("draft", "")), words)
        if made.rule is None:
            return _json(Said())
        rule = asked_rule(made.rule, words, trigger=bool(form.get("trigger")))
        return _json(Said(say(rule, words, lang_of(visit))))
    except MalformedRequest as error:
        return _json(Said("", _problem(error, made, lang_of(visit))))


@post("/rules/read", include_in_schema=False, status_code=200)
async def read_text(request: AnyRequest, visit: Visit) -> Response[bytes]:
    """The fields of a sentence, or the character at which it stops making sense."""
    form = await request.form()
    text, trigger = str(form.get("text", "")), bool(form.get("trigger"))
    name, words = _words(form)
    try:
        rule = rule_json(asked_sentence(text, words, lang_of(visit), trigger=trigger)) if text.strip() else None
        editor = editor_of(rule, lang_of(visit), trigger=trigger, vocabulary=name)
    except MalformedRequest as error:
        return _json(Understood(None, _problem(error, None, lang_of(visit))))
    return _json(Understood(visit.render("rule_node.html", editor=editor, node=editor.draft, root=True)))


@post("/rules/node", include_in_schema=False, status_code=200)
async def node(request: AnyRequest, visit: Visit) -> Response[str]:
    """One node with the fields that fit what was chosen in it."""
    form = await request.form()
    try:
        given: Any = msgspec.json.decode(str(form.get("node", "")))
    except msgspec.DecodeError:
        raise InvalidRule("This is no rule of the builder.", path="rule") from None
    editor = Editor({}, "", lang_of(visit), bool(form.get("trigger")), _words(form)[0])
    return visit.page("rule_node.html", editor=editor, node=editor.settled(checked(given, DEPTH_MAX)), root=False)


@post("/rules/count", include_in_schema=False, status_code=200)
async def count(request: AnyRequest, visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """How many persons a rule holds of now."""
    return await count_rule(await request.form(), visit, db, events)


async def count_rule(form: Mapping[str, Any], visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """The count of a `draft`, else of the sentence in `text`; given up after COUNT_SECONDS_MAX."""
    context: dict[str, Any] = {"text": "", "error": None, "count": 0, "total": 0, "at": None, "slow": False}
    context |= {"by_order": False, "nobody": "nobody" in form, "lacking": []}
    _, words = _words(form)
    try:
        if "draft" in form:
            made = read_draft(str(form["draft"]), words)
            rule = None if made.rule is None else asked_rule(made.rule, words)
        else:
            context["text"] = text = str(form.get("text", ""))
            rule = asked_sentence(text, WORDS, lang_of(visit)) if text.strip() else None
        if rule is None:
            return visit.page("segment_count.html", **context)
        context["text"] = "…"
        if FIRST_PAID_ORDER in attributes_of(rule):
            return visit.page("segment_count.html", **context | {"by_order": True})
        source = Source(db, events, WORDS, COUNT_SECONDS_MAX)
        async with asyncio.timeout(COUNT_SECONDS_MAX):
            total, found = await actions.preview(source, rule, Setting(visit.moment.now, visit.moment.zone))
        context |= {"count": len(found), "total": total}
        if CALENDAR & attributes_of(rule):
            async with db.driver() as connection:
                days = await days_known(connection)
            context["lacking"] = missing(days, visit.format.local(visit.format.now).date())
    except MalformedRequest as error:
        context |= {"error": error, "at": error.details.get("at")}
    except (TimeoutError, QueryTooExpensive):
        context["slow"] = True
    return visit.page("segment_count.html", **context)


@get("/rules/offers", include_in_schema=False)
async def offers(request: AnyRequest, visit: Visit, db: Database, events: EventStore) -> Response[bytes]:
    """What the builder's lists offer: attributes, events, tags, segments, properties."""
    lang = lang_of(visit)
    _, words = _words(request.query_params)
    declared, tags, segments, properties = await asyncio.gather(
        operate.declared_traits(db), operate.list_tags(db), actions.all_of(db), reads.property_names(events, "")
    )
    fields = [Offer(name, word, name) for name, word in PHRASES[lang].fields.items()]
    families = family_offers(words, lang)
    heading = next(one.label for one in families if one.value == "trait.")
    traits = [
        Offer(f"trait.{name}", (one.label_zh if lang == "zh" else one.label_en) or name, name, heading)
        for name, one in declared.items()
    ]
    place = 0 if lang == "zh" else 1
    groups = [(entry.name, GROUPS[entry.group][place]) for entry in CATALOGUE]
    return _json(
        Offers(
            [*attribute_offers(words, lang, visit.face.text(PROFILE)), *traits],
            families,
            event_offers(words, lang, groups),
            [Offer(tag.path, tag.path) for tag in tags],
            [Offer(one.key, one.label, one.key) for one in segments],
            [*fields, *(Offer(name, name) for name in properties)],
        )
    )


routes: list[Any] = [say_draft, read_text, node, count, offers]
