"""Price rules for operators: the list in the order in which they apply, the form, and a basket to try prices with."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Response, get, post

from siyu.console.coupon_form import FIELD_WORDS, changed_fields, rule_from_form, rule_values
from siyu.console.fields import Fields
from siyu.console.http_coupons import (
    VERSIONS_SHOWN,
    Entry,
    ends_of,
    refused,
    sentence_of,
    state_of,
    states_of,
)
from siyu.console.http_rules import lang_of
from siyu.console.i18n import mark as _
from siyu.console.page import redirect
from siyu.console.rule_form import editor_from, editor_of
from siyu.console.visit import AnyRequest, Visit
from siyu.coupons import managing, read, template_records
from siyu.coupons.pricing import Pricing
from siyu.coupons.quote import Stage
from siyu.coupons.template import PriceRule, stage_of
from siyu.errors import Conflict, MalformedRequest, NotFound
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

SAID: Final = {
    "made": _("The rule was made. It counts from the next price on."),
    "changed": _("Saved as the next version. It counts from the next price on."),
    "stopped": _("Stopped: prices are without it from now on."),
    "resumed": _("Running again."),
}
STAGES: Final = {
    Stage.PRICE: (_("Set prices"), _("first: the price of an article")),
    Stage.ITEM: (_("For articles"), _("then what is off certain articles")),
    Stage.ORDER: (_("For the order"), _("then what is off the whole order")),
}


class RuleShown(NamedTuple):
    """A price rule as the list shows it."""

    one: PriceRule
    version: int
    sentence: str
    left_fen: int | None
    state: str


class StageShown(NamedTuple):
    """Rules that have their turn together, in their order."""

    name: str
    note: str
    rules: list[RuleShown]


def order_of(one: PriceRule) -> tuple[int, int, str]:
    """Where a rule has its turn, as the quote has it."""
    return stage_of(one), -one.priority, one.id


@get("/price-rules", include_in_schema=False)
async def rules(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """All rules by stage, each stage in the order in which they apply."""
    async with db.driver() as connection:
        found = await template_records.price_rules(connection)
        left = await read.budgets_left(connection, [f"price_rule/{key}" for key in found])
    shown = [
        RuleShown(
            one, version, sentence_of(visit, one.condition),
            left.get(f"price_rule/{one.id}", 0) if one.budget_fen is not None else None,
            state_of(one, visit.moment.now),
        )
        for version, one in sorted(found.values(), key=lambda pair: order_of(pair[1]))
    ]  # fmt: skip
    stages = [
        StageShown(visit.face.text(STAGES[stage][0]), visit.face.text(STAGES[stage][1]), list(group))
        for stage, group in groupby(shown, key=lambda each: stage_of(each.one))
    ]
    said = request.query_params.get("said", "")
    text = visit.face.text(SAID[said]) if said in SAID else None
    return visit.page("price_rules.html", stages=stages, states=states_of(visit), said=text)


class Stored(NamedTuple):
    """A rule with its version."""

    version: int
    one: PriceRule


async def _stored(db: Database, number: str) -> Stored:
    async with db.driver() as connection:
        found = (await template_records.price_rules(connection)).get(number)
    if found is None:
        raise NotFound(f"There is no price rule {number[:80]!r}.")
    return Stored(*found)


@get("/price-rules/-new", include_in_schema=False)
async def new(visit: Visit, db: Database) -> Response[str]:
    """A new rule."""
    visit.operator.require("persons")
    editor = editor_of(None, lang_of(visit), vocabulary="coupons")
    return await _form_page(visit, db, None, Entry(rule_values(None, visit.moment.zone), {}, editor))


@get("/price-rules/{number:str}", include_in_schema=False)
async def edit(number: str, visit: Visit, db: Database) -> Response[str]:
    """A rule in its form, with its versions."""
    stored = await _stored(db, number)
    editor = editor_of(stored.one.condition, lang_of(visit), vocabulary="coupons")
    return await _form_page(visit, db, stored, Entry(rule_values(stored.one, visit.moment.zone), {}, editor))


async def _form_page(visit: Visit, db: Database, stored: Stored | None, entry: Entry) -> Response[str]:
    one = stored.one if stored else None
    versions = []
    if one is not None:
        async with db.driver() as connection:
            versions = await template_records.rule_history(connection, one.id, VERSIONS_SHOWN + 1)
    before = [*(rule for _, rule, _ in versions[1:]), None]
    changes = [
        (version, at, [visit.face.text(FIELD_WORDS[name]) for name in changed_fields(last, rule)])
        for (version, rule, at), last in zip(versions, before[: len(versions)], strict=True)
    ]
    return visit.page(
        "price_rule_edit.html", one=one, version=stored.version if stored else 0, values=entry.values,
        wrong=entry.wrong, editor=entry.editor, ends=ends_of(visit, one.scope.ends if one else ()),
        versions=changes[:VERSIONS_SHOWN], state=state_of(one, visit.moment.now) if one else "", said=None,
        states=states_of(visit), status=422 if entry.wrong else 200,
    )  # fmt: skip


@post("/price-rules", include_in_schema=False, status_code=303)
async def create(request: AnyRequest, visit: Visit, db: Database, pricing: Pricing) -> Response[str]:
    """Make a rule."""
    return await _save(request, visit, db, pricing, None)


@post("/price-rules/{number:str}", include_in_schema=False, status_code=303)
async def change(request: AnyRequest, number: str, visit: Visit, db: Database, pricing: Pricing) -> Response[str]:
    """The next version of a rule."""
    return await _save(request, visit, db, pricing, await _stored(db, number))


async def _save(
    request: AnyRequest, visit: Visit, db: Database, pricing: Pricing, before: Stored | None
) -> Response[str]:
    visit.operator.require("persons")
    form = await request.form()
    fields = Fields(form, visit.face.text)
    wanted = rule_from_form(fields, before.one if before else None, lang_of(visit), visit.moment.zone)
    seen = fields.whole("version", 0, 2**31) or 0
    if not fields.wrong:
        try:
            await _store(db, pricing, wanted, seen, visit.moment.now)
            return redirect(f"/console/price-rules?said={'changed' if before else 'made'}")
        except Conflict as error:
            refused(fields, error, seen)
        except MalformedRequest as error:
            fields.refuse("", visit.said(error))
    editor = editor_from(form, "condition", lang_of(visit), vocabulary="coupons")
    return await _form_page(visit, db, before, Entry(fields.values, fields.wrong, editor))


async def _store(db: Database, pricing: Pricing, wanted: PriceRule, seen: int, now: datetime) -> None:
    """Store the version after the one that was seen; 0: the first one. Raises Conflict when there is another."""

    async def store(connection: Any) -> int:
        await template_records.lock_definitions(connection)
        known = (await template_records.price_rules(connection)).get(wanted.id)
        if (known[0] if known else 0) != seen:
            raise Conflict("Another version was saved meanwhile.")
        return (await managing.put_price_rule(connection, pricing, wanted, now))[0]

    await once(db, Asked(None, "console price rule", wanted), int, store, lambda: now)


@post("/price-rules/{number:str}/state", include_in_schema=False, status_code=303)
async def switch(request: AnyRequest, number: str, visit: Visit, db: Database, pricing: Pricing) -> Response[str]:
    """Stop a rule, or let it count again."""
    visit.operator.require("persons")
    active = bool((await request.form()).get("active"))
    stored = await _stored(db, number)
    if stored.one.active != active:
        wanted = msgspec.structs.replace(stored.one, active=active)
        await _store(db, pricing, wanted, stored.version, visit.moment.now)
    return redirect(f"/console/price-rules?said={'resumed' if active else 'stopped'}")


routes: list[Any] = [rules, new, create, edit, change, switch]
