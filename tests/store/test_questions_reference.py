"""The question engine against the slow reference evaluators, on generated events and generated questions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siyu.analytics import actions, packing, trend
from siyu.analytics.actions import NAMES_MAX, ask
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.reference import counting, credit, funnels
from tests.reference.world import Happening, insert_events, merge, register, share

BASE = datetime(2025, 3, 27, 22, 30, tzinfo=UTC)
BASE_MS = int(BASE.timestamp() * 1000)
NOW = BASE + timedelta(days=400)
NAMES = ("a", "b", "c", "x", 'it\'s \\ "so"')
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC", "Asia/Kathmandu")
VALUES: tuple[Any, ...] = (
    "",
    "0",
    0,
    1.5,
    -3,
    "1.50",
    "中文😀",
    "O'Brien\\",
    None,
    True,
    [1, "z"],
    {"q": 1},
    "l" * 3000,
)

generous = settings(
    max_examples=int(os.environ.get("QUESTION_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class World(NamedTuple):
    """Generated events, and who is who."""

    happenings: list[Happening]
    merged: dict[int, int]
    shared: list[tuple[int, int]]
    """Spans of anchor 9: (since ms, person)."""


properties = st.fixed_dictionaries(
    {},
    optional={
        "k": st.sampled_from(VALUES),
        "n": st.sampled_from([0, 1, 2.5, "7", "x", -4]),
        "d": st.just({"e": "deep"}),
    },
)


def worlds(times: Sequence[int], size: int = 14) -> st.SearchStrategy[World]:
    """Few persons, few names, times from a small set so that many are equal."""

    def resolve(rows: list[tuple[int, str, int, dict[str, Any], int]], target: int, since: int, later: int) -> World:
        merged, spans = {4: target, 5: target}, [(0, 9), (since, later)]
        happenings = []
        for anchor, name, at, props, value in rows:
            person = merged.get(anchor, anchor)
            if anchor == 9:
                person = later if at >= since else 9
            fen = value if name in ("a", "x") else 0
            happenings.append(Happening(person, name, at, props, fen, anchor=anchor))
        return World(happenings, merged, spans)

    row = st.tuples(
        st.sampled_from([1, 2, 3, 4, 5, 9]),
        st.sampled_from(NAMES),
        st.sampled_from(times),
        properties,
        st.sampled_from([0, 100, 250, 9900, -100]),
    )
    return st.builds(
        resolve,
        st.lists(row, max_size=size),
        st.sampled_from([1, 2, 3]),
        st.sampled_from(times),
        st.sampled_from([1, 2]),
    )


SHORT = [BASE_MS + ms for ms in (0, 0, 1, 999, 1000, 1001, 2000, 3000, 5000, 60_000, 3_600_000)]
LONG = [BASE_MS + hours * 3_600_000 for hours in range(-24 * 40, 24 * 40, 7)]

wheres = st.sampled_from(
    [
        None,
        {"k": "0"},
        {"k": 0},
        {"k": None},
        {"property": "n", "op": "gte", "value": 1},
        {"not": {"k": "中文😀"}},
        {"any": [{"d.e": "deep"}, {"property": "k", "op": "contains", "value": "z"}]},
        {"@end": "app"},
    ]
)


def steps(named: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """A step of a question."""
    name = st.sampled_from(NAMES) if named else st.none() | st.sampled_from(NAMES)
    return st.builds(lambda n, w: {k: v for k, v in (("event", n), ("where", w)) if v is not None}, name, wheres)


async def put(db: Database, events: EventStore, world: World) -> None:
    """Make the engines hold exactly this world."""
    for table in ("events", "person_map", "person_spans"):
        await events.command(f"TRUNCATE TABLE {table}")
    if world.happenings:
        await insert_events(events, world.happenings)
    await merge(events, world.merged)
    await share(events, 9, world.shared)


@pytest.fixture
async def ready(db: Database, events: EventStore, monkeypatch: pytest.MonkeyPatch) -> tuple[Database, EventStore]:
    """Both engines with their tables, and all identifier numbers registered; more than a few events come by several
    statements, and funnels and paths in several blocks."""
    monkeypatch.setattr(actions, "EVENTS_PER_SLICE", 6)
    monkeypatch.setattr(packing, "BLOCK_ROWS", 3)
    await db.create_all()
    await events.create_all()
    await register(db, range(1, 10))
    return db, events


async def answer_of(ready: tuple[Database, EventStore], question: dict[str, Any]) -> Any:
    """The engine's answer as plain data."""
    return msgspec.to_builtins(await ask(*ready, question, NOW, "Asia/Shanghai"))


async def persons_of(ready: tuple[Database, EventStore], question: dict[str, Any], cell: dict[str, Any]) -> list[int]:
    """The numbers of the persons behind a cell."""
    page = await answer_of(ready, question | {"cell": cell})
    assert page["count"] == len(page["persons"])
    return sorted(UUID(uid).int for uid in page["persons"])


@st.composite
def funnel_questions(draw: st.DrawFn) -> dict[str, Any]:
    """Any funnel that may be asked."""
    order = draw(st.sampled_from(["ordered", "strict", "unordered"]))
    chosen = draw(st.lists(steps(), min_size=1, max_size=4))
    last = len(chosen) - 1
    question: dict[str, Any] = {
        "kind": "funnel",
        "order": order,
        "steps": chosen,
        "window": {"n": draw(st.sampled_from([-1, 0, 1, 2, 5])), "unit": draw(st.sampled_from(["second", "hour"]))},
        "range": {
            "from": BASE.isoformat(),
            "to": (BASE + timedelta(seconds=draw(st.sampled_from([3, 4000, 300 * 86_400])))).isoformat(),
        },
    }
    if last and draw(st.booleans()):
        low = 0 if order == "unordered" else draw(st.integers(0, last - 1))
        high = last if order == "unordered" else draw(st.integers(low + 1, last))
        question["exclusions"] = [draw(steps()) | {"from": low, "to": high}]
    if draw(st.booleans()):
        step = 0 if order == "unordered" else draw(st.integers(0, last))
        attribution = draw(st.sampled_from(["first_touch", "last_touch", "all_events", f"step:{step}"]))
        question["breakdown"] = {"event_prop": "k", "attribution": attribution, "limit": 100}
    return question


@generous
@given(world=worlds(SHORT, size=10), question=funnel_questions(), crowded=st.booleans())
async def test_funnel(
    ready: tuple[Database, EventStore], world: World, question: dict[str, Any], crowded: bool
) -> None:
    """`crowded`: person numbers so high that in a long range a row does not fit into one number."""
    await put(*ready, world)
    if crowded:
        await merge(ready[1], {1_000_000: 4_000_000_000})
    answer = await answer_of(ready, question | {"persons": True})
    span = tuple(int(datetime.fromisoformat(question["range"][k]).timestamp() * 1000) for k in ("from", "to"))
    n, unit = question["window"]["n"], {"second": 1000, "hour": 3_600_000}[question["window"]["unit"]]
    expected = funnels.funnel(question, world.happenings, span, n * unit if n > 0 else 14 * 86_400_000)
    groups = answer["groups"] if "breakdown" in question else {"": answer}
    if "breakdown" not in question and not expected:
        size = len(question["steps"])
        expected = {"": ([0] * size, [None] * size, [None] * size, [[] for _ in range(size)])}
    assert set(groups) == set(expected)
    for name, (counts, averages, medians, persons) in expected.items():
        figures = groups[name]
        assert figures["counts"] == counts
        assert figures["avg_conversion_s"] == pytest.approx(averages)
        assert figures["median_conversion_s"] == pytest.approx(medians)
        assert [sorted(UUID(uid).int for uid in step) for step in figures["persons"]] == persons


@st.composite
def retention_questions(draw: st.DrawFn) -> dict[str, Any]:
    """Any retention that may be asked."""
    question: dict[str, Any] = {
        "kind": "retention",
        "period": draw(st.sampled_from(["day", "week", "month"])),
        "type": draw(st.sampled_from(["recurring", "first_time"])),
        "target": draw(st.none() | st.sampled_from(NAMES)),
        "returning": draw(st.none() | st.sampled_from(NAMES)),
        "timezone": draw(st.sampled_from(ZONES)),
        "week_start": draw(st.sampled_from(["monday", "sunday"])),
        "end": (BASE + timedelta(days=draw(st.sampled_from([0, 3, 9, 30])))).isoformat(),
        "intervals": draw(st.integers(1, 6)),
    }
    where = draw(wheres)
    if where is not None:
        question["target_where"] = where
    if draw(st.booleans()):
        question["breakdown"] = {"event_prop": "k", "limit": 100}
    return question


@generous
@given(world=worlds(LONG, size=40), question=retention_questions())
async def test_retention(ready: tuple[Database, EventStore], world: World, question: dict[str, Any]) -> None:
    await put(*ready, world)
    answer = await answer_of(ready, question)
    zone, end = ZoneInfo(question["timezone"]), datetime.fromisoformat(question["end"])
    expected = counting.retention(question, world.happenings, zone, end)
    if "breakdown" in question:
        assert answer["groups"] == expected
        cells = [(name, triangle) for name, triangle in expected.items()][:1]
    else:
        empty = [[0] * (question["intervals"] - i) for i in range(question["intervals"])]
        assert answer["matrix"] == expected.get("", empty)
        cells = [(None, answer["matrix"])]
    for name, triangle in cells:
        for i, row in enumerate(triangle[:2]):
            for k, count in enumerate(row[:2]):
                cell = {"cohort": i, "interval": k} | ({} if name is None else {"group": name})
                assert len(await persons_of(ready, question, cell)) == count


@st.composite
def trend_questions(draw: st.DrawFn) -> dict[str, Any]:
    """Any trend that may be asked, of small size."""
    series = []
    for _ in range(draw(st.integers(1, 3))):
        item = draw(steps(named=False))
        item["math"] = draw(
            st.sampled_from(["count", "persons", "per_person", "sum", "avg", "min", "max", "percentile"])
        )
        if item["math"] not in ("count", "persons"):
            item["property"] = draw(st.sampled_from(["n", "@value_fen", "k"]))
        if item["math"] == "percentile":
            item["percentile"] = draw(st.sampled_from([1, 50, 90]))
        series.append(item)
    question: dict[str, Any] = {
        "kind": "trend",
        "series": series,
        "interval": draw(st.sampled_from(["hour", "day", "week", "month"])),
        "timezone": draw(st.sampled_from(ZONES)),
        "range": {
            "from": (BASE - timedelta(days=draw(st.sampled_from([3, 20])))).isoformat(),
            "to": (BASE + timedelta(days=draw(st.sampled_from([4, 31])))).isoformat(),
        },
    }
    if draw(st.booleans()):
        question["breakdown"] = {"event_prop": "k", "limit": draw(st.sampled_from([100, 2]))}
    return question


def span_of(question: dict[str, Any]) -> tuple[int, int]:
    """The range in epoch ms."""
    low, high = (int(datetime.fromisoformat(question["range"][k]).timestamp() * 1000) for k in ("from", "to"))
    return low, high


@generous
@given(world=worlds(LONG, size=30), question=trend_questions(), values_max=st.sampled_from([trend.VALUES_MAX, 1]))
async def test_trend(
    ready: tuple[Database, EventStore], world: World, question: dict[str, Any], values_max: int
) -> None:
    await put(*ready, world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trend, "VALUES_MAX", values_max)  # with more values they are counted in two steps
        answer = await answer_of(ready, question)
    expected = counting.trend(question, world.happenings, ZoneInfo(question["timezone"]), span_of(question))
    groups = answer["groups"] if "breakdown" in question else {"": answer["series"]}
    assert set(groups) == set(expected)
    for name, lines in expected.items():
        for line, (values, total) in zip(groups[name], lines, strict=True):
            assert line["values"] == pytest.approx(values)
            assert line["total"] == pytest.approx(total)


@st.composite
def activity_questions(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """A lifecycle or stickiness question."""
    return draw(steps(named=False)) | {
        "kind": kind,
        "interval": draw(st.sampled_from(["day", "week", "month", *(["hour"] if kind == "stickiness" else [])])),
        "timezone": draw(st.sampled_from(ZONES)),
        "week_start": draw(st.sampled_from(["monday", "sunday"])),
        "range": {
            "from": (BASE - timedelta(days=draw(st.sampled_from([1, 10])))).isoformat(),
            "to": (BASE + timedelta(days=draw(st.sampled_from([1, 15])))).isoformat(),
        },
    }


@generous
@given(world=worlds(LONG, size=30), question=activity_questions("lifecycle"))
async def test_lifecycle(ready: tuple[Database, EventStore], world: World, question: dict[str, Any]) -> None:
    await put(*ready, world)
    answer = await answer_of(ready, question)
    expected = counting.lifecycle(question, world.happenings, ZoneInfo(question["timezone"]), span_of(question))
    for state, sets in expected.items():
        assert answer[state] == [len(persons) for persons in sets]
        assert await persons_of(ready, question, {"interval": 0, "state": state}) == sorted(sets[0])


@generous
@given(world=worlds(LONG, size=30), question=activity_questions("stickiness"))
async def test_stickiness(ready: tuple[Database, EventStore], world: World, question: dict[str, Any]) -> None:
    await put(*ready, world)
    answer = await answer_of(ready, question)
    expected = counting.stickiness(question, world.happenings, ZoneInfo(question["timezone"]), span_of(question))
    assert answer["exactly"] == [len(persons) for persons in expected]
    assert await persons_of(ready, question, {"intervals": 1}) == sorted(expected[0])
    assert answer["at_least"][0] == sum(answer["exactly"])


@generous
@given(world=worlds(LONG, size=30), event=st.sampled_from([None, "a"]), zone=st.sampled_from(ZONES))
async def test_rfm(ready: tuple[Database, EventStore], world: World, event: str | None, zone: str) -> None:
    await put(*ready, world)
    question = {"kind": "rfm", "timezone": zone} | ({"event": event} if event else {})
    answer = await answer_of(ready, question)
    expected = counting.rfm(world.happenings, ZoneInfo(zone), event)
    columns = list(zip(*expected.values(), strict=True))
    scored: dict[tuple[int, ...], list[int]] = {}
    for person, figures in expected.items():
        scores = tuple(counting.value_score(columns[i], figures[i], sign) for i, sign in enumerate((-1, 1, 1)))
        scored.setdefault(scores, []).append(person)
    assert answer["persons"] == len(expected)
    assert answer["value"] == sum(figures[2] for figures in expected.values())
    found = {(g["r"], g["f"], g["m"]): g["persons"] for g in answer["groups"]}
    assert found == {scores: len(persons) for scores, persons in scored.items()}
    assert sum(segment["persons"] for segment in answer["segments"]) == len(expected)
    for (r, f, m), persons in list(scored.items())[:1]:
        assert await persons_of(ready, question, {"r": r, "f": f, "m": m}) == sorted(persons)


@st.composite
def paths_questions(draw: st.DrawFn) -> dict[str, Any]:
    """Any paths question, without a limit of nodes."""
    question: dict[str, Any] = {
        "kind": "paths",
        "range": {"from": BASE.isoformat(), "to": (BASE + timedelta(hours=2)).isoformat()},
        "steps_max": draw(st.integers(2, 4)),
        "session_gap": {"n": draw(st.sampled_from([1, 2, 5000])), "unit": "second"},
        "repeats": draw(st.booleans()),
        "nodes_max": 50,
    }
    start, end = draw(st.sampled_from([(None, None), ("a", None), (None, "b"), ("a", "b")]))
    question |= {k: v for k, v in (("start", start), ("end", end)) if v}
    filters = draw(st.sampled_from([{}, {"only": ["a", "b", "c"]}, {"without": ["x"]}]))
    return question | filters


@generous
@given(world=worlds(SHORT, size=20), question=paths_questions(), names_max=st.sampled_from([NAMES_MAX, 0]))
async def test_paths(
    ready: tuple[Database, EventStore], world: World, question: dict[str, Any], names_max: int
) -> None:
    """`names_max`: how many different names of events may be known beforehand."""
    await put(*ready, world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actions, "NAMES_MAX", names_max)
        answer = await answer_of(ready, question)
    gap = question["session_gap"]["n"] * 1000
    nodes, edges = counting.paths(question, world.happenings, span_of(question), gap)
    assert {(n["step"], n["name"]): n["count"] for n in answer["nodes"]} == {k: len(v) for k, v in nodes.items()}
    found = {(e["step"], e["from"], e["to"]): e["count"] for e in answer["edges"]}
    assert found == {k: len(v) for k, v in edges.items()}
    for (step, name), persons in list(nodes.items())[:1]:
        assert await persons_of(ready, question, {"step": step, "name": name}) == sorted(set(persons))
    for (step, name, to), persons in list(edges.items())[:1]:
        assert await persons_of(ready, question, {"step": step, "name": name, "to": to}) == sorted(set(persons))


conditions = st.recursive(
    st.builds(
        lambda step, often, when: {"did": step | often | when},
        steps(named=False),
        st.sampled_from([{}, {"at_least": 2}, {"at_least": 0, "at_most": 1}, {"at_most": 3}]),
        st.sampled_from(
            [{}, {"days": 400}, {"days": 390}, {"range": {"from": BASE.isoformat(), "to": NOW.isoformat()}}]
        ),
    ),
    lambda inner: (
        st.builds(lambda c: {"not": c}, inner)
        | st.builds(
            lambda word, items: {word: items}, st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=3)
        )
    ),
    max_leaves=5,
)


@generous
@given(world=worlds(LONG, size=30), condition=conditions)
async def test_segment_size(ready: tuple[Database, EventStore], world: World, condition: dict[str, Any]) -> None:
    await put(*ready, world)
    question = {"kind": "segment_size", "condition": condition}
    answer = await answer_of(ready, question)
    did: dict[int, list[Happening]] = {h.person: [] for h in world.happenings}
    for h in world.happenings:
        did[h.person].append(h)
    inside = [p for p, mine in did.items() if counting.fulfils(condition, mine, int(NOW.timestamp() * 1000))]
    assert answer == {"count": len(inside), "total": len(did)}
    assert await persons_of(ready, question, {}) == sorted(inside)


@st.composite
def attribution_questions(draw: st.DrawFn) -> dict[str, Any]:
    """An attribution whose touches and conversions may be the same events."""
    question: dict[str, Any] = {
        "kind": "attribution",
        "conversion": draw(steps()),
        "touch": draw(steps(named=False)),
        "channel": draw(st.sampled_from(["k", "n", "@name"])),
        "direct": "direct",
        "window": {"n": draw(st.sampled_from([1, 3, 3600])), "unit": "second"},
        "range": {
            "from": BASE.isoformat(),
            "to": (BASE + timedelta(seconds=draw(st.sampled_from([3, 4000])))).isoformat(),
        },
    }
    if draw(st.booleans()):
        question["value"] = draw(st.sampled_from(["@value_fen", "n"]))
    return question


@generous
@given(world=worlds(SHORT, size=20), question=attribution_questions())
async def test_attribution(ready: tuple[Database, EventStore], world: World, question: dict[str, Any]) -> None:
    await put(*ready, world)
    answer = await answer_of(ready, question)
    made, lost = credit.journeys(question, world.happenings, span_of(question), question["window"]["n"] * 1000)
    reached = [journey for _, journey in made if journey[0]]
    assert answer["conversions"] == len(made)
    assert answer["unattributed"] == len(made) - len(reached)
    assert answer["value"] == pytest.approx(sum(value for _, (_, _, value) in made))
    lines = {line["channel"]: line for line in answer["channels"]}
    for model in ("first", "last", "last_non_direct", "linear", "position", "time_decay"):
        expected = credit.credit(reached, model)
        assert set(lines) == set(expected)
        for channel, (conversions, value) in expected.items():
            assert lines[channel]["conversions"][model] == pytest.approx(conversions)
            assert lines[channel]["value"][model] == pytest.approx(value)
    if reached:
        paths = [[channel for _, channel in touches] for touches, _, _ in reached]
        effects = credit.removal_effects(paths, lost)
        assert answer["removal_effect"] == pytest.approx(effects, abs=1e-9)
    for channel, line in list(lines.items())[:1]:
        persons = {person for person, (touches, _, _) in made if channel in [name for _, name in touches]}
        assert await persons_of(ready, question, {"channel": channel}) == sorted(persons)
        assert line["journeys"] == sum(channel in [name for _, name in touches] for touches, _, _ in reached)
