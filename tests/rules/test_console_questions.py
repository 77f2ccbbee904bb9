"""Forms become questions that the analytics room understands; answers become what pages show."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.analytics.funnel import FunnelFigures
from siyu.analytics.kinds import parse_question
from siyu.analytics.retention import RetentionMatrix
from siyu.console.format import Format
from siyu.console.question_form import KINDS, decode_question, encode_question, first_question, question_of
from siyu.console.result import present
from siyu.console.visit import Face
from siyu.errors import InvalidQuestion

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
FACE = Face("zh_CN", "light", Format("zh_CN", ZoneInfo("Asia/Shanghai"), NOW), "/console", False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "names", [[], ["order.paid"], ["product.viewed", "cart.added", "order.paid"], ["自定义", "别的"]]
)
def test_the_first_question_of_every_kind_can_be_asked(kind: str, names: list[str]) -> None:
    question = first_question(kind, names)
    if kind == "funnel" and not names:
        with pytest.raises(InvalidQuestion):
            parse_question(question)
    else:
        parse_question(question)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_form_is_answered_with_a_question_or_a_refusal(kind: str) -> None:
    question = question_of(kind, {})
    if kind in ("funnel", "trend", "segment_size"):
        with pytest.raises(InvalidQuestion):
            parse_question(question)
    else:
        parse_question(question)


def test_a_funnel_form() -> None:
    question = question_of(
        "funnel",
        {
            "event": ["product.viewed", "cart.added", ""],
            "where_prop": ["price", "", ""],
            "where_op": ["gte", "eq", "eq"],
            "where_value": ["100", "", ""],
            "where_json": ["", '{"channel":"wechat"}', ""],
            "order": ["strict"],
            "window_n": ["3"],
            "window_unit": ["hour"],
            "days": ["custom"],
            "from": ["2026-01-01"],
            "to": ["2026-02-01"],
            "breakdown": ["channel"],
            "breakdown_of": ["event"],
            "attribution": ["last_touch"],
            "excl_event": ["order.refunded"],
            "excl_from": ["1"],
            "excl_to": ["2"],
        },
    )
    assert question == {
        "kind": "funnel",
        "order": "strict",
        "steps": [
            {"event": "product.viewed", "where": {"property": "price", "op": "gte", "value": 100}},
            {"event": "cart.added", "where": {"channel": "wechat"}},
        ],
        "window": {"n": 3, "unit": "hour"},
        "range": {"from": "2026-01-01", "to": "2026-02-01"},
        "breakdown": {"event_prop": "channel", "attribution": "last_touch"},
        "exclusions": [{"event": "order.refunded", "from": 0, "to": 1}],
    }
    parse_question(question)


def test_a_trend_form() -> None:
    question = question_of(
        "trend",
        {
            "event": ["order.paid", ""],
            "math": ["percentile90", "persons"],
            "property": ["amount_fen", "x"],
            "interval": ["week"],
            "days": ["90"],
            "formula": ["A / B"],
        },
    )
    assert question["series"] == [
        {"event": "order.paid", "math": "percentile", "percentile": 90, "property": "amount_fen"},
        {"math": "persons"},
    ]
    parse_question(question)


def test_a_group_form() -> None:
    question = question_of(
        "segment_size", {"event": ["order.paid", "app.opened"], "at_least": ["2", "0"], "within": ["90", "30"]}
    )
    assert question["condition"] == {
        "all": [
            {"did": {"event": "order.paid", "at_least": 2, "days": 90}},
            {"not": {"did": {"event": "app.opened", "at_least": 1, "days": 30}}},
        ]
    }
    parse_question(question)


FIELDS = """
event where_prop where_op where_value where_json order window_n window_unit days from to breakdown attribution
excl_event excl_from excl_to target returning period type intervals math property formula interval start end
steps_max nodes_max gap without cuts split at_least within join
"""
forms = st.dictionaries(st.sampled_from(sorted(FIELDS.split())), st.lists(st.text(max_size=20), max_size=3))


@given(st.sampled_from(KINDS), forms)
def test_no_form_breaks_the_console(kind: str, form: dict[str, list[str]]) -> None:
    question = question_of(kind, form)
    assert decode_question(encode_question(question), kind) == question
    try:
        parse_question(question)
    except InvalidQuestion:
        pass
    else:
        assert question["kind"] == kind


@given(st.text(max_size=60))
def test_a_damaged_address_is_refused_with_words(text: str) -> None:
    with pytest.raises(InvalidQuestion):
        decode_question(text, "funnel")


def test_funnel_bars() -> None:
    question = {"kind": "funnel", "steps": [{"event": "product.viewed"}, {"event": "自定义"}]}
    shown = present("funnel", question, FunnelFigures([200, 50], [None, 61.0], [None, 30.0]), FACE)
    first, second = shown["funnels"][0].steps
    assert (first.name, first.persons, first.of_first, first.of_before) == ("浏览商品", 200, 1.0, None)
    assert (second.name, second.of_first, second.of_before, second.median_s) == ("自定义", 0.25, 0.25, 30.0)


def test_an_empty_funnel_divides_by_nothing() -> None:
    question = {"kind": "funnel", "steps": [{"event": "a"}, {"event": "b"}]}
    steps = present("funnel", question, FunnelFigures([0, 0], [None, None], [None, None]), FACE)["funnels"][0].steps
    assert [step.of_first for step in steps] == [None, None]


def test_averages_of_a_triangle_leave_out_the_period_that_is_not_over() -> None:
    days = ["2026-11-02", "2026-11-09", "2026-11-16"]
    heat = present("retention", {}, RetentionMatrix(days[0], days, [[100, 50, 9], [300, 90], [7]]), FACE)["heats"][0]
    assert heat.averages == [0.5, None]
    assert [cell.open for cell in heat.rows[0].cells] == [False, True]
    assert [len(row.cells) for row in heat.rows] == [2, 1, 0]
    assert heat.rows[0].label == "11月2日"
