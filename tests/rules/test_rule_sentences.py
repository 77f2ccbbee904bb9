"""Rules as JSON and as sentences, both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from tests.rule_world import trigger_rules

from siyu.errors import MalformedRequest
from siyu.rules.parse import parse_rule
from siyu.rules.read import read_sentence
from siyu.rules.rule import InvalidRule
from siyu.rules.schema import rule_schema
from siyu.rules.sentence import say
from siyu.rules.vocabulary import Lang
from siyu.rules.write import rule_json
from siyu.segments.words import WORDS

langs: st.SearchStrategy[Lang] = st.sampled_from(["zh", "en"])


@given(trigger_rules)
def test_json_reads_back(data: Any) -> None:
    rule = parse_rule(data, WORDS, trigger=True)
    assert parse_rule(rule_json(rule), WORDS, trigger=True) == rule


@given(trigger_rules, langs)
@example({"metric": "count", "event": ["支付订单", "order.paid", "=x"], "op": "gte", "value": 1}, "zh")
@example({"metric": "count", "event": ["Order paid", "a, b”\\"], "op": "gte", "value": 1}, "en")
@example({"metric": "sum", "of": "price", "op": "gte", "value": 1.5}, "zh")
@example({"person": "trait.全部满足（", "op": "eq", "value": "且"}, "zh")
@example({"metric": "count", "where": {"all": []}, "op": "gte", "value": 1}, "zh")
@example({"metric": "count", "where": {"not": {"any": []}}, "op": "gte", "value": 1}, "en")
@example({"metric": "count", "window": {"campaign": True}, "op": "crosses", "value": 1}, "en")
def test_a_sentence_reads_back(data: Any, lang: Lang) -> None:
    rule = parse_rule(data, WORDS, trigger=True)
    sentence = say(rule, WORDS, lang)
    assert read_sentence(sentence, WORDS, lang, trigger=True) == rule, sentence
    assert read_sentence(sentence.replace(" ", "  "), WORDS, lang, trigger=True) is not None


@pytest.mark.parametrize(
    ("data", "zh", "en"),
    [
        (
            {"all": [
                {"metric": "count", "event": "order.paid", "op": "gte", "value": 3,
                 "window": {"last": 30, "unit": "day"}},
                {"person": "trait.city", "op": "eq", "value": "广州"},
            ]},
            "最近 30 天内“支付订单”的次数 至少 3 且 属性 “city” 等于 “广州”",
            "the number of “Order paid” in the last 30 days is at least 3 and trait “city” equals “广州”",
        ),
        (
            {"any": [
                {"has_tag": "广州"},
                {"all": [{"segment": "vip"}, {"not": {"person": "lifecycle", "op": "eq", "value": "lost"}}]},
            ]},
            "标签 带有 “广州” 或 （人群 包含 “vip” 且 不满足（生命周期 等于 “流失”））",
            "tags has the tag “广州” or (segments contains “vip” and not (lifecycle equals “lost”))",
        ),
        (
            {
                "metric": "sum", "event": "order.paid", "net": True, "where": {"@end": "web"},
                "window": {"this": "month"}, "op": "gte", "value": 20000,
            },
            "本月“支付订单”，其中（全部满足（终端 等于 “网站”）），扣除退款的金额（元） 至少 200",
            "the money in yuan of “Order paid” where (all of (end equals “Website”)) net of refunds this month"
            " is at least 200",
        ),
        (
            {
                "metric": "sum", "of": "@line.quantity", "event": "order.paid", "where": {"@line.category": "猫粮"},
                "window": {"last": 90, "unit": "day"}, "op": "gte", "value": 3,
            },
            "最近 90 天内“支付订单”，其中（全部满足（商品行的品类 等于 “猫粮”））的商品行的件数之和 至少 3",
            "the sum of line quantity of “Order paid” where (all of (line category equals “猫粮”)) in the last 90 days"
            " is at least 3",
        ),
        (
            {"all": [
                {"person": "time.weekday", "op": "in", "value": [6, 7]},
                {"not": {"person": "time.day", "op": "eq", "value": 8}},
            ]},
            "星期几 属于 [“周六”, “周日”] 且 不满足（几号 等于 8）",
            "day of the week is one of [“Saturday”, “Sunday”] and not (day of the month equals 8)",
        ),
        (
            {"any": [
                {"person": "time.holiday", "op": "in", "value": ["春节", "公司日"]},
                {"person": "time.workday", "op": "eq", "value": False},
            ]},
            "节假日 属于 [“春节”, “公司日”] 或 工作日 等于 假",
            "statutory holiday is one of [“Spring Festival”, “公司日”] or working day equals false",
        ),
        (
            {"all": [
                {"person": "dim.spend_fen", "op": "between", "value": [12_345, 20_000.5]},
                {"metric": "sum", "of": "@line.value_fen", "event": "order.paid", "op": "gte", "value": 1},
                {"metric": "count", "event": "order.paid", "op": "gte", "value": 100,
                 "where": {"property": "@value_fen", "op": "in", "value": [990, "x", True]}},
            ]},
            "累计消费额（元） 介于 123.45 与 200.005 之间 且 累计“支付订单”的商品行的金额（元）之和 至少 0.01"
            " 且 累计“支付订单”，其中（金额（元） 属于 [9.9, “x”, 真]）的次数 至少 100",
            "Spend (yuan) is between 123.45 and 200.005 and the sum of line amount in yuan of “Order paid” ever"
            " is at least 0.01"
            " and the number of “Order paid” where (amount in yuan is one of [9.9, “x”, true]) ever is at least 100",
        ),
        (
            {"any": [
                {"person": "first_touch.scene", "op": "in", "value": ["1047", "my-scene"]},
                {"person": "last_touch.scene", "op": "eq", "value": "1131"},
            ]},
            "首次触点 “scene” 属于 [“扫描小程序码”, “my-scene”] 或 最近触点 “scene” 等于 “浮窗”",
            "first touch “scene” is one of [“Mini-program code scanned”, “my-scene”]"
            " or last touch “scene” equals “Floating window”",
        ),
        (
            {"metric": "streak", "event": "checkin", "op": "is_multiple_of", "value": 7},
            "累计“签到”的连续天数 是 7 的倍数",
            "the streak of days of “Checked in” ever is a multiple of 7",
        ),
    ],
)  # fmt: skip
def test_what_people_read(data: Any, zh: str, en: str) -> None:
    rule = parse_rule(data, WORDS)
    assert (say(rule, WORDS, "zh"), say(rule, WORDS, "en")) == (zh, en)


@pytest.mark.parametrize(
    "marked",
    [
        "▲",
        "最近 30 天内“支付订单”的次数 至少 ▲很多",
        "最近 30 天内“支付订单”的▲颜色 至少 3",
        "生命周期 等于 ▲“new",
        "生命周期 等于 “new” 且▲",
        "生命周期 等于 “new” 且 标签 有值 ▲或 标签 有值",
        "（生命周期 等于 “new”▲",
    ],
)
def test_a_mistake_is_pointed_at(marked: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        read_sentence(marked.replace("▲", ""), WORDS)
    assert refused.value.details["at"] == marked.index("▲"), str(refused.value)


def test_a_sentence_that_means_nothing_is_refused_with_its_node() -> None:
    with pytest.raises(InvalidRule) as refused:
        read_sentence("任一满足（生命周期 有值；最近 0 天内“支付订单”的次数 至少 3）", WORDS)
    assert refused.value.details["path"] == "rule.any[1].window.last"


@given(st.text(max_size=60), langs)
def test_any_text_is_read_or_refused(text: str, lang: Lang) -> None:
    try:
        read_sentence(text, WORDS, lang)
    except InvalidRule as refused:
        assert "at" in refused.details or "path" in refused.details


def test_deep_brackets_are_refused() -> None:
    with pytest.raises(InvalidRule):
        read_sentence("（" * 5_000, WORDS)
    with pytest.raises(InvalidRule):
        read_sentence("不满足（" * 5_000, WORDS)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ([], "rule"),
        ({}, "rule"),
        ({"all": []}, "rule.all"),
        ({"some": []}, "rule"),
        ({"all": [{"has_tag": "a"}], "any": []}, "rule.any"),
        ({"any": [{"has_tag": "a"}, 3]}, "rule.any[1]"),
        ({"not": {"person": "nose", "op": "eq", "value": 1}}, "rule.not.person"),
        ({"n_of_m": {"n": 2, "of": [{"has_tag": "a"}]}}, "rule.n_of_m.n"),
        ({"person": "trait.", "op": "eq", "value": 1}, "rule.person"),
        ({"person": "tags", "op": "eq", "value": "a"}, "rule.op"),
        ({"person": "first_seen", "op": "gt", "value": "soon"}, "rule.value"),
        ({"person": "first_seen", "op": "within", "value": {"n": 1, "unit": "year"}}, "rule.value.unit"),
        ({"metric": "median", "op": "eq", "value": 1}, "rule.metric"),
        ({"metric": "distinct", "op": "eq", "value": 1}, "rule.of"),
        ({"metric": "count", "of": "x", "op": "eq", "value": 1}, "rule.of"),
        ({"metric": "count", "op": "contains", "value": "1"}, "rule.op"),
        ({"metric": "count", "op": "gte", "value": 1.5}, "rule.value"),
        ({"metric": "count", "op": "gte", "value": 10**13}, "rule.value"),
        ({"metric": "count", "op": "crosses", "value": 1}, "rule.op"),
        ({"metric": "count", "event": "a", "op": "gte", "value": 1, "window": {"this": "decade"}}, "rule.window.this"),
        ({"metric": "count", "event": [], "op": "gte", "value": 1}, "rule.event"),
        ({"metric": "count", "where": {"a": {}}, "op": "gte", "value": 1}, "rule.where.a"),
        ({"metric": "streak", "net": True, "op": "gte", "value": 1}, "rule.net"),
        ({"metric": "sum", "of": "@line.quantity", "event": "a", "net": True, "op": "gte", "value": 1}, "rule.net"),
        ({"metric": "distinct", "of": "@line.", "op": "gte", "value": 1}, "rule.of"),
        ({"metric": "count", "where": {"@line.": 1}, "op": "gte", "value": 1}, "rule.where.@line."),
        ({"trigger": {}}, "rule"),
        ({"did": {"days": 1, "range": {"days": 1}}}, "rule.did.days"),
        ({"did": {"at_least": 3, "at_most": 2}}, "rule.did.at_most"),
        ({"within": {"event": "a", "n": 0, "unit": "day"}}, "rule.within.n"),
    ],
)
def test_refused_at(data: Any, path: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        parse_rule(data, WORDS)
    assert refused.value.details["path"] == path


def test_depth_and_size_are_bounded() -> None:
    deep: Any = {"has_tag": "a"}
    for _ in range(50):
        deep = {"not": deep}
    with pytest.raises(InvalidRule):
        parse_rule(deep, WORDS)
    with pytest.raises(InvalidRule):
        parse_rule({"any": [{"has_tag": "a"}] * 200}, WORDS)
    for ends in ([], ["web"] * 51):
        with pytest.raises(InvalidRule) as caught:
            parse_rule({"metric": "count", "event": "order.paid", "end": ends, "op": "gte", "value": 1}, WORDS)
        assert caught.value.details["path"] == "rule.end"


SCHEMA = Draft202012Validator(rule_schema(WORDS))


@given(trigger_rules)
def test_what_is_parsed_fits_the_schema(data: Any) -> None:
    SCHEMA.validate(data)
    SCHEMA.validate(rule_json(parse_rule(data, WORDS, trigger=True)))


@given(trigger_rules, st.data())
def test_what_the_schema_refuses_is_not_parsed(data: Any, draw: st.DataObject) -> None:
    """One field lost, renamed or of another type: the parser takes nothing that the schema does not."""
    broken = json.loads(json.dumps(data))
    nodes = list(objects(broken))
    node = draw.draw(st.sampled_from(nodes))
    key = draw.draw(st.sampled_from(sorted(node)))
    node[draw.draw(st.sampled_from([key, "op", "value", "x"]))] = draw.draw(
        st.sampled_from([node[key], 0, -1, "a", [], [1, 2], {}, True, 1.5])
    )
    try:
        parse_rule(broken, WORDS, trigger=True)
    except MalformedRequest:
        return
    SCHEMA.validate(broken)


def objects(data: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a rule that has fields."""
    if isinstance(data, dict) and data:
        yield data
    for item in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from objects(item)
