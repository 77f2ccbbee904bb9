"""The money that an event of an order names."""

from __future__ import annotations

from typing import Any

import pytest

from siyu.collect.catalogue import FEN_MAX, named_fen, value_fen

LINES = [{"sku": "T1", "price": 19.9, "quantity": 2}, {"sku": "T2", "price_fen": 500}]


@pytest.mark.parametrize(
    ("name", "properties", "named", "moved"),
    [
        ("Order Completed", {"total": 27.5, "products": LINES}, 2_750, 2_750),
        ("Order Completed", {"products": LINES}, 4_480, 4_480),
        ("Order Completed", {"lines": [{"price": "9.90", "quantity": "3"}]}, 2_970, 2_970),
        ("Order Completed", {"lines": [{"price": "0.35", "quantity": 2.5}, {"price": 1}]}, 188, 188),
        ("Order Completed", {"lines": [{"price": 1, "quantity": "1e-999999999"}]}, 0, 0),
        ("Order Completed", {"lines": [{"price": 1, "quantity": "1e999999999"}]}, None, 0),
        ("Order Completed", {"products": [*LINES, {"sku": "T3"}]}, None, 0),
        ("Order Completed", {"products": [{"price": FEN_MAX // 100, "quantity": 2}]}, None, 0),
        ("Order Completed", {"products": [], "lines": LINES[:1]}, 3_980, 3_980),
        ("purchase", {"items": [{"item_id": "T1", "price": 19.9, "quantity": 2}]}, 3_980, 3_980),
        ("PayOrder", {"items": [{"present_price": 5, "commodity_quantity": "3"}, {"unit_price": 1}]}, 1_600, 1_600),
        ("Order Completed", {"items": [{"price": "?", "unit_price": 2}]}, 200, 200),
        ("PayOrderDetail", {"commodity_id": "T1", "total_price_of_commodity": 30, "amount": 30}, None, 0),
        ("Order Completed", {"total": 30, "currency": "USD"}, 3_000, 0),
        ("Order Refunded", {"products": LINES[:1]}, 3_980, -3_980),
        ("Order Refunded", {"order_id": "1"}, None, 0),
        ("Order Refunded", {"total": 0}, 0, 0),
        ("Order Refunded", {"refund_fen": "-70"}, 70, -70),
        ("Order Cancelled", {"total": 30}, None, 0),
        ("page", {"total": 30}, None, 0),
    ],
)
def test_an_amount_is_its_own_or_that_of_its_lines(
    name: str, properties: dict[str, Any], named: int | None, moved: int
) -> None:
    assert (named_fen(name, properties), value_fen(name, properties)) == (named, moved)
