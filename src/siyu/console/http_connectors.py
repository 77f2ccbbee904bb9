"""Foreign shops that feed orders, for operators: add one, its address and secret, what came and what was refused."""

from __future__ import annotations

import secrets
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Response, get, post

from siyu.connectors.shop import actions, records
from siyu.connectors.shop.actions import IGNORED, KEPT, Wanted
from siyu.connectors.shop.dialect import Mapping, WrongMapping
from siyu.connectors.shop.http import NAME_PATTERN
from siyu.connectors.shop.records import Connector, Noted
from siyu.console.fields import Fields
from siyu.console.i18n import mark as _
from siyu.console.page import redirect
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import NotFound
from siyu.store.postgres import Database, driver_of

DIALECTS: Final = ("youzan", "shopify", "custom")
END_PATTERN: Final = r"[a-z][a-z0-9_]{0,49}\Z"
MAPPING_CHARS_MAX: Final = 50_000
WRONG_NAME: Final = _("Small letters, digits and - only; it begins with a letter and has at most 40.")
WRONG_END: Final = _("Small letters, digits and _ only; it begins with a letter.")
WRONG_JSON: Final = _("This is no mapping: %s")
TAKEN: Final = _("There is one of this name already.")
SHORT_SECRET: Final = _("A secret has 8 to 500 characters.")
SAID: Final = {"made": _("The shop was added."), "changed": _("Saved.")}
OUTCOMES: Final = {
    KEPT: _("Taken in"),
    IGNORED: _("Not about an order: left aside"),
    "WRONG_SIGNATURE": _("The signature does not fit: another secret, or somebody else sent it."),
    "UNREADABLE_DELIVERY": _("It does not hold what the mapping says."),
}
EXAMPLE: Final = """{
  "signature": "hmac_sha256_hex",
  "signature_header": "x-shop-signature",
  "topic": "type",
  "topics": {"created": "order.created", "paid": "order.paid", "refunded": "order.refunded"},
  "payload": "order",
  "order_id": ["id"],
  "refund_id": ["refund_id"],
  "at": ["time"],
  "buyer": {"phone": ["buyer.phone"], "user_id": ["buyer.id"]},
  "money": ["amount"],
  "refund_money": ["refund_amount"],
  "lines": ["items"]
}"""


class Shown(NamedTuple):
    """A connector as the list shows it."""

    one: Connector
    last: Noted | None
    """The last delivery that was taken in."""
    refused: list[Noted]


async def _page(
    visit: Visit, db: Database, *, fields: Fields | None = None, chosen: str = "", secret: str = "",
    said: str | None = None,
) -> Response[str]:  # fmt: skip
    async with db.driver() as connection:
        known = await records.connectors(connection)
        noted = await records.noted(connection)
    shown = [
        Shown(
            one, next((each for each in noted.get(one.name, ()) if each.code == KEPT), None),
            [each for each in noted.get(one.name, ()) if each.code != KEPT],
        )
        for one in known
    ]  # fmt: skip
    one = next((each for each in known if each.name == chosen), None)
    typed = {name: value for name, value in fields.values.items() if name != "secret"} if fields else {}
    return visit.page(
        "connectors.html", shops=shown, one=one, values=typed or _values(one),
        wrong=fields.wrong if fields else {}, said=said, secret=secret, secret_of=chosen if secret else "",
        outcome=lambda code: visit.face.text(OUTCOMES[code]) if code in OUTCOMES else code,
        status=422 if fields and fields.wrong else 200,
    )  # fmt: skip


def _values(one: Connector | None) -> dict[str, str]:
    if one is None:
        return {"dialect": "youzan", "end": "shop", "active": "1", "mapping": EXAMPLE}
    mapping = msgspec.json.format(msgspec.json.encode(one.mapping), indent=2).decode()
    return {"name": one.name, "dialect": one.dialect, "client_id": one.client_id, "end": one.end,
            "active": "1" if one.active else "", "mapping": mapping}  # fmt: skip


@get("/connectors", include_in_schema=False)
async def connectors(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """All connectors; `edit`: one of them in the form."""
    said = request.query_params.get("said", "")
    text = visit.face.text(SAID[said]) if said in SAID else None
    return await _page(visit, db, chosen=request.query_params.get("edit", ""), said=text)


def _wanted(fields: Fields, before: Connector | None, secret: str) -> Wanted:
    """The connector of a form, for when nothing in it is wrong."""
    dialect: Any = before.dialect if before else fields.choice("dialect", DIALECTS, "youzan")
    mapping: Mapping | None = None
    if dialect == "custom":
        try:
            mapping = msgspec.json.decode(fields.text("mapping", MAPPING_CHARS_MAX, needed=True) or "{}", type=Mapping)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            fields.refuse("mapping", WRONG_JSON, str(error))
    return Wanted(
        dialect=dialect, secret=secret, client_id=fields.text("client_id", needed=dialect == "youzan"),
        end=fields.matching("end", END_PATTERN, WRONG_END),
        mapping=mapping if mapping is not None or before is None else before.mapping, active=fields.flag("active"),
    )  # fmt: skip


@post("/connectors", include_in_schema=False, status_code=200)
async def store(request: AnyRequest, visit: Visit, db: Database, secret: bytes) -> Response[str]:
    """Add a connector, or change one. A secret that is made here is shown this once."""
    visit.operator.require("sources")
    fields = Fields(await request.form(), visit.face.text)
    name, there = fields.matching("name", NAME_PATTERN.removesuffix("$") + r"\Z", WRONG_NAME), fields.flag("there")
    async with db.driver() as connection:
        before = await records.find(connection, name) if name else None
    if there and before is None:
        raise NotFound("There is no such shop.")
    if before is not None and not there:
        fields.refuse("name", TAKEN)
    typed, made = fields.raw("secret"), ""
    own = (before.dialect if before else fields.raw("dialect")) == "custom"
    if own and not typed and (before is None or fields.flag("renew")):
        made = secrets.token_urlsafe(32)
    if (typed or (before is None and not own)) and not 8 <= len(typed) <= 500:
        fields.refuse("secret", SHORT_SECRET)
    wanted = _wanted(fields, before if there else None, typed or made or "kept as it is")
    if not fields.wrong:
        try:
            async with db.begin() as conn:
                keep = actions.change if there and not (typed or made) else actions.put
                await keep(await driver_of(conn), name, wanted, secret, visit.moment.now)
        except WrongMapping as error:
            fields.refuse("mapping", WRONG_JSON, visit.said(error))
    if fields.wrong:
        return await _page(visit, db, fields=fields, chosen=name if there else "")
    if made:
        return await _page(visit, db, chosen=name, secret=made)
    return redirect(f"/console/connectors?said={'changed' if there else 'made'}")


routes: list[Any] = [connectors, store]
