"""Which events an earn rule means, and its condition as fields of the form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from siyu.console.http_earn import condition_values, where_of
from siyu.loyalty.earning import (
    EarnRule,
    Money,
    Occurrence,
    Told,
    all_received,
    check_rule,
    condition_of,
    money_keys,
    money_of,
    news_of,
    points_of,
    takes,
)
from siyu.rules.condition import InvalidCondition
from siyu.rules.rule import InvalidRule


def rule(**more: Any) -> EarnRule:
    told: dict[str, Any] = {"id": "r", "event": "order.paid", "label_zh": "规", "label_en": "rule"}
    return EarnRule(**told, **more)


def happened(name: str, fen: int = 0, end: str = "web", **properties: Any) -> Occurrence:
    return Occurrence(name, 1, datetime(2026, 6, 1, tzinfo=UTC), "e", "s", fen, properties, end)


def means(one: EarnRule, event: Occurrence) -> bool:
    return takes(one, condition_of(one), event)


def test_a_condition_is_of_the_event_that_earns() -> None:
    one = rule(points_per_yuan=1, take_back_on=("order.refunded",), where={"@end": "app", "channel": "sms"})
    assert means(one, happened("order.paid", 100, "app", channel="sms"))
    assert not means(one, happened("order.paid", 100, "web", channel="sms"))
    assert not means(one, happened("order.paid", 100, "app"))
    assert means(one, happened("order.refunded", -100, "web"))


def test_a_number_of_points_is_given_for_its_event_only() -> None:
    """Also by a rule that was stored when such names were still taken."""
    one = rule(points=10, post_on=("order.received",), take_back_on=("order.refunded",))
    assert [means(one, happened(name)) for name in ("order.paid", "order.received", "order.refunded")] == [
        True, False, False,
    ]  # fmt: skip
    with pytest.raises(InvalidRule):
        check_rule(one)


def test_the_context_of_an_event_is_not_seen() -> None:
    with pytest.raises(InvalidCondition):
        check_rule(rule(points=1, where={"any": [{"not": {"@context.ip": "1"}}]}))


@pytest.mark.parametrize(("ends", "fen"), [([], None), (["app"], None), ([], 0), (["app", "store"], 12_345)])
def test_what_the_form_makes_stands_in_its_fields_again(ends: list[str], fen: int | None) -> None:
    shown = condition_values(where_of(ends, fen))
    assert (shown["ends"].split(), shown["from_fen"]) == (ends, {None: "", 0: "0", 12_345: "123.45"}[fen])


@pytest.mark.parametrize(
    "where",
    [
        {"all": "a property of this name"},
        {"channel": "sms"},
        {"all": [{"property": "@end", "op": "in", "value": ["kiosk"]}]},
        {"all": [{"property": "@end", "op": "eq", "value": "app"}]},
        {"all": [{"property": "@value_fen", "op": "gte", "value": "100"}]},
        {"all": [{"any": [{"@end": "app"}]}]},
    ],
)
def test_what_it_could_not_have_made_is_shown_as_it_is(where: dict[str, Any]) -> None:
    condition_of(rule(points=1, where=where))
    assert set(condition_values(where)) == {"condition"}


ORDER = rule(points_per_yuan=1, subject=("order_id",), take_back_on=("order.refunded", "order.cancelled"))


@pytest.mark.parametrize(
    ("told", "teller", "shop", "news"),
    [
        ("a", 1, "a", False),
        ("a", 9, "a", False),
        ("a", 1, "", False),
        ("", 1, "a", False),
        ("", 9, "a", True),
        ("a", 9, "", True),
        ("a", 1, "b", True),
        ("", 9, "", False),
    ],
)
def test_which_refund_is_one_told_again(told: str, teller: int, shop: str, news: bool) -> None:
    """By identifier 1, of a refund that `teller` told of the shop `told`."""
    event = happened("order.refunded", -100, order_id="7", refund_id="R", **({"shop": shop} if shop else {}))
    keys = money_keys(ORDER, event, "1", ["1", "2"])
    money = money_of(ORDER, event, keys)
    assert money is not None and money.key == keys.own[0] and not keys.others
    found = news_of(money, keys, {keys.own[0]: Told(teller, told)}, {1})
    assert found == (money._replace(key=keys.own[1]) if news else None)
    assert news_of(money, keys, {keys.own[0]: Told(9, "c"), keys.own[1]: Told(1, shop)}, {1}) is None
    assert news_of(money, keys, {}, {1}) == money


def test_the_points_of_two_shops_are_of_two_orders() -> None:
    def money(fen: int, shop: str) -> Money:
        return Money(UUID(int=0), "order/7", 1, fen, "r", shop=shop)

    both = [money(199, "a"), money(199, "b")]
    assert points_of(ORDER, both) == 2
    assert points_of(ORDER, [*both, money(-(10**15), "b")]) == 1
    assert points_of(ORDER, [*both, money(-98, "")]) == 3


@pytest.mark.parametrize(
    ("money", "received"),
    [
        ([("", 100)], False),
        ([("", 100), ("", 0)], True),
        ([("a", 100), ("a", 0), ("a", -30)], True),
        ([("a", 100), ("", 0)], True),
        ([("", 100), ("a", 0)], True),
        ([("a", 100), ("b", 50), ("a", 0)], False),
        ([("a", 100), ("b", 50), ("a", 0), ("b", 0)], True),
        ([("b", 0), ("a", 100)], False),
        ([("b", 50), ("a", 100), ("a", 0), ("b", -50)], True),
        ([("a", 0)], True),
    ],
)
def test_points_come_when_the_parcels_of_all_shops_have(money: list[tuple[str, int]], received: bool) -> None:
    told = [Money(UUID(int=0), "order/7", 1, fen, "r", shop=shop) for shop, fen in money]
    assert all_received(told) == received
