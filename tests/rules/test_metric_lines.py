"""What is counted of the lines of orders, for one person. That all persons are counted the same: test_rules_agree."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from siyu.analytics.question import Breakdown, check_breakdown
from siyu.errors import InvalidQuestion
from siyu.rules.commerce import LINES_MAX
from siyu.rules.condition import parse_condition
from siyu.rules.evaluate import holds, lines_of
from siyu.rules.measure import measure
from siyu.rules.parse import parse_rule
from siyu.rules.rule import Measured
from siyu.rules.window import Setting, epoch_ms
from siyu.segments.words import WORDS

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CAT, TEA = {"sku": "cat-2kg", "category": "猫粮", "price": 99.9, "quantity": 2}, {"sku": "tea", "price": "12.5"}


def event(name: str, fen: int = 0, **properties: Any) -> dict[str, Any]:
    told = {"name": name, "end": "web", "source": "s", "event_id": f"{name}{properties}", "value_fen": fen}
    return told | {"at_ms": epoch_ms(NOW), "properties": properties, "context": {}}


HISTORY = [
    event("order.paid", 21_230, order_id="1", products=[CAT, TEA]),
    event("order.paid", 9_990, order_id="2", lines=[{"sku": "cat-2kg", "category": "猫粮", "price_fen": 9_990}]),
    event("order.paid", 1_250, order_id="3", products=[], sku="tea", price=12.5),
    event("order.paid", 500, order_id="4"),
    event("order.refunded", -9_990, order_id="2"),
    event("order.refunded", -1_250, order_id="3", products=[TEA]),
]


@pytest.mark.parametrize(
    ("asked", "figure"),
    [
        ({"metric": "sum", "of": "@line.quantity", "where": {"@line.category": "猫粮"}}, 3),
        ({"metric": "sum", "of": "@line.quantity"}, 5),
        ({"metric": "sum", "of": "@line.value_fen", "product": "cat-2kg"}, 2 * 9_990 + 9_990),
        ({"metric": "sum", "of": "@line.price", "where": {"@line.sku": "tea"}}, 25),
        ({"metric": "distinct", "of": "@line.sku"}, 2),
        ({"metric": "count", "product": "tea"}, 2),
        ({"metric": "count", "where": {"@line.category": "猫粮", "@line.quantity": 2}}, 1),
        ({"metric": "count", "where": {"@line.sku": "tea", "@line.quantity": 2}}, 0),  # of the same line
        ({"metric": "count", "where": {"not": {"@line.sku": "tea"}}}, 2),
        ({"metric": "sum", "where": {"@line.sku": "tea"}}, 21_230 + 1_250),
        ({"metric": "count", "product": "cat-2kg", "net": True}, 1),
        ({"metric": "count", "product": "tea", "net": True}, 1),
        ({"metric": "sum", "product": "cat-2kg", "net": True}, 21_230),
        ({"metric": "sum", "net": True}, 21_230 + 500),
    ],
)
def test_lines_of_orders(asked: Mapping[str, Any], figure: int) -> None:
    rule = parse_rule({"event": "order.paid", "op": "gte", "value": 1, **asked}, WORDS)
    assert isinstance(rule, Measured)
    found = measure(rule.metric, HISTORY, Setting(NOW, ZoneInfo("Asia/Shanghai")), WORDS)
    assert found == figure * rule.metric.scale


@pytest.mark.parametrize(
    ("asked", "figure"),
    [
        ({"metric": "sum", "of": "@line.quantity"}, 3),
        ({"metric": "sum", "of": "@line.value_fen", "product": "C1"}, 2 * 1_250),
        ({"metric": "sum", "of": "@line.value_fen", "product": "G1"}, 300),
        ({"metric": "count", "product": "G1"}, 1),
    ],
)
def test_lines_in_the_words_of_sensors_and_ga4(asked: Mapping[str, Any], figure: int) -> None:
    history = [
        event("PayOrderDetail", order_id="1", commodity_id="C1", present_price=12.5, commodity_quantity="2"),
        event("purchase", 300, items=[{"item_id": "G1", "price": 3}]),
    ]
    rule = parse_rule({"event": ["order.paid", "order.line_paid"], "op": "gte", "value": 1, **asked}, WORDS)
    assert isinstance(rule, Measured)
    found = measure(rule.metric, history, Setting(NOW, ZoneInfo("Asia/Shanghai")), WORDS)
    assert found == figure * rule.metric.scale


def test_lines_are_bounded_and_only_objects_are_lines() -> None:
    many = event("order.paid", products=[{"sku": str(n)} for n in range(LINES_MAX + 1)])
    assert len(list(lines_of(many))) == LINES_MAX
    assert not holds(parse_condition({"@line.sku": str(LINES_MAX)}), many)
    assert [one["line"] for one in lines_of(event("order.paid", products=["tea", 3, None], items=[TEA]))] == [TEA]
    assert list(lines_of(event("page", products={"sku": "tea"}))) == []


def test_a_breakdown_by_lines_is_refused() -> None:
    with pytest.raises(InvalidQuestion):
        check_breakdown(Breakdown(event_prop="@line.sku"))
