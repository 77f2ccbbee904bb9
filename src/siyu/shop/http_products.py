"""Routes of products, stock and carts."""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from litestar import get, post, put
from litestar.params import Parameter

from siyu.clock import Now
from siyu.idempotency import Key
from siyu.identity.person_id import person_uuid
from siyu.shop import product_records, products
from siyu.shop.desk import Orders
from siyu.shop.http import BY_API, Before, Limit, Short
from siyu.shop.product import Code, Mode, Name, Product, SkuNotFound, WrongProduct
from siyu.shop.products import Adjusted, Cart, Decided, Hold, HoldNotFound, InCart, Putting, Stock, StockAnswer
from siyu.shop.stock import StockView, Told, holder
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once, request_number

NUMBER_MAX = 2**52


class ProductPage(msgspec.Struct, frozen=True):
    """Products by id; pass `next_after` as `after` for the next."""

    items: list[Product]
    next_after: str | None


@get("/api/products", summary="Products", tags=["products"])
async def list_products(
    *, db: Database, text: Short = None, collection: Short = None, after: Short = None, limit: Limit = 50
) -> ProductPage:
    """By id; with `text` those whose name has it, or that have it as id or SKU."""
    async with db.driver() as connection:
        found = await product_records.products(
            connection, after=after or "", text=text, collection=collection, limit=limit
        )
    return ProductPage(found, found[-1].id if len(found) == limit else None)


@get("/api/products/{product_id:str}", summary="A product", tags=["products"])
async def show_product(product_id: str, db: Database) -> Product:
    """404 PRODUCT_NOT_FOUND."""
    async with db.driver() as connection:
        return await products.find_product(connection, product_id)


@put("/api/products/{product_id:str}", summary="Add or change a product", tags=["products"])
async def put_product(
    *, product_id: str, data: Product, db: Database, now: Now, idempotency_key: Key = None
) -> Product:
    """`version` is 1 for a new product and the next one for a change: 409 CONFLICT otherwise."""
    if data.id != product_id:
        raise WrongProduct("The product has another id than the address.", path="id")

    async def do(connection: Any) -> Product:
        return await products.put_product(connection, data, now())

    return await once(db, Asked(idempotency_key, f"products/{product_id}", data), Product, do, now)


class Collection(msgspec.Struct, frozen=True):
    """Products that belong together."""

    key: str
    label: str
    products: int


class CollectionName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people read."""

    label: Name


class Collections(msgspec.Struct, frozen=True):
    """All collections."""

    items: list[Collection]


@get("/api/collections", summary="Collections of products", tags=["products"])
async def list_collections(db: Database) -> Collections:
    """Those that have a name, and those that a product names."""
    async with db.driver() as connection:
        return Collections([Collection(*row) for row in await product_records.collections(connection)])


@put("/api/collections/{key:str}", summary="Name a collection", status_code=204, tags=["products"])
async def put_collection(key: str, data: CollectionName, db: Database, now: Now, idempotency_key: Key = None) -> None:
    """Products name the collections they are in."""
    try:
        named = msgspec.convert(key, Code)
    except msgspec.ValidationError as error:
        raise WrongProduct(f"This cannot name a collection: {error}", path="key") from error

    async def do(connection: Any) -> None:
        await product_records.put_collection(connection, named, data.label)

    await once(db, Asked(idempotency_key, f"collections/{named}", data), NoneType, do, now)


@get("/api/stock/{sku:str}", summary="Units of a SKU", tags=["products"])
async def show_stock(sku: str, stock_desk: Stock) -> StockView:
    """sold + reserved + available = stock. What was set aside for a time that is over is available."""
    return await stock_desk.there(_clean(sku))


class Move(msgspec.Struct, frozen=True):
    """A change of what there is."""

    transfer_id: int
    at: str
    kind: str
    reason: str
    cause: str | None
    by: str
    available: int
    reserved: int
    sold: int


class Moves(msgspec.Struct, frozen=True):
    """Changes, newest first; pass `next_before` as `before` for the next."""

    items: list[Move]
    next_before: int | None


@get("/api/stock/{sku:str}/history", summary="Changes of a SKU's stock", tags=["products"])
async def stock_history(sku: str, db: Database, limit: Limit = 50, before: Before = None) -> Moves:
    """Newest first, each with its reason and cause."""
    async with db.driver() as connection:
        rows = await product_records.stock_history(connection, holder(_clean(sku)), before or NUMBER_MAX, limit)
    items = [
        Move(one.transfer, one.at.isoformat(), one.kind, one.reason, one.cause, one.by, one.available, one.reserved,
             one.sold)
        for one in rows
    ]  # fmt: skip
    return Moves(items, items[-1].transfer_id if len(items) == limit else None)


@post("/api/stock/{sku:str}/adjust", summary="Correct stock, or book a delivery", status_code=200, tags=["products"])
async def adjust_stock(
    *, sku: str, data: Adjusted, db: Database, stock_desk: Stock, idempotency_key: Key = None
) -> StockAnswer:
    """With a reason. 409 OUT_OF_STOCK below what is there; what is reserved or sold is not corrected away."""
    if data.qty == 0 or (data.came_in and data.qty < 0):
        raise WrongProduct("A delivery is more than 0, a correction not 0.", path="qty")
    await _known(db, sku)
    return await stock_desk.ask(sku, data, idempotency_key, BY_API)


@post("/api/stock/{sku:str}/hold", summary="Set units aside", status_code=200, tags=["products"])
async def hold_stock(
    *, sku: str, data: Hold, db: Database, stock_desk: Stock, idempotency_key: Key = None
) -> StockAnswer:
    """For `ttl_s` seconds, until they are committed or released. 409 OUT_OF_STOCK."""
    await _known(db, sku)
    return await stock_desk.ask(sku, data, idempotency_key, BY_API)


@post("/api/stock/holds/{hold_id:int}/commit", summary="Units set aside are sold", status_code=200, tags=["products"])
async def commit_hold(hold_id: int, stock_desk: Stock, idempotency_key: Key = None) -> StockAnswer:
    """409 ALREADY_DECIDED, also when their time was over."""
    return await stock_desk.ask("", Decided(_hold(hold_id), True), idempotency_key, BY_API)


@post("/api/stock/holds/{hold_id:int}/release", summary="Units set aside come back", status_code=200, tags=["products"])
async def release_hold(hold_id: int, stock_desk: Stock, idempotency_key: Key = None) -> StockAnswer:
    """409 ALREADY_DECIDED."""
    return await stock_desk.ask("", Decided(_hold(hold_id), False), idempotency_key, BY_API)


class StockList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stock list as CSV text with the columns `sku` and `qty`."""

    csv: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000_000)]
    mode: Mode = "add"
    """`add`: units that came in; `count`: the units that are there."""
    reason: Annotated[str, msgspec.Meta(max_length=500, pattern=r"^[^\x00]*$")] = ""


class Imported(msgspec.Struct, frozen=True):
    """Rows that changed something."""

    changed: int


@post("/api/stock/import", summary="Book a stock list", status_code=200, tags=["products"])
async def import_stock(
    *, data: StockList, db: Database, orders: Orders, now: Now, idempotency_key: Key = None
) -> Imported:
    """All of it or nothing. 422 WRONG_PRODUCT names the line, 404 SKU_NOT_FOUND the SKU."""
    number = request_number("stock/import", idempotency_key) if idempotency_key else uuid4()

    async def do(connection: Any) -> Imported:
        told = Told(number, now(), BY_API, data.reason or "stock list")
        return Imported(await products.import_stock(connection, orders.tools.ledger, data.csv, data.mode, told))

    return await once(db, Asked(idempotency_key, "stock/import", data), Imported, do, now)


@get("/api/persons/{person_id:str}/cart", summary="A person's cart", tags=["products"])
async def show_cart(
    *,
    person_id: str,
    db: Database,
    now: Now,
    secret: bytes,
    end: Annotated[str, Parameter(pattern=r"^[a-z][a-z0-9_]{0,49}$")] = "web",
) -> Cart:
    """One cart over all their identifiers, with today's prices at an end."""
    async with db.driver() as connection:
        return await products.show_cart(connection, str(person_uuid(person_id)), end, secret, now())


@put("/api/persons/{person_id:str}/cart/{sku:str}", summary="Put into a cart, or take out", tags=["products"])
async def put_in_cart(
    *, person_id: str, sku: str, data: InCart, db: Database, orders: Orders, now: Now, idempotency_key: Key = None
) -> Cart:
    """So many units shall lie in it, 0: none. Says `cart.added` or `cart.removed`. 404 SKU_NOT_FOUND."""
    number = request_number(f"cart/{person_id}/{sku}", idempotency_key) if idempotency_key else uuid4()
    putting = Putting(str(person_uuid(person_id)), _clean(sku), data, number)

    async def do(connection: Any) -> Cart:
        return await products.put_in_cart(connection, putting, orders.tools.secret, now())

    return await once(db, Asked(idempotency_key, f"cart/{person_id}/{sku}", data), Cart, do, now)


async def _known(db: Database, sku: str) -> None:
    async with db.driver() as connection:
        if _clean(sku) not in await product_records.offers(connection, [sku]):
            raise SkuNotFound(f"There is no SKU {sku}.")


def _clean(sku: str) -> str:
    if "\x00" in sku or len(sku) > 100:
        raise SkuNotFound("There is no such SKU.")
    return sku


def _hold(number: int) -> int:
    if not 0 < number < NUMBER_MAX:
        raise HoldNotFound(f"Nothing was set aside under {number}.")
    return number


routes: list[Any] = [
    list_products,
    show_product,
    put_product,
    list_collections,
    put_collection,
    show_stock,
    stock_history,
    adjust_stock,
    hold_stock,
    commit_hold,
    release_hold,
    import_stock,
    show_cart,
    put_in_cart,
]
