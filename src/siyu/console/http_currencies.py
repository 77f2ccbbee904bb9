"""Currencies for operators: what is counted beside points, in which words, and when it ends."""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, get, post

from siyu.console.fields import Fields
from siyu.console.http_earn import ROUNDINGS, ends_in
from siyu.console.i18n import mark as _
from siyu.console.page import redirect
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import MalformedRequest, Refused
from siyu.ledger import Rounding, currencies
from siyu.ledger.currency import CODE_PATTERN, DEFAULTS
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

SAID: Final = {
    "made": _("The currency can be used from now on."),
    "changed": _("Saved. What is kept already keeps its end."),
}
WRONG_CODE: Final = _("Small letters, digits and _ only; it begins with a letter.")
FIXED: Final = _("Whether it is kept in lots never changes. Make another currency.")
NEEDS_LOTS: Final = _("Only what is kept in lots can end.")
FULL: Final = _("There are as many currencies as there may be.")


async def _page(visit: Visit, db: Database, fields: Fields | None, said: str | None, chosen: str) -> Response[str]:
    async with db.driver() as connection:
        known = await currencies.every(connection)
    one = next((each for each in known if each.code == chosen), None)
    values = {"rounding": "month", "lots": "1", "keep_months": "12"}
    if one is not None:
        values = {"code": one.code, "unit_zh": one.unit_zh, "unit_en": one.unit_en, "rounding": one.rounding.value,
                  "lots": "1" if one.lots else "", "keep_months": str(one.keep_months or "")}  # fmt: skip
    return visit.page(
        "currencies.html", currencies=known, one=one, ends={each.code: ends_in(each, visit) for each in known},
        values=fields.values if fields else values, wrong=fields.wrong if fields else {}, said=said,
        roundings=[(key, visit.face.text(words)) for key, words in ROUNDINGS.items()],
        shipped={each.code for each in DEFAULTS}, status=422 if fields else 200,
    )  # fmt: skip


@get("/currencies", include_in_schema=False)
async def listing(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """All currencies; `edit`: one of them in the form."""
    said = request.query_params.get("said", "")
    text = visit.face.text(SAID[said]) if said in SAID else None
    return await _page(visit, db, None, text, request.query_params.get("edit", ""))


@post("/currencies", include_in_schema=False, status_code=303)
async def store(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Add a currency, or change one."""
    visit.operator.require("persons")
    fields = Fields(await request.form(), visit.face.text)
    code = fields.matching("code", CODE_PATTERN.removesuffix("$") + r"\Z", WRONG_CODE)
    there, lots = fields.flag("there"), fields.flag("lots")
    keep = fields.whole("keep_months", 1, 1_200)
    if keep is not None and not lots:
        fields.refuse("keep_months", NEEDS_LOTS)
    rounding = fields.choice("rounding", list(ROUNDINGS), "exact")
    wanted = currencies.Wanted(
        code, fields.text("unit_zh", 50, needed=True), fields.text("unit_en", 50, needed=True), lots, keep
    )
    if not fields.wrong:
        wanted = wanted._replace(rounding=Rounding(rounding))

        async def put(connection: Any) -> str:
            known = {one.code for one in await currencies.every(connection)}
            if code in known and not there:
                raise Refused("TAKEN", "There is one already.")
            return (await currencies.put(connection, wanted)).code

        try:
            await once(db, Asked(None, "console currency", code), str, put, lambda: visit.moment.now)
            return redirect(f"/console/currencies?said={'changed' if there else 'made'}")
        except Refused as error:
            taken = _("There is one of this number already.")
            said = {"TAKEN": ("code", taken), "CURRENCY_IMMUTABLE": ("lots", FIXED)}.get(error.code, ("", FULL))
            fields.refuse(*said)
        except MalformedRequest as error:
            fields.refuse("", visit.said(error))
    return await _page(visit, db, fields, None, code if there else "")


routes: list[Any] = [listing, store]
