"""Rules that nobody could ever fulfil are refused where they are asked for, and stay readable where they are stored."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from siyu.analytics.kinds import parse_question
from siyu.analytics.question import condition_of
from siyu.chinese import worded
from siyu.errors import InvalidQuestion
from siyu.loyalty.earning import EarnRule, check_rule
from siyu.rules.parse import parse_rule
from siyu.rules.possible import asked_rule, asked_sentence
from siyu.rules.rule import InvalidRule
from siyu.segments.ready import READY
from siyu.segments.words import WORDS

COUNT = {"metric": "count", "event": "order.paid"}
NEVER: list[tuple[dict[str, Any], str]] = [
    ({"person": "trait.city", "op": "in", "value": []}, "rule.value"),
    ({"person": "trait.city", "op": "not_in", "value": []}, "rule.value"),
    ({"person": "trait.age", "op": "between", "value": [3, 1]}, "rule.value"),
    ({"person": "trait.city", "op": "between", "value": ["b", "a"]}, "rule.value"),
    (
        {"person": "first_seen", "op": "between", "value": ["2026-06-01T00:00:00+08:00", "2026-05-31T15:00:00Z"]},
        "rule.value",
    ),
    ({"person": "lifecycle", "op": "eq", "value": "activ"}, "rule.value"),
    ({"person": "lifecycle", "op": "in", "value": ["active", "gone"]}, "rule.value"),
    ({"person": "lifecycle", "op": "ne", "value": "Active"}, "rule.value"),
    ({"person": "dim.price_sensitivity", "op": "eq", "value": "highest"}, "rule.value"),
    ({"person": "time.weekday", "op": "eq", "value": 8}, "rule.value"),
    ({"person": "time.weekday", "op": "eq", "value": "1"}, "rule.value"),
    ({"person": "rfm.r", "op": "gte", "value": 6}, "rule.value"),
    ({"person": "rfm.r", "op": "lt", "value": 1}, "rule.value"),
    ({"person": "rfm.r", "op": "in", "value": [0, 6]}, "rule.value"),
    ({"person": "time.hour", "op": "eq", "value": 24}, "rule.value"),
    ({"person": "time.month", "op": "between", "value": [13, 14]}, "rule.value"),
    (COUNT | {"op": "lt", "value": 0}, "rule.value"),
    (COUNT | {"op": "lte", "value": -1}, "rule.value"),
    (COUNT | {"op": "eq", "value": -1}, "rule.value"),
    (COUNT | {"op": "between", "value": [-5, -1]}, "rule.value"),
    (COUNT | {"op": "between", "value": [5, 1]}, "rule.value"),
    (COUNT | {"op": "in", "value": []}, "rule.value"),
    ({"metric": "streak", "op": "lt", "value": 0}, "rule.value"),
    (
        {"metric": "last", "op": "between", "value": ["2026-06-01T00:00:00Z", "2026-05-01T00:00:00Z"]},
        "rule.value",
    ),
    (COUNT | {"op": "gte", "value": 1, "where": {"channel": []}}, "rule.where.channel"),
    (
        COUNT | {"op": "gte", "value": 1, "where": {"all": [{"property": "price", "op": "between", "value": [9, 1]}]}},
        "rule.where.all[0].value",
    ),
    ({"did": {"event": "a", "where": {"not": {"property": "x", "op": "in", "value": []}}}}, "rule.did.where.not.value"),
    ({"not_happened": {"n": 1, "unit": "day", "event": "a", "where": {"x": []}}}, "rule.not_happened.where.x"),
]
FINE: list[dict[str, Any]] = [
    {"person": "trait.age", "op": "between", "value": [1, 1]},
    {"person": "lifecycle", "op": "in", "value": ["active", "vip"]},
    {"person": "lifecycle", "op": "exists"},
    {"person": "dim.preferred_end", "op": "eq", "value": "an_end_of_their_own"},
    {"person": "time.holiday", "op": "eq", "value": "公司周年"},
    {"person": "rfm.r", "op": "gte", "value": 5},
    {"person": "rfm.r", "op": "in", "value": [5, 6]},
    {"person": "time.hour", "op": "eq", "value": 0},
    COUNT | {"op": "eq", "value": 0},
    COUNT | {"op": "lt", "value": 1},
    COUNT | {"op": "gte", "value": -1},
    {"metric": "sum", "event": "order.paid", "net": True, "op": "lt", "value": 0},
    COUNT | {"op": "gte", "value": 1, "where": {"channel": ["a"], "price": None}},
]
AROUND = [
    lambda rule: (rule, "rule"),
    lambda rule: ({"all": [{"has_tag": "x"}, rule]}, "rule.all[1]"),
    lambda rule: ({"any": [rule]}, "rule.any[0]"),
    lambda rule: ({"not": rule}, "rule.not"),
    lambda rule: ({"n_of_m": {"n": 1, "of": [{"has_tag": "x"}, {"any": [rule]}]}}, "rule.n_of_m.of[1].any[0]"),
]


@pytest.mark.parametrize(("rule", "path"), NEVER, ids=str)
def test_what_can_never_hold_is_refused_at_its_node(rule: dict[str, Any], path: str) -> None:
    for around in AROUND:
        whole, place = around(rule)
        parse_rule(whole, WORDS)  # what is stored stays readable
        with pytest.raises(InvalidRule) as refused:
            asked_rule(whole, WORDS)
        assert refused.value.details["path"] == place + path.removeprefix("rule")


@pytest.mark.parametrize("rule", FINE, ids=str)
def test_what_may_hold_is_taken(rule: dict[str, Any]) -> None:
    for around in AROUND:
        asked_rule(around(rule)[0], WORDS)


def test_every_ready_segment_can_hold() -> None:
    for one in READY:
        asked_rule(one.rule, WORDS)


def test_sentences_questions_and_earn_rules_are_asked_too() -> None:
    with pytest.raises(InvalidRule, match="one of: new, active") as unknown:
        asked_sentence("生命周期 等于 “活泼”", WORDS)
    assert worded(unknown.value, "zh").startswith("生命周期只能是：新客（new）、活跃（active）")
    assert worded(unknown.value, "en") == str(unknown.value)
    with pytest.raises(InvalidQuestion):
        parse_question({"kind": "segment_size", "condition": {"person": "lifecycle", "op": "eq", "value": "activ"}})
    with pytest.raises(InvalidQuestion) as refused:
        condition_of({"property": "x", "op": "between", "value": [2, 1]}, "steps[0].where")
    assert refused.value.details["path"] == "steps[0].where.value"
    rule = EarnRule(id="k", event="a", label_zh="甲", label_en="a", points=1)
    assert check_rule(rule) is rule
    for more, path in (
        ({"where": {"x": []}}, "where.x"),
        ({"audience": {"person": "rfm.f", "op": "gt", "value": 5}}, "audience.value"),
    ):
        with pytest.raises(InvalidRule) as wrong:
            check_rule(structs.replace(rule, **more))
        assert wrong.value.details["path"] == path
