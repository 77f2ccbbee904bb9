"""Which events an earn rule means, and its condition as fields of the form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from siyu.console.http_earn import condition_values, where_of
from siyu.loyalty.earning import EarnRule, Occurrence, check_rule, condition_of, takes
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
