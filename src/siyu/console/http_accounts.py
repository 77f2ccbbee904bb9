"""What a person has: points and every other currency, their lots, and the statement."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Response, get

from siyu.console.causes import leads
from siyu.console.http_counter import STATES
from siyu.console.i18n import mark as _
from siyu.console.page import SECURITY_HEADERS
from siyu.console.people import display_name
from siyu.console.visit import AnyRequest, Visit
from siyu.coupons.pricing import Pricing
from siyu.coupons.read import coupons_of
from siyu.identity.person_id import person_uuid
from siyu.loyalty import Points, read
from siyu.loyalty.holdings import statement_csv
from siyu.loyalty.request import POINTS
from siyu.profile import actions as profile
from siyu.store.postgres import Database

PAGE_LINES: Final = 50
PAGE_COUPONS: Final = 50
KINDS: Final = {
    "earn": _("Earned"),
    "spend": _("Spent"),
    "lock": _("Locked"),
    "post": _("Posted"),
    "void": _("Voided"),
    "expire": _("Ended"),
    "refund": _("Given back"),
    "take_back": _("Reclaimed"),
    "transfer": _("Given to somebody"),
    "adjust": _("Corrected by hand"),
}
"""What a transfer is called."""
EVENTS: Final = {
    "locked": "coupon.locked",
    "redeemed": "coupon.redeemed",
    "expired": "coupon.expired",
    "revoked": "coupon.revoked",
}
"""State of a coupon → the event that brought it."""


@get("/persons/{person_id:str}/accounts", include_in_schema=False)
async def accounts(
    *, request: AnyRequest, person_id: str, visit: Visit, db: Database, desk: Points, pricing: Pricing
) -> Response[str]:
    """Accounts, coupons, lots and a page of the statement."""
    number, given = person_uuid(person_id), request.query_params
    before = given.get("before", "")
    one = await profile.show(db, number, visit.moment)
    held = await read.accounts(db, desk.ledger, number, lambda: visit.moment.now, None)
    codes = [account.currency for account in held.accounts]
    currency = given.get("currency") or (POINTS if POINTS in codes or not codes else codes[0])
    place = int(before) if before.isdecimal() and len(before) < 18 else None
    page = await read.statement_page(db, number, currency, visit.moment.now, before=place, limit=PAGE_LINES)
    async with db.driver() as connection:
        coupons = await coupons_of(connection, pricing, person_id, visit.moment.now, PAGE_COUPONS)
    sealed, public_key = await read.sealed(db, [line.transfer_id for line in page.items])
    return visit.page(
        "accounts.html",
        sealed=sealed,
        public_key=public_key,
        one=one,
        name=display_name(one, visit.locale),
        accounts=held.accounts,
        currency=currency,
        lines=page.items,
        next_before=page.next_before,
        coupons=coupons,
        state=lambda one: (visit.face.text(STATES[one.state][0]), STATES[one.state][1]),
        events_of=EVENTS,
        leads=lambda line: leads(line.cause, line.by, person_id),
        kind=lambda kind: visit.face.text(KINDS[kind]) if kind in KINDS else kind,
    )


@get("/persons/{person_id:str}/statement.csv", include_in_schema=False)
async def statement_file(request: AnyRequest, person_id: str, visit: Visit, db: Database) -> Response[str]:
    """The whole statement of a currency."""
    currency = request.query_params.get("currency") or POINTS
    page = await read.statement_page(
        db, person_uuid(person_id), currency, visit.moment.now, before=None, limit=read.EXPORT_MAX
    )
    headers = SECURITY_HEADERS | {"Content-Disposition": f'attachment; filename="statement-{page.person_id}.csv"'}
    return Response(statement_csv(page.items), media_type="text/csv; charset=utf-8", headers=headers)


@get("/persons/{person_id:str}/proofs/{transfer_id:int}", include_in_schema=False)
async def proof_file(person_id: str, transfer_id: int, visit: Visit, db: Database) -> Response[bytes]:
    """The proof of a transfer, to give to the person."""
    proof = await read.proof(db, person_uuid(person_id), transfer_id, visit.moment.now)
    headers = SECURITY_HEADERS | {"Content-Disposition": f'attachment; filename="proof-{transfer_id}.json"'}
    return Response(msgspec.json.encode(proof), media_type="application/json", headers=headers)


routes: list[Any] = [accounts, statement_file, proof_file]
