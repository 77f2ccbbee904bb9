"""People read and write yuan; rules are about fen."""

from __future__ import annotations

from math import isfinite
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from siyu.console.rule_draft import draft_of, rule_of
from siyu.console.rule_form import Editor
from siyu.errors import MalformedRequest
from siyu.rules.explain import Part
from siyu.rules.money import fen_of, yuan_text
from siyu.rules.parse import parse_rule
from siyu.rules.read import read_sentence
from siyu.rules.rule import InvalidRule
from siyu.rules.write import rule_json
from siyu.segments.words import WORDS

SPEND = {"person": "dim.spend_fen", "op": "gte", "value": 20_000}


@given(st.one_of(st.integers(-(10**25), 10**25), st.floats(allow_nan=False, allow_infinity=False)))
@example(1)
@example(-0.0)
@example(0.1)
@example(1e300)
def test_fen_come_back_from_yuan(fen: float) -> None:
    assert fen_of(yuan_text(fen)) == fen


@pytest.mark.parametrize(
    ("yuan", "fen"),
    [("200", 20_000), ("19.9", 1_990), ("0.01", 1), ("-3.5", -350), ("1e3", 100_000), ("0.005", 0.5), ("1e-999", 0)],
)
def test_the_fen_of_an_amount(yuan: str, fen: float) -> None:
    assert fen_of(yuan) == fen


def test_an_amount_beyond_numbers_is_refused_and_breaks_nothing() -> None:
    assert not isfinite(fen_of("1e9999999"))
    with pytest.raises(MalformedRequest):
        read_sentence("累计消费额（元） 至少 1e9999999", WORDS)


@pytest.mark.parametrize(
    "sentence", ["累计消费额（元） 至少 200", "累计消费额 至少 200.00", "累计消费额 (元) 至少 2e2"]
)
def test_the_unit_may_be_left_out(sentence: str) -> None:
    assert rule_json(read_sentence(sentence, WORDS)) == SPEND


def test_a_sentence_about_fen_is_refused_with_the_words_it_needs() -> None:
    with pytest.raises(InvalidRule, match=r"、金额\(元\)"):
        read_sentence("累计“支付订单”的金额（分） 至少 20000", WORDS)


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        (SPEND, "200"),
        (SPEND | {"value": 1_999}, "19.99"),
        ({"metric": "sum", "event": ["order.paid"], "of": "@value_fen", "op": "gte", "value": 5}, "0.05"),
        ({"metric": "sum", "event": ["order.paid"], "of": "@line.value_fen", "op": "gte", "value": 100}, "1"),
        ({"metric": "sum", "event": ["order.paid"], "of": "points", "op": "gte", "value": 100}, "100"),
        ({"metric": "count", "event": ["order.paid"], "op": "gte", "value": 100}, "100"),
        ({"person": "rfm.monetary_fen", "op": "lt", "value": 0.5}, "0.005"),
    ],
)
def test_the_builder_asks_for_yuan(rule: dict[str, Any], shown: str) -> None:
    full = rule_json(parse_rule(rule, WORDS))
    draft = draft_of(full, WORDS)
    assert draft["parts"][0]["value"] == shown
    assert rule_of(draft, WORDS).rule == full


def test_a_filter_of_the_builder_asks_for_yuan_too() -> None:
    where = {"property": "@value_fen", "op": "eq", "value": 990}
    rule = {"metric": "count", "event": ["order.paid"], "where": where, "op": "gte", "value": 1}
    full = rule_json(parse_rule(rule, WORDS))
    draft = draft_of(full, WORDS)
    (one,) = draft["parts"][0]["filters"]
    assert one["value"] == "9.9"
    assert Editor(draft, "", "zh", False).value_kind(one) == "number"
    assert rule_of(draft, WORDS).rule == full
    one["value"] = "much"
    changed = rule_of(draft, WORDS).rule
    assert changed is not None and changed["where"]["value"] == "much"


def test_what_was_seen_is_said_in_yuan() -> None:
    parsed = parse_rule(SPEND, WORDS)
    assert Part(parsed, 0, True, 82_900).called(WORDS, "zh") == "829 元"
    assert Part(parsed, 0, True, 82_950).called(WORDS, "en") == "829.5 yuan"
    assert Part(parsed, 0, False, None).called(WORDS, "zh") is None
