"""The counter (核销台): shop staff scan or type a code, see whose and what it is, and use it up, or read why not."""

from __future__ import annotations

import secrets
from typing import Any, Final
from uuid import UUID

from litestar import Response, get, post

from siyu.console.i18n import mark as _
from siyu.console.page import query, redirect
from siyu.console.people import display_name
from siyu.console.refusals import REASONS, reason
from siyu.console.visit import AnyRequest, Visit
from siyu.coupons import read, redeeming
from siyu.coupons.lock_records import Lock
from siyu.coupons.offers import UNUSABLE
from siyu.coupons.pricing import Pricing
from siyu.coupons.request import CouponSeen, Redeem
from siyu.errors import NotFound, PersonNotFound, Refused
from siyu.loyalty.request import Identifier, PersonRef
from siyu.profile import actions as profile
from siyu.profile.portrait import Portrait
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

CODE_CHARS_MAX: Final = 128
KINDS_TRIED: Final = ("phone", "member_card", "user_id")
"""What a text that is no code may name a person by."""
COUPONS_SHOWN: Final = 50
STATES: Final = {
    "given": (_("Good"), "jade"),
    "locked": (_("Set aside"), "gold"),
    "redeemed": (_("Used"), "grey"),
    "expired": (_("Over"), "grey"),
    "revoked": (_("Taken back"), "grey"),
    "pooled": (_("Nobody's yet"), "sky"),
}
"""State → what it is called, its colour."""
USED: Final = _("The coupon was used. Give the customer what it promises.")


async def _found(
    visit: Visit, db: Database, pricing: Pricing, text: str
) -> tuple[CouponSeen | None, Portrait | None, list[CouponSeen]]:
    """The coupon with a code, or the person whom the text names with what they can use. Raises NotFound."""
    now = visit.moment.now
    async with db.driver() as connection:
        try:
            coupon = await read.by_code(connection, pricing, text, now)
        except NotFound:
            person, coupons = await _person(connection, pricing, text, visit)
            if person is None:
                raise
            return None, await profile.show(db, person, visit.moment), coupons
    if coupon.person_id is None:
        return coupon, None, []
    try:
        return coupon, await profile.show(db, UUID(coupon.person_id), visit.moment), []
    except PersonNotFound:
        return coupon, None, []


async def _person(connection: Any, pricing: Pricing, text: str, visit: Visit) -> tuple[UUID | None, list[CouponSeen]]:
    for kind in KINDS_TRIED:
        try:
            found = await read.coupons_of(connection, pricing, Identifier(kind, text), visit.moment.now, COUPONS_SHOWN)
            owner = await read.person_of(connection, pricing, Identifier(kind, text), visit.moment.now)
        except PersonNotFound:
            continue
        return owner, [one for one in found if one.state in ("given", "locked")]
    return None, []


@get("/counter", include_in_schema=False)
async def counter(request: AnyRequest, visit: Visit, db: Database, pricing: Pricing) -> Response[str]:
    """The field for the code; below it what was found."""
    text = request.query_params.get("code", "").strip()[:CODE_CHARS_MAX]
    said = visit.face.text(USED) if "used" in request.query_params else None
    return await _page(visit, db, pricing, text, said=said)


async def _page(
    visit: Visit,
    db: Database,
    pricing: Pricing,
    text: str,
    *,
    said: str | None = None,
    why: str | None = None,
    status: int = 200,
) -> Response[str]:
    coupon: CouponSeen | None = None
    portrait: Portrait | None = None
    coupons: list[CouponSeen] = []
    if text:
        try:
            coupon, portrait, coupons = await _found(visit, db, pricing, text)
        except NotFound as error:
            why = reason(visit, error)
    if coupon is not None and why is None and said is None and coupon.state in UNUSABLE:
        why = visit.face.text(REASONS[UNUSABLE[coupon.state]])
    name = display_name(portrait, visit.locale) if portrait is not None else None
    return visit.page(
        "counter.html",
        code=text,
        coupon=coupon,
        coupons=coupons,
        portrait=portrait,
        name=name,
        why=why,
        said=said,
        key=secrets.token_urlsafe(18),
        state=lambda one: (visit.face.text(STATES[one.state][0]), STATES[one.state][1]),
        status=status,
    )


@post("/counter", include_in_schema=False, status_code=303)
async def verify(request: AnyRequest, visit: Visit, db: Database, pricing: Pricing) -> Response[str]:
    """Use the coupon; clicked twice it is used once."""
    visit.operator.require("persons")
    form = await request.form()
    code, phone = str(form.get("code", "")).strip()[:CODE_CHARS_MAX], str(form.get("phone", "")).strip()[:64]
    person: PersonRef | None = Identifier("phone", phone) if phone else None
    wanted = Redeem(code=code or "-", person=person)
    asked = Asked(f"counter {form.get('key', '')}"[:255], "counter", [code, phone])

    async def use(connection: Any) -> str:
        done: Lock = await redeeming.redeem(connection, pricing, wanted, visit.moment.now)
        return str(done.id)

    try:
        await once(db, asked, str, use, lambda: visit.moment.now)
    except (Refused, NotFound) as error:
        return await _page(visit, db, pricing, code, why=reason(visit, error), status=error.status)
    return redirect("/console/counter" + query(code=code, used=1))


routes: list[Any] = [counter, verify]
