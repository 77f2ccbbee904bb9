"""What a person looks at and buys is known in the words of each vocabulary: Segment, GA4, Sensors (神策) and ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from siyu.collect.catalogue import value_fen
from siyu.dimensions.catalogue import DIMENSIONS
from siyu.dimensions.evaluate import raws_of
from siyu.dimensions.words import EVENT_WORDS
from siyu.rules.window import Setting, epoch_ms

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def told(name: str, /, **properties: Any) -> dict[str, Any]:
    said = {"name": name, "end": "app", "source": "s", "event_id": f"{name}{properties}", "at_ms": epoch_ms(NOW) - 1}
    return said | {"value_fen": value_fen(name, properties), "properties": properties, "context": {}}


OURS = [
    told("product.viewed", sku="T1", product="茶", category="茶叶", brand="山"),
    told(
        "order.paid", order_id="1", amount_fen=7_000,
        lines=[
            {"sku": "T1", "product": "茶", "category": "茶叶", "brand": "山", "quantity": 2, "price_fen": 2_000},
            {"sku": "T2", "product": "杯", "category": "茶叶", "brand": "山", "quantity": 1, "price_fen": 3_000},
        ],
    ),
]  # fmt: skip
SEGMENT = [
    told("Product Viewed", product_id="T1", name="茶", category="茶叶", brand="山"),
    told(
        "Order Completed", order_id="1", total=70,
        products=[
            {"product_id": "T1", "name": "茶", "category": "茶叶", "brand": "山", "quantity": 2, "price": 20},
            {"product_id": "T2", "name": "杯", "category": "茶叶", "brand": "山", "price": 30},
        ],
    ),
]  # fmt: skip
_TEA = {"item_category": "茶叶", "item_brand": "山"}
GA4 = [
    told("view_item", items=[{"item_id": "T1", "item_name": "茶", **_TEA}]),
    told(
        "purchase", transaction_id="1", value=70, currency="CNY",
        items=[
            {"item_id": "T1", "item_name": "茶", "quantity": 2, "price": 20, **_TEA},
            {"item_id": "T2", "item_name": "杯", "price": 30, **_TEA},
        ],
    ),
]  # fmt: skip
SENSORS = [
    told("CommodityDetail", commodity_id="T1", commodity_name="茶", first_commodity="茶叶", commodity_brand="山"),
    told("PayOrder", order_id="1", order_amount=75, order_actual_amount=70),
    *(
        told("PayOrderDetail", order_id="1", first_commodity="茶叶", commodity_brand="山", **said)
        for said in (
            {"commodity_id": "T1", "commodity_name": "茶", "commodity_quantity": "2", "present_price": 20},
            {"commodity_id": "T2", "commodity_name": "杯", "commodity_quantity": 1, "present_price": 30},
        )
    ),
]


@pytest.mark.parametrize("events", [OURS, SEGMENT, GA4, SENSORS], ids=["ours", "segment", "ga4", "sensors"])
def test_one_purchase_in_four_vocabularies(events: list[dict[str, Any]]) -> None:
    found = raws_of(DIMENSIONS, events, Setting(NOW, ZoneInfo("Asia/Shanghai")), EVENT_WORDS)
    expected = {
        "events": 2, "product_views": 1, "products_viewed": 1, "categories_viewed": 1, "last_viewed_product": "茶",
        "most_viewed_product": "茶", "preferred_category": "茶叶", "preferred_brand": "山", "preferred_product": "T1",
        "orders": 1, "spend_fen": 7_000, "items_bought": 3, "products_bought": 2, "categories_bought": 1,
        "bought_category": "茶叶", "bought_brand": "山", "spend_per_item_fen": 2_333, "average_order_fen": 7_000,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected
    assert found["favourite_product"] in ("茶", "杯")
