"""Coupons for operators: the list, a template made or changed by a form, its versions, stopping it, giving one."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Response, get, post

from siyu.console.coupon_form import FIELD_WORDS, changed_fields, template_from, template_values
from siyu.console.fields import Fields
from siyu.console.http_rules import lang_of
from siyu.console.i18n import mark as _
from siyu.console.labels import ENDS
from siyu.console.page import redirect
from siyu.console.refusals import reason
from siyu.console.rule_form import Editor, editor_from, editor_of
from siyu.console.visit import AnyRequest, Visit
from siyu.coupons import giving, managing, read, template_records
from siyu.coupons.pricing import Pricing
from siyu.coupons.request import TemplateNotFound
from siyu.coupons.template import COUPON_WORDS, Template, condition_of
from siyu.coupons.template_records import Stored
from siyu.errors import Conflict, MalformedRequest, NotFound, Refused, WrongValue
from siyu.loyalty.newcomers import Call, EnrolmentPending, Newcomers
from siyu.loyalty.request import Identifier
from siyu.rules.sentence import say
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

VERSIONS_SHOWN: Final = 20
WHO: Final = ("phone", "member_card", "user_id")
"""Kinds of identifiers that operators know a person by."""
SAID: Final = {
    "made": _("The coupon was made. Give it to somebody, or let people claim it."),
    "changed": _("Saved as the next version. Coupons already given keep theirs."),
    "stopped": _("Stopped: none is given any more. Those already given stay good."),
    "resumed": _("Running again."),
    "given": _("The coupon was given."),
}
TAKEN: Final = _("There is one of this number already.")
CHANGED_MEANWHILE: Final = _("Somebody saved another version meanwhile. Reload the page and look again.")
GIVEN_MORE: Final = _("More than that were given already: %s.")
SPENT_MORE: Final = _("More than that was given away already.")
STATES: Final = {
    "running": (_("Running"), "jade"),
    "stopped": (_("Stopped"), "stone"),
    "ended": (_("Ended"), "stone"),
    "coming": (_("Not begun yet"), "sky"),
    "gone": (_("All given"), "gold"),
}


class Shown(NamedTuple):
    """A template as the list shows it."""

    one: Template
    version: int
    issued: int
    sentence: str
    left_fen: int | None
    state: str


def state_of(one: Any, now: datetime, issued: int = 0) -> str:
    """Whether a template or price rule is running now."""
    if not one.active:
        return "stopped"
    if one.starts_at is not None and now < one.starts_at:
        return "coming"
    if one.ends_at is not None and now >= one.ends_at:
        return "ended"
    return "gone" if getattr(one, "total", None) is not None and issued >= one.total else "running"


def sentence_of(visit: Visit, condition: dict[str, Any] | None) -> str:
    """A condition in words; empty for everybody."""
    return "" if condition is None else say(condition_of(condition), COUPON_WORDS, lang_of(visit))


def _shown(visit: Visit, stored: Stored, left: dict[str, int]) -> Shown:
    one = stored.template
    return Shown(
        one, stored.version, stored.issued, sentence_of(visit, one.audience),
        left.get(f"coupon/{one.id}", 0) if one.budget_fen is not None else None,
        state_of(one, visit.moment.now, stored.issued),
    )  # fmt: skip


def states_of(visit: Visit) -> dict[str, tuple[str, str]]:
    """State → (words, colour)."""
    return {key: (visit.face.text(words), tone) for key, (words, tone) in STATES.items()}


def said_of(request: AnyRequest, visit: Visit) -> str | None:
    """What was just done."""
    said = request.query_params.get("said", "")
    return visit.face.text(SAID[said]) if said in SAID else None


@get("/coupons", include_in_schema=False)
async def coupons(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """All templates, those that run first."""
    async with db.driver() as connection:
        found = await template_records.newest(connection)
        left = await read.budgets_left(connection, [f"coupon/{key}" for key in found])
    shown = [_shown(visit, one, left) for one in found.values()]
    order = list(STATES)
    shown.sort(key=lambda one: (order.index(one.state) % 4, one.one.id))
    return visit.page("coupons.html", templates=shown, states=states_of(visit), said=said_of(request, visit))


async def _stored(db: Database, number: str) -> Stored:
    async with db.driver() as connection:
        found = (await template_records.newest(connection, {number})).get(number)
    if found is None:
        raise TemplateNotFound(f"There is no template {number[:80]!r}.")
    return found


class Entry(NamedTuple):
    """A form as it is shown."""

    values: dict[str, str]
    wrong: dict[str, str]
    editor: Editor | None = None


def _form_page(visit: Visit, stored: Stored | None, entry: Entry, preview: Template | None) -> Response[str]:
    one = stored.template if stored else None
    return visit.page(
        "coupon_edit.html", one=one, version=stored.version if stored else 0, values=entry.values, wrong=entry.wrong,
        editor=entry.editor, preview=preview, now=visit.moment.now, ends=ends_of(visit, one.scope.ends if one else ()),
        status=422 if entry.wrong else 200,
    )  # fmt: skip


def ends_of(visit: Visit, more: tuple[str, ...]) -> list[tuple[str, str]]:
    """(end, words) to tick."""
    known = dict.fromkeys((*ENDS, *more))
    return [(end, visit.face.text(ENDS[end][0]) if end in ENDS else end) for end in known]


@get("/coupons/-new", include_in_schema=False)
async def new(visit: Visit) -> Response[str]:
    """A new template."""
    visit.operator.require("persons")
    editor = editor_of(None, lang_of(visit), vocabulary="coupons")
    return _form_page(visit, None, Entry(template_values(None, visit.moment.zone), {}, editor), None)


@get("/coupons/{number:str}/edit", include_in_schema=False)
async def edit(number: str, visit: Visit, db: Database) -> Response[str]:
    """A template in its form."""
    visit.operator.require("persons")
    stored = await _stored(db, number)
    editor = editor_of(stored.template.audience, lang_of(visit), vocabulary="coupons")
    values = template_values(stored.template, visit.moment.zone)
    return _form_page(visit, stored, Entry(values, {}, editor), stored.template)


@post("/coupons/-preview", include_in_schema=False, status_code=200)
async def preview(request: AnyRequest, visit: Visit) -> Response[str]:
    """The coupon of a form as the customer would see it, complete or not."""
    fields = Fields(await request.form(), visit.face.text)
    one = template_from(fields, None, lang_of(visit), visit.moment.zone)
    return visit.page("coupon_preview.html", preview=one, wrong=fields.wrong)


@post("/coupons", include_in_schema=False, status_code=303)
async def create(request: AnyRequest, visit: Visit, db: Database, pricing: Pricing) -> Response[str]:
    """Make a template."""
    return await _save(request, visit, db, pricing, None)


@post("/coupons/{number:str}", include_in_schema=False, status_code=303)
async def change(request: AnyRequest, number: str, visit: Visit, db: Database, pricing: Pricing) -> Response[str]:
    """The next version of a template."""
    return await _save(request, visit, db, pricing, await _stored(db, number))


async def _save(
    request: AnyRequest, visit: Visit, db: Database, pricing: Pricing, before: Stored | None
) -> Response[str]:
    visit.operator.require("persons")
    form = await request.form()
    fields = Fields(form, visit.face.text)
    wanted = template_from(fields, before.template if before else None, lang_of(visit), visit.moment.zone)
    seen = fields.whole("version", 0, 2**31) or 0
    if not fields.wrong:
        try:
            await _store(db, pricing, wanted, seen, visit.moment.now)
            return redirect(f"/console/coupons/{wanted.id}?said={'changed' if before else 'made'}")
        except Conflict as error:
            refused(fields, error, seen)
        except MalformedRequest as error:
            fields.refuse("", visit.said(error))
    editor = editor_from(form, "audience", lang_of(visit), vocabulary="coupons")
    return _form_page(visit, before, Entry(fields.values, fields.wrong, editor), wanted)


def refused(fields: Fields, error: Conflict, seen: int) -> None:
    """Say at its field why a definition was not stored. `seen`: the version that was changed, 0 for a new one."""
    if error.code == "LIMIT_REACHED":
        fields.refuse("total", GIVEN_MORE, error.details.get("issued", ""))
    elif error.code == "BUDGET_EXHAUSTED":
        fields.refuse("budget", SPENT_MORE)
    elif seen:
        fields.refuse("", CHANGED_MEANWHILE)
    else:
        fields.refuse("id", TAKEN)


async def _store(db: Database, pricing: Pricing, wanted: Template, seen: int, now: datetime) -> None:
    """Store the version after the one that was seen; 0: the first one. Raises Conflict when there is another."""

    async def store(connection: Any) -> int:
        await template_records.lock_definitions(connection)
        known = (await template_records.newest(connection, {wanted.id})).get(wanted.id)
        if (known.version if known else 0) != seen:
            raise Conflict("Another version was saved meanwhile.")
        return (await managing.put_template(connection, pricing, wanted, now)).version

    await once(db, Asked(None, "console template", wanted), int, store, lambda: now)


@post("/coupons/{number:str}/state", include_in_schema=False, status_code=303)
async def switch(request: AnyRequest, number: str, visit: Visit, db: Database, pricing: Pricing) -> Response[str]:
    """Stop giving, or go on."""
    visit.operator.require("persons")
    active = bool((await request.form()).get("active"))
    stored = await _stored(db, number)
    if stored.template.active != active:
        wanted = msgspec.structs.replace(stored.template, active=active)
        await _store(db, pricing, wanted, stored.version, visit.moment.now)
    return redirect(f"/console/coupons/{number}?said={'resumed' if active else 'stopped'}")


@get("/coupons/{number:str}", include_in_schema=False)
async def coupon(number: str, request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """One template: as the customer sees it, how many were given, pools, versions."""
    return await show(visit, db, number, said=said_of(request, visit))


async def show(
    visit: Visit, db: Database, number: str, *, said: str | None = None, wrong: dict[str, str] | None = None,
    values: dict[str, str] | None = None,
) -> Response[str]:  # fmt: skip
    """The page of one template; `wrong`: what one of its forms could not do."""
    stored = await _stored(db, number)
    async with db.driver() as connection:
        left = await read.budgets_left(connection, [f"coupon/{number}"])
        versions = await template_records.history(connection, number, VERSIONS_SHOWN + 1)
        pools = await template_records.pools(connection, number)
        by_state = await template_records.states(connection, number)
    before = [*(template for _, template, _ in versions[1:]), None]
    changes = [
        (version, at, [visit.face.text(FIELD_WORDS[name]) for name in changed_fields(last, template)])
        for (version, template, at), last in zip(versions, before, strict=True)
    ]
    return visit.page(
        "coupon.html", shown=_shown(visit, stored, left), states=states_of(visit), versions=changes[:VERSIONS_SHOWN],
        pools=pools, by_state=by_state, who=WHO, key=secrets.token_urlsafe(18), said=said, wrong=wrong or {},
        values=values or {}, status=422 if wrong else 200,
    )  # fmt: skip


@post("/coupons/{number:str}/issue", include_in_schema=False, status_code=303)
async def issue(
    *, request: AnyRequest, number: str, visit: Visit, db: Database, pricing: Pricing, newcomers: Newcomers
) -> Response[str]:
    """Give a person one; sent twice it is given once. Who is not known is enrolled, as by the API."""
    visit.operator.require("persons")
    fields = Fields(await request.form(), visit.face.text)
    kind, value = fields.choice("kind", WHO), fields.text("value", needed=True)
    asked = Asked(f"console issue {fields.raw('key')}"[:255], f"console issue {number}", [kind, value])
    if not fields.wrong:
        person = Identifier(kind, value)
        call = Call("coupons/issue", f"console:{visit.operator.name}")

        async def give(connection: Any) -> int:
            return (await giving.give(connection, pricing, number, person, visit.moment.now, way="issued")).id

        try:
            await newcomers.met(person, call, lambda: once(db, asked, int, give, lambda: visit.moment.now))
            return redirect(f"/console/coupons/{number}?said=given")
        except TemplateNotFound:
            raise
        except NotFound:
            fields.refuse("value", _("Nobody is known by this."))
        except WrongValue:
            fields.refuse("value", _("This cannot be one of its kind. Look at the number again."))
        except EnrolmentPending:
            fields.refuse("value", _("The person is being enrolled. Press again in a moment."))
        except Refused as error:
            fields.refuse("value", reason(visit, error))
    return await show(visit, db, number, wrong=fields.wrong, values=fields.values)


routes: list[Any] = [coupons, new, preview, create, edit, change, switch, coupon, issue]
