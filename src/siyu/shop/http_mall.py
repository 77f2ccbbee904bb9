"""Routes of the points mall."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import uuid4

import msgspec
from litestar import get, post, put

from siyu.clock import Now
from siyu.coupons.owner import find_owner
from siyu.idempotency import Key
from siyu.identity.person_id import person_uuid
from siyu.shop import mall_records, redeeming
from siyu.shop.desk import Orders
from siyu.shop.http import BY_API, Limit, Short
from siyu.shop.mall import CODES_MAX, Item, Redeem, RedemptionView, WrongItem
from siyu.shop.redeeming import Taking
from siyu.shop.stock import Told
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once, request_number


class ItemView(msgspec.Struct, frozen=True):
    """An item with what became of it."""

    item: Item
    left: int | None
    """null: not counted."""
    taken: int


class ItemPage(msgspec.Struct, frozen=True):
    """Items by id; pass `next_after` as `after` for the next."""

    items: list[ItemView]
    next_after: str | None


@get("/api/mall/items", summary="What is to be had for points", tags=["mall"])
async def list_items(db: Database, after: Short = None, limit: Limit = 50) -> ItemPage:
    """By id, those that have ended too."""
    async with db.driver() as connection:
        items = await mall_records.items(connection, after or "", limit)
        left = await redeeming.left_of(connection, items)
        counts = await mall_records.counts(connection, [one.id for one in items])
    views = [ItemView(one, left[one.id], counts.get(one.id, 0)) for one in items]
    return ItemPage(views, items[-1].id if len(items) == limit else None)


@put("/api/mall/items/{item_id:str}", summary="Add or change an item", tags=["mall"])
async def put_item(*, item_id: str, data: Item, db: Database, now: Now, idempotency_key: Key = None) -> Item:
    """`version` is 1 for a new item and the next one for a change: 409 CONFLICT otherwise."""
    if data.id != item_id:
        raise WrongItem("The item has another id than the address.", path="id")

    async def do(connection: Any) -> Item:
        return await redeeming.put_item(connection, data, now())

    return await once(db, Asked(idempotency_key, f"mall/{item_id}", data), Item, do, now)


class MoreUnits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many more (or fewer) of a limited item can be had."""

    qty: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class Left(msgspec.Struct, frozen=True):
    """How many are left."""

    left: int


@post("/api/mall/items/{item_id:str}/stock", summary="More or fewer of a limited item", status_code=200, tags=["mall"])
async def add_units(
    *, item_id: str, data: MoreUnits, db: Database, orders: Orders, now: Now, idempotency_key: Key = None
) -> Left:
    """With a reason. 409 OUT_OF_STOCK below what is left."""
    if data.qty == 0:
        raise WrongItem("0 changes nothing.", path="qty")
    call = f"mall/{item_id}/stock"
    number = request_number(call, idempotency_key) if idempotency_key else uuid4()

    async def do(connection: Any) -> Left:
        told = Told(number, now(), BY_API, data.reason)
        return Left(await redeeming.add_units(connection, orders.tools, item_id, data.qty, told))

    return await once(db, Asked(idempotency_key, call, data), Left, do, now)


class Codes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Virtual codes to hand out."""

    codes: Annotated[
        list[Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]],
        msgspec.Meta(min_length=1, max_length=CODES_MAX),
    ]


class Added(msgspec.Struct, frozen=True):
    """Codes that were not there before."""

    added: int


@post("/api/mall/items/{item_id:str}/codes", summary="Codes to hand out", status_code=200, tags=["mall"])
async def add_codes(*, item_id: str, data: Codes, db: Database, now: Now, idempotency_key: Key = None) -> Added:
    """Of an item that gives a code; each is given once."""

    async def do(connection: Any) -> Added:
        if (await redeeming.find_item(connection, item_id)).gives != "code":
            raise WrongItem("This item gives no codes.", path="codes")
        return Added(await mall_records.add_codes(connection, item_id, data.codes))

    return await once(db, Asked(idempotency_key, f"mall/{item_id}/codes", data), Added, do, now)


@post("/api/mall/items/{item_id:str}/redeem", summary="Take an item for points", status_code=200, tags=["mall"])
async def redeem(
    *, item_id: str, data: Redeem, db: Database, orders: Orders, now: Now, idempotency_key: Key = None
) -> RedemptionView:
    """Points, stock, limit and what it gives, all or nothing. 409 NOT_STARTED, ENDED, NOT_ELIGIBLE, LIMIT_REACHED,
    INSUFFICIENT, OUT_OF_STOCK."""
    call = f"mall/{item_id}/redeem"
    number = request_number(call, idempotency_key) if idempotency_key else uuid4()

    async def do(connection: Any) -> RedemptionView:
        return await redeeming.redeem(connection, Taking(item_id, data, number, BY_API), orders.tools, now())

    return await once(db, Asked(idempotency_key, call, data), RedemptionView, do, now)


class RedemptionPage(msgspec.Struct, frozen=True):
    """Newest first."""

    items: list[RedemptionView]


@get("/api/persons/{person_id:str}/redemptions", summary="What a person took for points", tags=["mall"])
async def person_redemptions(
    *, person_id: str, db: Database, now: Now, secret: bytes, limit: Limit = 50
) -> RedemptionPage:
    """Over all their identifiers, newest first."""
    async with db.driver() as connection:
        buyer = await find_owner(connection, str(person_uuid(person_id)), secret, now())
        found = await mall_records.redemptions(connection, anchors=buyer.current, item=None, limit=limit)
    return RedemptionPage([redeeming.view(one) for one in found])


routes: list[Any] = [list_items, put_item, add_units, add_codes, redeem, person_redemptions]
