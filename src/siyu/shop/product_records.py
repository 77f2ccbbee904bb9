"""Every SQL statement on products, SKUs, collections and carts. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from siyu.coupons.pricing import Article
from siyu.shop.product import Offer, Product, Sku

_PRODUCT: Final = "p.id, p.name, p.description, p.category, p.collections, p.on_sale, p.version"
_SKU: Final = "s.sku, s.label, s.price_fen, s.prices, s.tracked, s.active"
_PUT_PRODUCT: Final = """
INSERT INTO shop_products AS p (id, name, description, category, collections, on_sale, version, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description, category = excluded.category,
  collections = excluded.collections, on_sale = excluded.on_sale, version = excluded.version,
  changed_at = excluded.changed_at
WHERE p.version = excluded.version - 1
"""
_PUT_SKUS: Final = """
INSERT INTO shop_skus AS s (sku, product, place, label, price_fen, prices, tracked, active)
SELECT n.sku, $1, n.place, n.label, n.price_fen, n.prices, n.tracked, n.active
FROM unnest($2::text[], $3::int[], $4::text[], $5::bigint[], $6::text[], $7::bool[], $8::bool[])
  AS n(sku, place, label, price_fen, prices, tracked, active) ORDER BY n.sku
ON CONFLICT (sku) DO UPDATE SET place = excluded.place, label = excluded.label, price_fen = excluded.price_fen,
  prices = excluded.prices, tracked = excluded.tracked, active = excluded.active
WHERE s.product = excluded.product
"""


def _sku(row: Sequence[Any]) -> Sku:
    sku, label, price_fen, prices, tracked, active = row
    return Sku(
        sku=sku, label=label, price_fen=price_fen, prices=msgspec.json.decode(prices, type=dict[str, int]),
        tracked=tracked, active=active,
    )  # fmt: skip


def _product(row: Sequence[Any], skus: Iterable[Sku]) -> Product:
    number, name, description, category, collections, on_sale, version = row
    return Product(
        id=number, name=name, description=description, category=category, collections=tuple(collections),
        on_sale=on_sale, version=version, skus=tuple(skus),
    )  # fmt: skip


async def put_product(connection: Any, product: Product, at: datetime) -> Literal["stored", "version", "sku"]:
    """Store the first or next version; `version` when it is not that, `sku` when a SKU is another product's."""
    status = await connection.execute(
        _PUT_PRODUCT, product.id, product.name, product.description, product.category, list(product.collections),
        product.on_sale, product.version, at,
    )  # fmt: skip
    if not status.endswith(" 1"):
        return "version"
    kept = [one.sku for one in product.skus]
    await connection.execute("DELETE FROM shop_skus WHERE product = $1 AND sku <> ALL($2::text[])", product.id, kept)
    rows = [
        (one.sku, place, one.label, one.price_fen, msgspec.json.encode(one.prices).decode(), one.tracked, one.active)
        for place, one in enumerate(product.skus)
    ]
    status = await connection.execute(_PUT_SKUS, product.id, *(list(column) for column in zip(*rows, strict=True)))
    return "stored" if int(status.rpartition(" ")[2]) == len(rows) else "sku"


async def version_of(connection: Any, product: str) -> int:
    """The version of a product; 0: there is none."""
    return int(await connection.fetchval("SELECT version FROM shop_products WHERE id = $1", product) or 0)


async def products(
    connection: Any, *, after: str = "", text: str | None = None, collection: str | None = None, limit: int
) -> list[Product]:
    """Products by id, with their SKUs."""
    rows = await connection.fetch(
        f"SELECT {_PRODUCT} FROM shop_products p WHERE p.id > $1 AND ($2::text IS NULL OR position(lower($2) in"
        " lower(p.name)) > 0 OR p.id = $2 OR EXISTS (SELECT FROM shop_skus s WHERE s.product = p.id AND s.sku = $2))"
        " AND ($3::text IS NULL OR p.collections @> ARRAY[$3]) ORDER BY p.id LIMIT $4",
        after, text, collection, limit,
    )  # fmt: skip
    return await _with_skus(connection, rows)


async def product(connection: Any, number: str) -> Product | None:
    """One product."""
    rows = await connection.fetch(f"SELECT {_PRODUCT} FROM shop_products p WHERE p.id = $1", number)
    found = await _with_skus(connection, rows)
    return found[0] if found else None


async def _with_skus(connection: Any, rows: Sequence[Any]) -> list[Product]:
    skus: dict[str, list[Sku]] = {}
    if rows:
        numbers = [row[0] for row in rows]
        for row in await connection.fetch(
            f"SELECT s.product, {_SKU} FROM shop_skus s WHERE s.product = ANY($1::text[]) ORDER BY s.product, s.place",
            numbers,
        ):
            skus.setdefault(row[0], []).append(_sku(tuple(row)[1:]))
    return [_product(tuple(row), skus.get(row[0], ())) for row in rows]


async def offers(connection: Any, wanted: Iterable[str]) -> dict[str, Offer]:
    """SKU → what it is; unknown ones are left out. A product here has the SKU asked for only."""
    rows = await connection.fetch(
        f"SELECT {_SKU}, {_PRODUCT} FROM shop_skus s JOIN shop_products p ON p.id = s.product"
        " WHERE s.sku = ANY($1::text[])",
        list(set(wanted)),
    )
    found = {}
    for row in rows:
        values = tuple(row)
        sku = _sku(values[:6])
        found[sku.sku] = Offer(sku, _product(values[6:], (sku,)))
    return found


async def articles_of(connection: Any, wanted: Sequence[str], end: str) -> dict[str, Article]:
    """SKU → the collections and the category of its product, for the scopes of discounts; and its price at an end."""
    found = await offers(connection, wanted)
    return {
        sku: Article(
            (*one.product.collections, *([one.product.category] if one.product.category else [])),
            one.sku.price_at(end) if one.is_sold else None,
        )
        for sku, one in found.items()
    }


async def put_collection(connection: Any, key: str, label: str) -> None:
    """Name a collection."""
    await connection.execute(
        "INSERT INTO shop_collections (key, label) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET label = $2",
        key, label,
    )  # fmt: skip


async def collections(connection: Any) -> list[tuple[str, str, int]]:
    """(key, label, products) of every collection, also of one that only products name."""
    rows = await connection.fetch(
        "SELECT k.key, coalesce(c.label, k.key), count(p.id) FROM ("
        "  SELECT key FROM shop_collections UNION SELECT DISTINCT unnest(collections) FROM shop_products) k"
        " LEFT JOIN shop_collections c USING (key) LEFT JOIN shop_products p ON p.collections @> ARRAY[k.key]"
        " GROUP BY 1, 2 ORDER BY 1 LIMIT 1000"
    )
    return [(row[0], row[1], row[2]) for row in rows]


# Stock history.


class StockMove(NamedTuple):
    """A change of what there is of a SKU."""

    transfer: int
    at: datetime
    kind: str
    reason: str
    cause: str | None
    by: str
    available: int
    reserved: int
    sold: int
    available_after: int


_HISTORY: Final = """
SELECT t.id, t.at, t.kind, t.reason, t.cause, t.by,
  coalesce(sum(e.amount) FILTER (WHERE a.role = 'available'), 0)::bigint,
  coalesce(sum(e.amount) FILTER (WHERE a.role = 'locked'), 0)::bigint,
  coalesce(sum(e.amount) FILTER (WHERE a.role = 'redeemed'), 0)::bigint,
  max(e.balance_after) FILTER (WHERE a.role = 'available')
FROM (
  SELECT DISTINCT e.transfer FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account
  WHERE a.holder = $1 AND a.currency = 'stock' AND e.transfer < $2 ORDER BY e.transfer DESC LIMIT $3
) x JOIN ledger_transfers t ON t.id = x.transfer JOIN ledger_entries e ON e.transfer = t.id
JOIN ledger_accounts a ON a.id = e.account AND a.holder = $1 AND a.currency = 'stock'
GROUP BY t.id ORDER BY t.id DESC
"""


async def stock_history(connection: Any, holder: str, before: int, limit: int) -> list[StockMove]:
    """Changes of a SKU's stock, newest first. `available_after` is 0 where that did not change and is not known."""
    return [
        StockMove(*(*tuple(row)[:9], row[9] or 0)) for row in await connection.fetch(_HISTORY, holder, before, limit)
    ]


# Carts.


async def cart(connection: Any, anchors: Sequence[int]) -> list[tuple[str, int, datetime, datetime]]:
    """(sku, units, first added, last changed) of what lies in the carts of these identifiers, the newest first."""
    rows = await connection.fetch(
        "SELECT sku, sum(qty)::bigint, min(added_at), max(changed_at) FROM shop_carts WHERE anchor = ANY($1::bigint[])"
        " GROUP BY sku ORDER BY 4 DESC, 1",
        list(anchors),
    )
    return [tuple(row) for row in rows]


async def lock_cart(connection: Any, anchors: Sequence[int], sku: str) -> int:
    """Units of a SKU in these carts; nobody else changes them until the transaction ends."""
    rows = await connection.fetch(
        "SELECT qty FROM shop_carts WHERE anchor = ANY($1::bigint[]) AND sku = $2 ORDER BY anchor FOR UPDATE",
        list(anchors), sku,
    )  # fmt: skip
    return sum(row[0] for row in rows)


async def put_in_cart(connection: Any, anchors: tuple[int, Sequence[int]], sku: str, qty: int, at: datetime) -> None:
    """From now on so many units of a SKU lie in the one cart of these identifiers; `anchors`: (theirs, all)."""
    own, everyone = anchors
    await connection.execute(
        "DELETE FROM shop_carts WHERE anchor = ANY($1::bigint[]) AND sku = $2 AND (anchor <> $3 OR $4 = 0)",
        list(everyone), sku, own, qty,
    )  # fmt: skip
    if qty:
        await connection.execute(
            "INSERT INTO shop_carts (anchor, sku, qty, added_at, changed_at) VALUES ($1, $2, $3, $4, $4)"
            " ON CONFLICT (anchor, sku) DO UPDATE SET qty = $3, changed_at = $4",
            own, sku, qty, at,
        )  # fmt: skip
