"""Products: the list with stock, one product with its SKUs, its stock and every change of it."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from litestar import Response, get, post
from msgspec import ValidationError, convert

from siyu.collect.catalogue import fen
from siyu.console.i18n import mark as _
from siyu.console.page import redirect
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import Conflict, SiyuError
from siyu.shop import Orders, product_records, products
from siyu.shop.product import Product, Sku, WrongProduct
from siyu.shop.products import Adjusted, Stock
from siyu.shop.stock import Told, holder
from siyu.store.postgres import Database, driver_of

PAGE_PRODUCTS: Final = 50
HISTORY: Final = 30
MOVES: Final = {
    "receive": _("Came in"),
    "adjust": _("Corrected by hand"),
    "reserve": _("Reserved"),
    "sell": _("Sold"),
    "release": _("Freed"),
    "expire": _("Freed by time"),
    "return": _("Came back"),
}
SAID: Final = {
    "made": _("The product is on sale."),
    "changed": _("The product was changed."),
    "stock": _("The stock was booked."),
    "imported": _("The stock list was booked."),
}


@get("/products", include_in_schema=False)
async def product_list(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Products with prices and what is there."""
    return await _list(request, visit, db)


async def _list(request: AnyRequest, visit: Visit, db: Database, problem: SiyuError | None = None) -> Response[str]:
    given = request.query_params
    text = given.get("q", "").strip()[:100].replace("\x00", "")
    async with db.driver() as connection:
        found = await product_records.products(
            connection, after=given.get("after", "").replace("\x00", ""), text=text or None, limit=PAGE_PRODUCTS
        )
        there = await products.stock_of(connection, [sku.sku for one in found for sku in one.skus])
    said = given.get("said", "")
    return visit.page(
        "products.html",
        status=200 if problem is None else problem.status,
        products=found,
        there=there,
        text=text,
        problem=problem,
        said=visit.face.text(SAID[said]) if said in SAID else None,
        next_after=found[-1].id if len(found) == PAGE_PRODUCTS else None,
    )


def _product(form: Any, number: str, version: int) -> Product:
    """A product as a form has it. Raises WrongProduct."""
    columns = [[str(value).strip() for value in form.getall(name, [])] for name in ("sku", "label", "price")]
    tracked, active = set(form.getall("tracked", [])), set(form.getall("active", []))
    skus = []
    for place, (sku, label, price) in enumerate(zip(*columns, strict=True)):
        if not sku:
            continue
        if (price_fen := fen(price, unit_fen=100)) is None:
            raise WrongProduct("The price is no amount of money.", path="price")
        skus.append(
            {"sku": sku, "label": label, "price_fen": price_fen, "tracked": str(place) in tracked,
             "active": str(place) in active}
        )  # fmt: skip
    fields = {
        "id": number,
        "name": str(form.get("name", "")).strip(),
        "description": str(form.get("description", "")).strip(),
        "category": str(form.get("category", "")).strip(),
        "collections": str(form.get("collections", "")).replace("，", " ").replace(",", " ").split(),
        "on_sale": bool(form.get("on_sale")),
        "version": version,
        "skus": skus,
    }
    try:
        return convert(fields, Product)
    except ValidationError as error:
        raise WrongProduct(f"This product cannot be stored: {error}") from error


@post("/products", include_in_schema=False, status_code=303)
async def create(request: AnyRequest, visit: Visit, db: Database, orders: Orders) -> Response[str]:
    """Add a product with one SKU, and what is there of it."""
    visit.operator.require("persons")
    form = await request.form()
    try:
        made = _product(form, str(form.get("id", "")).strip(), 1)
        count = str(form.get("units", "")).strip()
        csv = f"sku,qty\n{made.skus[0].sku},{count}\n" if count and made.skus[0].tracked else ""
        async with db.begin() as conn:
            connection = await driver_of(conn)
            await products.put_product(connection, made, visit.moment.now)
            if csv:
                told = Told(uuid4(), visit.moment.now, visit.operator.name, visit.face.text(_("Opening stock")))
                await products.import_stock(connection, orders.tools.ledger, csv, "add", told)
    except (Conflict, WrongProduct) as problem:
        return await _list(request, visit, db, problem)
    return redirect(f"/console/products/{made.id}?said=made")


@post("/products/stock", include_in_schema=False, status_code=303)
async def import_list(request: AnyRequest, visit: Visit, db: Database, orders: Orders) -> Response[str]:
    """Book a stock list: lines of `sku,qty`."""
    visit.operator.require("persons")
    form = await request.form()
    text = str(form.get("csv", "")).strip()
    csv = text if text.lower().startswith("sku,") else f"sku,qty\n{text}"
    told = Told(uuid4(), visit.moment.now, visit.operator.name, visit.face.text(_("Stock list")))
    try:
        async with db.begin() as conn:
            mode: Any = "count" if form.get("count") else "add"
            await products.import_stock(await driver_of(conn), orders.tools.ledger, csv, mode, told)
    except SiyuError as problem:
        if problem.status >= 500:
            raise
        return await _list(request, visit, db, problem)
    return redirect("/console/products?said=imported")


@get("/products/{number:str}", include_in_schema=False)
async def product(number: str, request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """One product: change it, its stock, and why that changed."""
    return await _page(number, request, visit, db)


async def _page(
    number: str, request: AnyRequest, visit: Visit, db: Database, problem: SiyuError | None = None
) -> Response[str]:
    async with db.driver() as connection:
        found = await products.find_product(connection, number)
        there = await products.stock_of(connection, [sku.sku for sku in found.skus])
        chosen = request.query_params.get("sku", "")
        sku: Sku = next((one for one in found.skus if one.sku == chosen), found.skus[0])
        moves = await product_records.stock_history(connection, holder(sku.sku), 2**52, HISTORY)
    said = request.query_params.get("said", "")
    return visit.page(
        "product.html",
        status=200 if problem is None else problem.status,
        product=found,
        there=there,
        chosen=sku,
        moves=moves,
        move_of=lambda kind: visit.face.text(MOVES[kind]) if kind in MOVES else kind,
        problem=problem,
        said=visit.face.text(SAID[said]) if said in SAID else None,
    )


@post("/products/{number:str}", include_in_schema=False, status_code=303)
async def change(number: str, request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """The next version of a product."""
    visit.operator.require("persons")
    form = await request.form()
    try:
        version = str(form.get("version", ""))
        wanted = _product(form, number, int(version) + 1 if version.isdecimal() and len(version) < 9 else 0)
        async with db.begin() as conn:
            connection = await driver_of(conn)
            before = await products.find_product(connection, number)
            prices = {one.sku: one.prices for one in before.skus}
            kept = tuple(convert({**_plain(one), "prices": prices.get(one.sku, {})}, Sku) for one in wanted.skus)
            fields = {name: getattr(wanted, name) for name in Product.__struct_fields__} | {"skus": kept}
            await products.put_product(connection, Product(**fields), visit.moment.now)
    except (Conflict, WrongProduct) as problem:
        return await _page(number, request, visit, db, problem)
    return redirect(f"/console/products/{number}?said=changed")


def _plain(sku: Sku) -> dict[str, Any]:
    return {name: getattr(sku, name) for name in Sku.__struct_fields__}


@post("/products/{number:str}/stock", include_in_schema=False, status_code=303)
async def book(number: str, request: AnyRequest, visit: Visit, db: Database, stock_desk: Stock) -> Response[str]:
    """A delivery or a correction of one SKU, with its reason."""
    visit.operator.require("persons")
    form = await request.form()
    sku, quantity = str(form.get("sku", "")), str(form.get("qty", "")).strip().removeprefix("+")
    try:
        asked: dict[str, Any] = {"qty": int(quantity) if quantity.lstrip("-").isdecimal() and len(quantity) < 9 else 0,
                 "reason": str(form.get("reason", "")).strip(), "came_in": bool(form.get("came_in"))}  # fmt: skip
        if not asked["qty"]:
            raise WrongProduct("The quantity is a whole number, not 0.", path="qty")
        if asked["came_in"] and asked["qty"] < 0:
            raise WrongProduct("A delivery is more than 0.", path="qty")
        await stock_desk.ask(sku, convert(asked, Adjusted), None, visit.operator.name)
    except (Conflict, WrongProduct) as problem:
        return await _page(number, request, visit, db, problem)
    except ValidationError as error:
        return await _page(number, request, visit, db, WrongProduct(f"It cannot be booked: {error}"))
    return redirect(f"/console/products/{number}?sku={sku}&said=stock")


routes: list[Any] = [product_list, create, import_list, product, change, book]
