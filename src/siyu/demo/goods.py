"""What the demo brand sells, in its shop: products with stock, and the points mall."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from siyu.demo.brand import PRODUCTS
from siyu.ledger import Ledger, Role, derived_key
from siyu.shop import mall, product_records, products, stock
from siyu.shop.mall import Item
from siyu.shop.product import Product, Sku
from siyu.shop.redeeming import put_item
from siyu.shop.stock import Told
from siyu.store.postgres import Database, driver_of

_INTERESTS: Final = ("tea", "cat", "dog")
UNITS: Final = (180, 60, 0, 24, 320)
"""Stock of the first, second … product, over and over: some are short, some are gone."""
ITEMS: Final = (
    Item(id="travel-cup", label="旅行茶具 快客杯", gives="product", sku="G701", points=2_000, money_fen=990,
         limited=True, per_person=1),
    Item(id="cold-brew", label="冷泡茶包 四味 12 包", gives="product", sku="T601", points=1_500, per_person=2),
    Item(id="tea-club", label="茶友会门票", gives="code", points=300, per_person=1),
)  # fmt: skip


def goods() -> list[Product]:
    """The brand's products as its shop has them."""
    return [
        Product(
            id=one.sku, name=one.name, category=one.category, collections=(_INTERESTS[one.interest],),
            skus=(Sku(sku=one.sku, price_fen=one.price_fen, tracked=True),),
        )
        for one in PRODUCTS
    ]  # fmt: skip


async def open_shop(db: Database, ledger: Ledger, now: datetime) -> int:
    """Put the brand's products on sale, once; how many were new."""
    added = await products.put_many(db, goods(), now)
    if not added:
        return 0

    def told(*name: str) -> Told:
        key: UUID = derived_key("demo shop", *name)
        return Told(key, now, "demo", "期初库存 / opening stock")

    async with db.begin() as conn:
        connection = await driver_of(conn)
        units = zip(PRODUCTS, UNITS * len(PRODUCTS), strict=False)
        commands = [stock.add(one.sku, count, told(one.sku)) for one, count in units if count]
        for item in ITEMS:
            if await product_records.version_of(connection, item.sku or PRODUCTS[0].sku):
                await put_item(connection, item, now)
        limited = [one for one in ITEMS if one.limited]
        commands += [stock.add_to(mall.units(one.id, Role.AVAILABLE), 50, told("mall", one.id)) for one in limited]
        await ledger.post(connection, commands)
    return added
