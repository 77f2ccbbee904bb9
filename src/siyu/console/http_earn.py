"""What earns points and growth, for operators: the list of earn rules and their form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Response, get, post

from siyu.collect.catalogue import CATALOGUE
from siyu.console.fields import NEEDED, Fields, yuan
from siyu.console.http_coupons import Entry, ends_of
from siyu.console.http_rules import lang_of
from siyu.console.i18n import mark as _
from siyu.console.labels import ENDS
from siyu.console.page import redirect
from siyu.console.rule_form import editor_from, editor_of
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import Conflict, MalformedRequest, NotFound
from siyu.ledger import Currency
from siyu.ledger.currencies import every
from siyu.loyalty import Points
from siyu.loyalty.earning import DEFAULTS, EarnRule, Once, audience_of
from siyu.loyalty.estimate import Estimate, House, estimate
from siyu.loyalty.react import all_rules, store_rule
from siyu.loyalty.request import POINTS
from siyu.rules.sentence import say
from siyu.rules.vocabulary import Lang
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore, QueryTooExpensive
from siyu.store.postgres import Database, driver_of

ID_PATTERN: Final = r"[a-z][a-z0-9-]{0,49}\Z"
SAID: Final = {
    "made": _("The rule was made. It counts for events from now on."),
    "changed": _("Saved as the next version. What was earned stays."),
    "stopped": _("Stopped: it gives nothing any more. What was earned stays."),
    "resumed": _("Running again."),
}
ONCE: Final = {
    Once.EVENT: (_("every time"), _("for every event")),
    Once.DAY: (_("once a day"), _("and person, by the brand's calendar")),
    Once.PERSON: (_("once in a life"), _("of a person")),
    Once.SUBJECT: (_("once for each thing"), _("that the event names: an order, a friend, an article")),
}
ROUNDINGS: Final = {
    "exact": _("to the second"),
    "day": _("to the end of the day"),
    "month": _("to the end of the month"),
    "quarter": _("to the end of the quarter"),
    "half": _("to the end of the half-year"),
    "year": _("to the end of the year"),
}
WRONG_ID: Final = _("Small letters, digits and - only; it begins with a letter.")
TOO_MUCH: Final = _(
    "Too many events to tell within a few seconds what it would have given. It can be saved all the same."
)
EVENTS_MAX: Final = 20
ESTIMATED_DAYS: Final = 30


class EarnShown(NamedTuple):
    """An earn rule as the list shows it."""

    one: EarnRule
    label: str
    events: list[str]
    unit: str
    shipped: bool
    """As every installation begins with it."""
    audience: str = ""
    """For whom, in a sentence; empty: everybody."""


def unit_of(one: Currency, visit: Visit) -> str:
    """What people call the units of a currency."""
    return one.unit_zh if visit.locale.startswith("zh") else one.unit_en


def once_of(visit: Visit) -> dict[str, tuple[str, str]]:
    """Once → (words, what it means)."""
    return {key.value: (visit.face.text(words), visit.face.text(note)) for key, (words, note) in ONCE.items()}


def ends_in(one: Currency, visit: Visit) -> str:
    """When what is earned ends, in a sentence."""
    if one.keep_months is None:
        return visit.face.text(_("never ends"))
    words = {"months": one.keep_months, "to": visit.face.text(ROUNDINGS[one.rounding.value])}
    return visit.face.text(_("ends after %(months)s months, %(to)s")) % words


@get("/earn-rules", include_in_schema=False)
async def rules(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """All earn rules, those that give first."""
    async with db.driver() as connection:
        found = await all_rules(connection)
        known = {one.code: one for one in await every(connection)}
    zh = visit.locale.startswith("zh")
    shown = [
        EarnShown(
            one, one.label_zh if zh else one.label_en, [one.event],
            unit_of(known[one.currency], visit) if one.currency in known else one.currency, one in DEFAULTS,
            "" if (rule := audience_of(one)) is None else say(rule, WORDS, lang_of(visit)),
        )
        for one in sorted(found, key=lambda one: (not one.active, one.currency != POINTS, one.currency, one.id))
    ]  # fmt: skip
    said = request.query_params.get("said", "")
    return visit.page(
        "earn_rules.html", rules=shown, once=once_of(visit), currencies=known,
        ends={code: ends_in(one, visit) for code, one in known.items()},
        said=visit.face.text(SAID[said]) if said in SAID else None,
    )  # fmt: skip


def _values(one: EarnRule | None) -> dict[str, str]:
    if one is None:
        return {"how": "points", "currency": POINTS, "once_per": Once.EVENT.value, "by_tier": "1", "active": "1"}
    return {
        "id": one.id, "event": one.event, "label_zh": one.label_zh, "label_en": one.label_en,
        "how": "per_yuan" if one.points_per_yuan else "points", "points": str(one.points or ""),
        "points_per_yuan": str(one.points_per_yuan or ""), "once_per": one.once_per.value,
        "subject": ", ".join(one.subject), "pending_days": str(one.pending_days or ""),
        "post_on": ", ".join(one.post_on), "take_back_on": ", ".join(one.take_back_on), "currency": one.currency,
        "by_tier": "1" if one.by_tier else "", "within_days": str(one.within_days or ""),
        "active": "1" if one.active else "", **condition_values(one.where),
    }  # fmt: skip


def where_of(ends: Sequence[str], from_fen: int | None) -> dict[str, Any] | None:
    """The condition that the form makes."""
    parts: list[dict[str, Any]] = [{"property": "@end", "op": "in", "value": list(ends)}] if ends else []
    if from_fen is not None:
        parts.append({"property": "@value_fen", "op": "gte", "value": from_fen})
    return {"all": parts} if parts else None


def condition_values(where: dict[str, Any] | None) -> dict[str, str]:
    """A condition as the form shows it; one that the form could not have made as JSON, under `condition`."""
    listed = (where or {}).get("all")
    parts = {part.get("property"): part.get("value") for part in (listed if isinstance(listed, list) else ())}
    named, from_fen = parts.get("@end", []), parts.get("@value_fen")
    ends = [end for end in ENDS if isinstance(named, list) and end in named]
    if where != where_of(ends, from_fen) or not isinstance(from_fen, int | None):
        return {"condition": msgspec.json.encode(where).decode()}
    return {"ends": " ".join(ends), "from_fen": yuan(from_fen)}


def _rule_from(fields: Fields, before: EarnRule | None, codes: list[str], lang: Lang) -> EarnRule:
    """The rule that a form describes, to be used when nothing in it is wrong."""
    per_yuan = fields.choice("how", ("points", "per_yuan"), "points") == "per_yuan"
    label_zh, label_en = fields.text("label_zh"), fields.text("label_en")
    if not (label_zh or label_en):
        fields.refuse("label_zh", NEEDED)
    return EarnRule(
        id=before.id if before else fields.matching("id", ID_PATTERN, WRONG_ID),
        version=(fields.whole("version", 0, 2**31) or 0) + 1,
        event=fields.text("event", needed=True), where=_where_from(fields, before),
        audience=fields.rule("audience", lang),
        label_zh=label_zh or label_en, label_en=label_en or label_zh,
        points=0 if per_yuan else fields.whole("points", 1, 10**9, needed=True) or 0,
        points_per_yuan=fields.whole("points_per_yuan", 1, 1_000, needed=True) or 0 if per_yuan else 0,
        once_per=before.once_per if per_yuan and before else Once(fields.choice("once_per", list(ONCE), "event")),
        subject=fields.listed("subject", EVENTS_MAX), pending_days=fields.whole("pending_days", 0, 366) or 0,
        post_on=fields.listed("post_on", EVENTS_MAX) if per_yuan else (),
        take_back_on=fields.listed("take_back_on", EVENTS_MAX) if per_yuan else (),
        currency=fields.choice("currency", codes, POINTS), by_tier=fields.flag("by_tier"),
        within_days=fields.whole("within_days", 1, 36_600), active=fields.flag("active"),
    )  # fmt: skip


def _where_from(fields: Fields, before: EarnRule | None) -> dict[str, Any] | None:
    if before is not None and "condition" in condition_values(before.where):
        return before.where
    return where_of(fields.ticked("ends", tuple(ENDS)), fields.money("from_fen"))


async def _found(db: Database, number: str) -> EarnRule:
    async with db.driver() as connection:
        one = next((rule for rule in await all_rules(connection) if rule.id == number), None)
    if one is None:
        raise NotFound(f"There is no earn rule {number[:60]!r}.")
    return one


async def _page(
    visit: Visit, db: Database, one: EarnRule | None, entry: Entry | None, found: Estimate | None = None
) -> Response[str]:
    async with db.driver() as connection:
        known = await every(connection)
    zh = visit.locale.startswith("zh")
    events = [(entry.name, entry.zh if zh else entry.en) for entry in CATALOGUE]
    wrong = entry.wrong if entry else {}
    return visit.page(
        "earn_rule_edit.html", one=one, values=entry.values if entry else _values(one), wrong=wrong,
        version=one.version if one else 0, once=once_of(visit), events=events, currencies=known,
        ends={each.code: ends_in(each, visit) for each in known},
        ends_there=ends_of(visit, ()), estimate=found,
        editor=entry.editor if entry else editor_of(one.audience if one else None, lang_of(visit)),
        units=[(each.code, f"{unit_of(each, visit)} ({each.code})") for each in known],
        status=422 if wrong else 200,
    )  # fmt: skip


@get("/earn-rules/-new", include_in_schema=False)
async def new(visit: Visit, db: Database) -> Response[str]:
    """A new earn rule."""
    visit.operator.require("persons")
    return await _page(visit, db, None, None)


@get("/earn-rules/{number:str}", include_in_schema=False)
async def edit(number: str, visit: Visit, db: Database) -> Response[str]:
    """An earn rule in its form."""
    return await _page(visit, db, await _found(db, number), None)


@post("/earn-rules", include_in_schema=False, status_code=303)
async def create(request: AnyRequest, visit: Visit, db: Database, desk: Points) -> Response[str]:
    """Make an earn rule."""
    return await _save(request, visit, db, desk, None)


@post("/earn-rules/{number:str}", include_in_schema=False, status_code=303)
async def change(request: AnyRequest, number: str, visit: Visit, db: Database, desk: Points) -> Response[str]:
    """The next version of an earn rule."""
    return await _save(request, visit, db, desk, await _found(db, number))


@post("/earn-rules/-estimate", include_in_schema=False, status_code=200)
async def estimated(request: AnyRequest, visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """The form again, with what its rule would have given lately. Nothing is stored."""
    visit.operator.require("persons")
    form = await request.form()
    fields = Fields(form, visit.face.text)
    before = await _found(db, number) if (number := fields.raw("of")) else None
    async with db.driver() as connection:
        codes = [one.code for one in await every(connection)]
    wanted = _rule_from_checked(fields, before, codes, lang_of(visit))
    found = None
    if wanted is not None:
        try:
            found = await estimate(House(db, events, visit.moment.zone), wanted, ESTIMATED_DAYS, visit.moment.now)
        except QueryTooExpensive:
            fields.refuse("", TOO_MUCH)
        except MalformedRequest as error:
            fields.refuse("", visit.said(error))
    editor = editor_from(form, "audience", lang_of(visit))
    return await _page(visit, db, before, Entry(fields.values, fields.wrong, editor), found)


async def _save(
    request: AnyRequest, visit: Visit, db: Database, desk: Points, before: EarnRule | None
) -> Response[str]:
    visit.operator.require("persons")
    form = await request.form()
    fields = Fields(form, visit.face.text)
    async with db.driver() as connection:
        codes = [one.code for one in await every(connection)]
    wanted = _rule_from_checked(fields, before, codes, lang_of(visit))
    if wanted is not None:
        try:
            async with db.begin() as conn:
                await store_rule(await driver_of(conn), desk.ledger, wanted, visit.moment.now)
            return redirect(f"/console/earn-rules?said={'changed' if before else 'made'}")
        except Conflict:
            text = _("Somebody saved another version meanwhile. Reload the page and look again.")
            fields.refuse("" if before else "id", text if before else _("There is one of this number already."))
        except MalformedRequest as error:
            fields.refuse("", visit.said(error))
    return await _page(
        visit, db, before, Entry(fields.values, fields.wrong, editor_from(form, "audience", lang_of(visit)))
    )


def _rule_from_checked(fields: Fields, before: EarnRule | None, codes: list[str], lang: Lang) -> EarnRule | None:
    """The rule; None when something is wrong."""
    if fields.raw("once_per") not in (*ONCE, ""):
        fields.choice("once_per", list(ONCE))
        return None
    wanted = _rule_from(fields, before, codes, lang)
    return None if fields.wrong else wanted


routes: list[Any] = [rules, new, edit, create, change, estimated]
