"""Formulas, calendars, credit, tables, chains and refusals of questions: the pure parts."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.analytics import parse_question, to_csv, to_table
from siyu.analytics.calendar import covering, index_sql
from siyu.analytics.chains import Rows, Rules, find_chains
from siyu.analytics.columns import greatest, next_hits, sorted_together
from siyu.analytics.credit import Journey, markov_credit, rule_credit
from siyu.analytics.formula import parse_formula
from siyu.analytics.funnel import FunnelFigures
from siyu.analytics.pages import PersonPage
from siyu.analytics.question import Interval, Span, Window, span_of
from siyu.errors import InvalidQuestion
from siyu.rules import Params

NOW = datetime(2026, 3, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A+B*2", 14),
        ("(A+B)*2", 24),
        ("A-B-1", -9),
        ("-A/B", -0.2),
        ("A / (B - 10)", None),
        ("A*C", None),
        ("1.5", 1.5),
        ("--A", 2),
    ],
)
def test_formula(text: str, expected: float | None) -> None:
    assert parse_formula(text, "ABC")({"A": 2, "B": 10, "C": None}) == (expected if text != "A+B*2" else 22)


@pytest.mark.parametrize(
    "text", ["", "A+", "(A", "A)", "D", "a", "A B", "2A", "AB", "A**B", "__import__('os')", "(" * 99]
)
def test_formula_refuses(text: str) -> None:
    with pytest.raises(InvalidQuestion):
        parse_formula(text, "ABC")


def test_a_day_of_a_clock_change_has_23_or_25_hours() -> None:
    zone = ZoneInfo("Europe/Berlin")
    for day, hours in ((date(2025, 3, 30), 23), (date(2025, 10, 26), 25)):
        start = int(datetime.combine(day, datetime.min.time(), zone).timestamp() * 1000)
        days = covering(zone, "day", Interval(start, start + 3_600_000))
        assert days.labels == (day.isoformat(),)
        assert days.starts[1] - days.starts[0] == hours * 3_600_000


def test_weeks_and_months() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    span = span_of(Span(from_="2024-02-28", to="2024-03-05"), zone, NOW)
    assert covering(zone, "week", span).labels == ("2024-02-26", "2024-03-04")
    assert covering(zone, "week", span, "sunday").labels == ("2024-02-25", "2024-03-03")
    assert covering(zone, "month", span).labels == ("2024-02-01", "2024-03-01")
    assert "Array(UInt16)" in index_sql(covering(zone, "month", span), Params())


def test_ranges() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    days = span_of(Span(days=2), zone, NOW)
    assert days == Interval(*(int(datetime(2026, 3, d, tzinfo=zone).timestamp() * 1000) for d in (9, 11)))
    local = span_of(Span(from_="2026-03-01T08:00:00"), zone, NOW)
    assert local == Interval(int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000), int(NOW.timestamp() * 1000))


@pytest.mark.parametrize(("n", "ms"), [(2, 120_000), (0, 14 * 86_400_000), (-3, 14 * 86_400_000)])
def test_windows(n: int, ms: int) -> None:
    assert Window(n=n, unit="minute").milliseconds == ms


def journey(*channels: str, value: float = 1.0) -> Journey:
    """A journey with a touch a day."""
    return Journey(channels, tuple(float(len(channels) - 1 - i) for i in range(len(channels))), value)


def test_markov_published_example() -> None:
    """The classic walk-through: removal effects .5, 1, 1 and credit .2, .4, .4."""
    credit, effects = markov_credit([journey("C1", "C2", "C3")], [("C1",), ("C2", "C3")])
    assert effects == pytest.approx({"C1": 0.5, "C2": 1, "C3": 1})
    assert {c: x for c, (x, _) in credit.items()} == pytest.approx({"C1": 0.2, "C2": 0.4, "C3": 0.4})


def test_markov_ignores_repeats_in_a_row() -> None:
    once, _ = markov_credit([journey("a", "b")], [("a",)])
    twice, _ = markov_credit([journey("a", "a", "b", "b")], [("a", "a")])
    assert once == twice


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("first", {"a": 1.0, "b": 0.0, "direct": 0.0}),
        ("last", {"a": 0.0, "b": 0.0, "direct": 1.0}),
        ("last_non_direct", {"a": 0.0, "b": 1.0, "direct": 0.0}),
        ("linear", {"a": 1 / 3, "b": 1 / 3, "direct": 1 / 3}),
        ("position", {"a": 0.4, "b": 0.2, "direct": 0.4}),
    ],
)
def test_rules_of_credit(model: str, expected: dict[str, float]) -> None:
    found = rule_credit([journey("a", "b", "direct", value=300)], model)
    assert {c: x for c, (x, _) in found.items()} == pytest.approx(expected)
    assert {c: v for c, (_, v) in found.items()} == pytest.approx({c: x * 300 for c, x in expected.items()})


def test_position_of_one_and_two_touches_and_decay_by_half_a_week() -> None:
    assert rule_credit([journey("a")], "position") == {"a": (1.0, 1.0)}
    assert rule_credit([journey("a", "b")], "position") == {"a": (0.5, 0.5), "b": (0.5, 0.5)}
    week = rule_credit([Journey(("a", "b"), (7.0, 0.0), 1.0)], "time_decay")
    assert week["a"][0] == pytest.approx(1 / 3)
    ancient = rule_credit([Journey(("a", "b"), (90_007.0, 90_000.0), 1.0)], "time_decay")
    assert ancient["a"][0] == pytest.approx(1 / 3)


def test_no_credit_is_lost() -> None:
    rng = random.Random(5)
    journeys = [journey(*rng.choices("abcd", k=rng.randint(1, 6)), value=rng.random()) for _ in range(200)]
    for model in ("first", "last", "last_non_direct", "linear", "position", "time_decay"):
        found = rule_credit(journeys, model)
        assert sum(x for x, _ in found.values()) == pytest.approx(200)
        assert sum(v for _, v in found.values()) == pytest.approx(sum(j.value for j in journeys))
    credit, _ = markov_credit(journeys, [("a", "b")] * 50)
    assert sum(x for x, _ in credit.values()) == pytest.approx(200)


def test_csv_disarms_formulas_and_quotes() -> None:
    page = PersonPage(2, ["=cmd()", 'a"b,c'], None)
    assert to_csv(page) == 'person_id\r\n\'=cmd()\r\n"a""b,c"\r\n'
    assert to_table(FunnelFigures([0], [None], [None]))[1] == [[0, 0, None, None, None]]


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 3))))
def test_sorting_columns_together(rows: list[tuple[int, int, int]]) -> None:
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)] or [np.zeros(0, np.int64)] * 3
    found = list(zip(*(column.tolist() for column in sorted_together(*columns)), strict=True))
    assert found == sorted(rows)


@given(st.lists(st.booleans()))
def test_next_hits(hits: list[bool]) -> None:
    expected = [next((j for j in range(i, len(hits)) if hits[j]), len(hits)) for i in range(len(hits) + 1)]
    assert next_hits(np.array(hits, bool), np.arange(len(hits) + 1)).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 9))))
def test_greatest_of_each_owner(rows: list[tuple[int, int]]) -> None:
    owners, values = (np.array([row[i] for row in sorted(rows)], np.int64) for i in (0, 1))
    found = np.full(6, -1)
    greatest(values, owners, found)
    assert found.tolist() == [max([-1, *(value for owner, value in rows if owner == o)]) for o in range(6)]


def test_thirty_equal_events_do_not_explode() -> None:
    size = 30_000
    hits = [np.arange(size) % 3 == k for k in range(3)]
    rows = Rows(np.zeros(size, np.int64), np.zeros(size, np.int64), [np.sort(h)[::-1] for h in hits], [], 1)
    for order in ("ordered", "strict", "unordered"):
        assert find_chains(rows, Rules(order, 1000, overlapping=True)).depth[0] >= 1


@pytest.mark.parametrize(
    ("question", "path"),
    [
        ({"kind": "no"}, "kind"),
        ({}, ""),
        ([], ""),
        ({"kind": "funnel", "steps": []}, "steps"),
        ({"kind": "funnel", "steps": [{"event": "a"}] * 21}, "steps"),
        ({"kind": "funnel", "steps": [{"event": ""}]}, "steps[0].event"),
        ({"kind": "funnel", "steps": [{"event": "a", "oops": 1}]}, "steps[0]"),
        ({"kind": "funnel", "steps": [{"event": "a"}], "order": "any"}, "order"),
        ({"kind": "funnel", "steps": [{"event": "a"}], "window": {"n": "1"}}, "window.n"),
        (
            {"kind": "funnel", "steps": [{"event": "a"}] * 2, "exclusions": [{"event": "x", "from": 1, "to": 1}]},
            "exclusions[0].from",
        ),
        (
            {"kind": "funnel", "steps": [{"event": "a"}] * 2, "exclusions": [{"event": "x", "from": 0, "to": 2}]},
            "exclusions[0].to",
        ),
        (
            {
                "kind": "funnel",
                "order": "unordered",
                "steps": [{"event": "a"}] * 3,
                "exclusions": [{"event": "x", "from": 0, "to": 1}],
            },
            "exclusions[0].from",
        ),
        (
            {
                "kind": "funnel",
                "order": "unordered",
                "steps": [{"event": "a"}] * 2,
                "breakdown": {"event_prop": "k", "attribution": "step:1"},
            },
            "breakdown.attribution",
        ),
        (
            {"kind": "funnel", "steps": [{"event": "a"}], "breakdown": {"event_prop": "k", "attribution": "step:1"}},
            "breakdown.attribution",
        ),
        ({"kind": "funnel", "steps": [{"event": "a"}], "breakdown": {}}, "breakdown"),
        ({"kind": "funnel", "steps": [{"event": "a"}], "cell": {"step": 1}}, "cell.step"),
        ({"kind": "retention", "intervals": 0}, "intervals"),
        ({"kind": "retention", "cell": {"cohort": 7, "interval": 1}}, "cell.interval"),
        ({"kind": "trend", "series": []}, "series"),
        ({"kind": "trend", "series": [{"math": "sum"}]}, "series[0].property"),
        ({"kind": "trend", "series": [{"property": "x"}]}, "series[0].property"),
        ({"kind": "trend", "series": [{}], "formula": "B"}, "formula"),
        ({"kind": "trend", "series": [{}], "cell": {"series": "B"}}, "cell.series"),
        ({"kind": "rfm", "cell": {"name": "best"}}, "cell.name"),
        ({"kind": "rfm", "reference": "soon"}, "reference"),
        ({"kind": "paths", "only": ["a"], "without": ["b"]}, "without"),
        ({"kind": "paths", "start": "a", "end": "a"}, "end"),
        ({"kind": "segment_size", "condition": {}}, "condition"),
        ({"kind": "segment_size", "condition": {"all": [{"did": {"at_least": -1}}]}}, "condition.all[0].did.at_least"),
        ({"kind": "timeline", "person": "x"}, "person"),
        ({"kind": "attribution", "conversion": {}}, "conversion.event"),
    ],
)
def test_refusals_name_the_place(question: Any, path: str) -> None:
    import msgspec

    with pytest.raises(InvalidQuestion) as refused:
        parse_question(msgspec.json.encode(question))
    assert refused.value.details["path"] == path


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"{", b'{"kind": "funnel"', b"null", b"[" * 100_000, b'"' + b"x" * 300_000 + b'"', b'{"a":NaN}'],
)
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidQuestion):
        parse_question(body)


@pytest.mark.parametrize(
    ("span", "path"),
    [
        (Span(from_="2026-01-02", to="2026-01-01"), "range.to"),
        (Span(from_="yesterday"), "range.from"),
        (Span(from_="1960-01-01", to="2026-01-01"), "range.from"),
        (Span(from_="1971-01-01", to="2026-01-01"), "range.to"),
        (Span(to="2026-01-01"), "range.from"),
        (Span(days=3, to="2026-01-01"), "range.days"),
    ],
)
def test_impossible_ranges(span: Span, path: str) -> None:
    with pytest.raises(InvalidQuestion) as refused:
        span_of(span, ZoneInfo("UTC"), NOW + timedelta(0))
    assert refused.value.details["path"] == path
