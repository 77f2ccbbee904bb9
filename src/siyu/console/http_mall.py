"""The points mall: items with what is left of them, and who took what."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from litestar import Response, get, post
from msgspec import ValidationError, convert

from siyu.collect.catalogue import fen
from siyu.console.i18n import mark as _
from siyu.console.page import redirect
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import SiyuError
from siyu.rules.read import read_sentence
from siyu.rules.write import rule_json
from siyu.segments.words import WORDS
from siyu.shop import Orders, mall_records, order_records, redeeming
from siyu.shop.mall import Item, WrongItem
from siyu.shop.stock import Told
from siyu.store.postgres import Database, driver_of

PAGE_ITEMS: Final = 100
NEWEST: Final = 20
GIVES: Final = {"coupon": _("Coupon"), "product": _("Product"), "code": _("Code")}
STATES: Final = {"held": _("waits for payment"), "done": _("given"), "cancelled": _("taken back")}
SAID: Final = {
    "saved": _("The item is in the mall."),
    "ended": _("The item is not given any more."),
    "stock": _("What is left was changed."),
}


@get("/mall", include_in_schema=False)
async def mall(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Items, the newest redemptions, and the form of a new item."""
    return await _page(request, visit, db)


async def _page(request: AnyRequest, visit: Visit, db: Database, problem: SiyuError | None = None) -> Response[str]:
    async with db.driver() as connection:
        items = await mall_records.items(connection, "", PAGE_ITEMS)
        left = await redeeming.left_of(connection, items)
        taken = await mall_records.counts(connection, [one.id for one in items])
        newest = await mall_records.redemptions(connection, anchors=None, item=None, limit=NEWEST)
        uids = await order_records.uids_of(connection, [one.anchor for one in newest])
    said = request.query_params.get("said", "")
    return visit.page(
        "mall.html",
        status=200 if problem is None else problem.status,
        items=items,
        left=left,
        taken=taken,
        newest=newest,
        uids=uids,
        labels={one.id: one.label for one in items},
        gives_of=lambda kind: visit.face.text(GIVES[kind]),
        state_of=lambda state: visit.face.text(STATES[state]),
        gives=list(GIVES),
        problem=problem,
        said=visit.face.text(SAID[said]) if said in SAID else None,
    )


@post("/mall", include_in_schema=False, status_code=303)
async def create(request: AnyRequest, visit: Visit, db: Database, orders: Orders) -> Response[str]:
    """Add an item, and how many there are."""
    visit.operator.require("persons")
    form = {name: str(value).strip() for name, value in (await request.form()).items()}
    units = form.get("units", "")
    try:
        fields: dict[str, Any] = {name: form.get(name, "") for name in ("id", "label", "gives")}
        fields |= {"points": _whole(form.get("points", "")), "limited": bool(units)}
        if money := form.get("money", ""):
            fields["money_fen"] = fen(money, unit_fen=100)
        if given := form.get("what", ""):
            fields |= {"coupon": given} if form.get("gives") == "coupon" else {"sku": given}
        if limit := form.get("per_person", ""):
            fields["per_person"] = _whole(limit)
        if sentence := form.get("audience", ""):
            fields["audience"] = rule_json(
                read_sentence(sentence, WORDS, "zh" if visit.locale.startswith("zh") else "en")
            )
        now = visit.moment.now
        async with db.begin() as conn:
            connection = await driver_of(conn)
            item = await redeeming.put_item(connection, _item(fields), now)
            if units:
                told = Told(uuid4(), now, visit.operator.name, visit.face.text(_("Opening stock")))
                await redeeming.add_units(connection, orders.tools, item.id, _whole(units), told)
    except SiyuError as problem:
        if problem.status >= 500:
            raise
        return await _page(request, visit, db, problem)
    return redirect("/console/mall?said=saved")


def _item(fields: dict[str, Any]) -> Item:
    try:
        return convert(fields, Item)
    except ValidationError as error:
        raise WrongItem(f"This item cannot be stored: {error}") from error


def _whole(text: str) -> int:
    if not text.isdecimal() or not 0 < len(text) < 10:
        raise WrongItem(f"“{text[:20]}” is no whole number.")
    return int(text)


@post("/mall/{number:str}/stock", include_in_schema=False, status_code=303)
async def add_units(number: str, request: AnyRequest, visit: Visit, db: Database, orders: Orders) -> Response[str]:
    """More of a limited item, or codes to hand out, one a line."""
    visit.operator.require("persons")
    form = await request.form()
    codes = [line.strip()[:200] for line in str(form.get("codes", "")).splitlines() if line.strip()]
    try:
        async with db.begin() as conn:
            connection = await driver_of(conn)
            if codes:
                await redeeming.find_item(connection, number)
                await mall_records.add_codes(connection, number, codes)
            if units := str(form.get("units", "")).strip():
                told = Told(uuid4(), visit.moment.now, visit.operator.name, visit.face.text(_("by hand")))
                await redeeming.add_units(connection, orders.tools, number, _whole(units), told)
    except SiyuError as problem:
        if problem.status >= 500:
            raise
        return await _page(request, visit, db, problem)
    return redirect("/console/mall?said=stock")


@post("/mall/{number:str}/end", include_in_schema=False, status_code=303)
async def end(number: str, visit: Visit, db: Database) -> Response[str]:
    """Nobody takes it any more."""
    visit.operator.require("persons")
    async with db.begin() as conn:
        connection = await driver_of(conn)
        item = await redeeming.find_item(connection, number)
        fields = {name: getattr(item, name) for name in Item.__struct_fields__}
        await redeeming.put_item(
            connection, Item(**(fields | {"active": False, "version": item.version + 1})), visit.moment.now
        )
    return redirect("/console/mall?said=ended")


routes: list[Any] = [mall, create, add_units, end]
