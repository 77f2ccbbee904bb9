"""Forms become questions that the analytics room understands; answers become what pages show."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.analytics.attribution import MODELS, AttributionAnswer, ChannelCredit
from siyu.analytics.clv import ClvAnswer, ClvDecile
from siyu.analytics.funnel import FunnelFigures, FunnelGroups
from siyu.analytics.kinds import parse_question
from siyu.analytics.retention import RetentionGroups, RetentionMatrix
from siyu.analytics.trend import Line, TrendGroups, TrendLines
from siyu.console.format import Format
from siyu.console.question_form import KINDS, decode_question, encode_question, first_question, question_of
from siyu.console.result import MODEL_NAMES, present
from siyu.console.result_words import cell_words
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
    if kind in ("funnel", "trend", "attribution", "segment_size"):
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


def test_an_attribution_form() -> None:
    question = question_of(
        "attribution",
        {
            "event": ["order.paid"],
            "where_prop": ["store"],
            "where_op": ["eq"],
            "where_value": ["广州"],
            "touch_event": ["page.viewed"],
            "touch_where_prop": ["campaign"],
            "touch_where_op": ["exists"],
            "channel": ["@end"],
            "model": ["last_non_direct", "markov"],
            "direct": ["直接访问"],
            "value": ["@value_fen"],
            "window_n": ["7"],
            "window_unit": ["day"],
            "days": ["90"],
        },
    )
    assert question == {
        "kind": "attribution",
        "conversion": {"event": "order.paid", "where": {"property": "store", "op": "eq", "value": "广州"}},
        "touch": {"event": "page.viewed", "where": {"property": "campaign", "op": "exists"}},
        "channel": "@end",
        "models": ["last_non_direct", "markov"],
        "direct": "直接访问",
        "value": "@value_fen",
        "window": {"n": 7, "unit": "day"},
        "range": {"days": 90},
    }
    parse_question(question)


@pytest.mark.parametrize(
    ("properties", "channel", "touch"),
    [([], "@end", {"event": "product.viewed"}), (["price", "utm_source"], "utm_source", {})],
)
def test_attribution_asks_for_sources_where_links_carry_them_and_for_ends_elsewhere(
    properties: list[str], channel: str, touch: dict[str, str]
) -> None:
    question = first_question("attribution", ["product.viewed", "order.paid"], properties)
    assert (question["channel"], question["touch"]) == (channel, touch)
    parse_question(question)


def test_a_lifetime_value_form_looks_at_all_history_unless_told_otherwise() -> None:
    form = {"event": ["order.paid"], "value": ["paid_yuan"], "window_n": ["26"], "window_unit": ["week"]}
    question = {
        "kind": "clv",
        "event": "order.paid",
        "value": "paid_yuan",
        "horizon": {"n": 26, "unit": "week"},
    }
    assert question_of("clv", form | {"days": ["all"]}) == question
    assert question_of("clv", form | {"days": ["365"]}) == question | {"range": {"days": 365}}
    parse_question(question)


FIELDS = """
event where_prop where_op where_value where_json order window_n window_unit days from to breakdown attribution
excl_event excl_from excl_to target returning period type intervals math property formula interval start end
steps_max nodes_max gap without cuts split at_least within join
touch_event touch_where_prop touch_where_op touch_where_value channel model direct value
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


@pytest.mark.parametrize(
    ("breakdown", "group", "name"),
    [
        ({"event_prop": "@end"}, "mini_program", "小程序"),
        ({"event_prop": "$scene"}, "wx-1007", "单聊中的小程序卡片"),
        ({"person_prop": "dim.price_sensitivity"}, "high", "高"),
        ({"person_prop": "city"}, "广州", "广州"),
        ({"person_prop": "city"}, "", "（空）"),
    ],
)
def test_values_of_a_breakdown_have_names(breakdown: dict[str, str], group: str, name: str) -> None:
    question = {"kind": "funnel", "steps": [{"event": "a"}], "breakdown": breakdown, "series": [{"event": "a"}]}
    funnel = FunnelFigures([1], [None], [None])
    (shown,) = present("funnel", question, FunnelGroups({group: funnel}), FACE)["funnels"]
    assert (shown.group, shown.name) == (group, name)
    lines = TrendGroups(["2026-11-01"], {group: [Line("A", [1.0], 1.0)]})
    (line,) = present("trend", question, lines, FACE)["table"]
    assert (line["name"], line["cell"]["group"]) == (name, group)
    triangle = RetentionGroups("2026-11-01", ["2026-11-01"], {group: [[1]]})
    (heat,) = present("retention", question, triangle, FACE)["heats"]
    assert (heat.group, heat.name) == (group, name)
    assert list(cell_words(question, {"group": group, "step": 0}, FACE)) == [("分组", name), ("步骤", "1")]


@pytest.mark.parametrize(
    ("formula", "money"),
    [
        ("A / B", True), ("A - A / 2", True), ("2 * (A + A)", True), ("A * B / B", True), ("-A", True),
        ("A / A", False), ("1 / A", False), ("B", False), ("A + B", False), ("A * A", False), ("A - A", False),
        ("B / A", False),
    ],
)  # fmt: skip
def test_amounts_of_a_trend_are_shown_as_money(formula: str, money: bool) -> None:
    question = {
        "kind": "trend", "formula": formula,
        "series": [
            {"event": "order.paid", "math": "sum", "property": "@value_fen"}, {"event": "order.paid", "math": "persons"}
        ],
    }  # fmt: skip
    lines = [Line("A", [12_345, None], 12_345), Line("B", [3, 0], 3), Line("formula", [4_115.0, None], 4_115.0)]
    shown = present("trend", question, TrendLines(["2026-11-01", "2026-11-02"], lines), FACE)
    assert [line["money"] for line in shown["table"]] == [True, False, money]
    assert shown["table"][0]["name"] == "支付订单 · 总和 金额（元）"
    assert [line["values"] for line in shown["chart"]["series"][:2]] == [[123.45, None], [3, 0]]
    assert shown["chart"]["series"][2]["values"] == [41.15 if money else 4_115.0, None]


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


def test_every_model_of_attribution_has_a_name() -> None:
    assert set(MODEL_NAMES) == set(MODELS)


def credits_of_two_channels() -> AttributionAnswer:
    lines = [
        ChannelCredit("mini_program", 4, {"first": 3.0, "markov": 2.5}, {"first": 30_000.0, "markov": 25_000.0}),
        ChannelCredit("kiosk", 2, {"first": 1.0, "markov": 1.5}, {"first": 10_000.0, "markov": 15_000.0}),
    ]
    return AttributionAnswer(6, 60_000.0, 2, lines, {"mini_program": 0.6, "kiosk": 0.4})


def test_credits_are_shares_of_what_was_attributed() -> None:
    question = {"channel": "@end", "value": "@value_fen"}
    shown = present("attribution", question, credits_of_two_channels(), FACE)
    mini, kiosk = shown["channels"]
    assert (mini.name, mini.channel, kiosk.name) == ("小程序", "mini_program", "kiosk")
    assert [(one.model, one.share, one.value) for one in mini.credits] == [
        ("首次触点", 0.75, "¥300.00"),
        ("马尔可夫链", 0.625, "¥250.00"),
    ]
    assert (shown["value"], shown["unattributed"], kiosk.removal) == ("¥600.00", 2, 0.4)


def test_a_source_keeps_its_own_name_and_nothing_is_divided_by_nothing() -> None:
    shown = present("attribution", {"channel": "utm_source"}, credits_of_two_channels(), FACE)
    assert [line.name for line in shown["channels"]] == ["mini_program", "kiosk"]
    assert (shown["value"], shown["channels"][0].credits[0].value) == (None, None)
    nothing = present("attribution", {}, AttributionAnswer(3, 0.0, 3, [], {}), FACE)
    assert (nothing["channels"], nothing["drawn"], nothing["removal"]) == ([], [], False)


def tenths(first_value: float) -> ClvAnswer:
    lines = [ClvDecile(1, 5, 20.0, first_value, 0.9), ClvDecile(2, 0, 0.0, 0.0, 0.0)]
    return ClvAnswer(5, 2, 52.0, 20.0, first_value, {"r": 0.2}, None, lines)


def test_the_value_of_a_tenth_is_money_only_where_it_is_fen() -> None:
    shown = present("clv", {"kind": "clv"}, tenths(50_000.0), FACE)
    assert (shown["value"], shown["each"]) == ("¥500.00", "¥100.00")
    assert [(line["value"], line["each"], line["share"]) for line in shown["tenths"]] == [
        ("¥500.00", "¥100.00", 1.0),
        ("¥0.00", "–", 0.0),
    ]
    assert shown["chart"]["series"][0]["values"] == [500.0, 0.0]
    plain = present("clv", {"kind": "clv", "value": "paid_yuan"}, tenths(500.0), FACE)
    assert (plain["value"], plain["chart"]["series"][0]["values"]) == ("500", [500.0, 0.0])


def test_tenths_without_any_value_are_drawn_too() -> None:
    assert [line["share"] for line in present("clv", {}, tenths(0.0), FACE)["tenths"]] == [None, None]
