"""Questions over HTTP, and the parts of asking that need both engines: persons, their properties, shards, limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import httpx
import msgspec
import pytest
from litestar import Litestar
from litestar.di import Provide

import siyu.store.tables  # noqa: F401 - makes the table of replies
from siyu.analytics import actions
from siyu.analytics.http import routes
from siyu.api.problems import on_siyu_error
from siyu.collect.event import Effects
from siyu.errors import SiyuError
from siyu.profile import ProfileChange, absorb
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore, QueryTooExpensive
from siyu.store.postgres import Database
from tests.reference.world import Happening, insert_events, merge, register, uid_of

NOW = datetime(2026, 3, 10, 15, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
DAY = 86_400_000


def three_shoppers() -> list[Happening]:
    """1 and 2 view and buy, 3 views; anchor 4 is person 1."""
    rows = []
    for person in (1, 2, 3):
        rows.append(Happening(person, "view", NOW_MS - 5 * DAY + person * 1000, {"k": f"v{person}"}))
    rows.append(Happening(1, "buy", NOW_MS - 4 * DAY, {"k": "v9"}, 500, anchor=4))
    rows.append(Happening(2, "buy", NOW_MS - 3 * DAY, {"k": "v9"}, 700))
    return rows


FUNNEL: dict[str, Any] = {
    "kind": "funnel",
    "steps": [{"event": "view"}, {"event": "buy"}],
    "range": {"days": 10},
}


@pytest.fixture
async def engines_ready(db: Database, events: EventStore) -> tuple[Database, EventStore]:
    """Both engines with three shoppers."""
    await db.create_all()
    await events.create_all()
    await register(db, [1, 2, 3, 4])
    await insert_events(events, three_shoppers())
    await merge(events, {4: 1})
    return db, events


@pytest.fixture
async def http(engines_ready: tuple[Database, EventStore]) -> AsyncIterator[httpx.AsyncClient]:
    """The routes of analytics, without the guards of the whole application."""
    db, events = engines_ready

    def provided(value: Any) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    services = {"db": db, "events": events, "now": lambda: NOW, "settings": Settings()}
    app = Litestar(
        routes,
        dependencies={name: provided(value) for name, value in services.items()},
        exception_handlers={SiyuError: on_siyu_error},
    )
    transport = httpx.ASGITransport(app=cast(Any, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_a_question_its_persons_and_its_csv(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/questions", json=FUNNEL | {"persons": True})
    assert answer.status_code == 200
    ids = [str(uid_of(n)) for n in (1, 2, 3)]
    assert answer.json()["counts"] == [3, 2]
    assert answer.json()["persons"] == [ids, ids[:2]]
    page = await http.post("/api/questions", json=FUNNEL | {"cell": {"step": 0}, "limit": 2})
    assert page.json() == {"count": 3, "persons": ids[:2], "next_offset": 2}
    rest = await http.post("/api/questions", json=FUNNEL | {"cell": {"step": 0}, "limit": 2, "offset": 2})
    assert rest.json() == {"count": 3, "persons": ids[2:], "next_offset": None}
    lost = await http.post("/api/questions", json=FUNNEL | {"cell": {"step": 1, "dropped": True}})
    assert lost.json()["persons"] == ids[2:]
    table = await http.post("/api/questions?format=csv", json=FUNNEL)
    assert table.headers["content-type"].startswith("text/csv")
    assert table.content.decode("utf-8-sig").splitlines()[1].split(",")[:2] == ["0", "3"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff\xfe", b'{"kind":"funnel","steps":[{"event":"a"}],"x":1}'])
async def test_nonsense_is_422_with_a_code(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/api/questions", content=body)
    assert answer.status_code == 422
    assert answer.json()["code"] == "INVALID_QUESTION"


EDGES = [
    {"kind": "trend", "series": [{}], "timezone": "Asia/Shanghai", "range": {"from": "0001-01-01"}},
    {
        "kind": "trend",
        "series": [{}],
        "timezone": "America/New_York",
        "range": {"from": "2026-01-01", "to": "9999-12-31T23:59:59"},
    },
    {"kind": "retention", "period": "day", "end": "9999-12-31T23:59:59Z", "timezone": "Asia/Shanghai", "intervals": 2},
]


@pytest.mark.parametrize("question", EDGES)
async def test_the_ends_of_the_calendar_are_refused(http: httpx.AsyncClient, question: dict[str, Any]) -> None:
    answer = await http.post("/api/questions", json=question)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_QUESTION")


async def test_a_condition_that_nothing_fulfils(http: httpx.AsyncClient) -> None:
    """The engine answers a constant where a condition is none."""
    asked = {"kind": "retention", "period": "day", "end": NOW.isoformat(), "intervals": 200}
    answer = await http.post("/api/questions", json=asked | {"target_where": {"not": {}}})
    assert (answer.status_code, {sum(row) for row in answer.json()["matrix"]}) == (200, {0})


async def test_a_question_is_saved_once_under_a_key(http: httpx.AsyncClient) -> None:
    key, body = {"Idempotency-Key": "once"}, {"name": "n", "question": {"kind": "stickiness"}}
    first, again = [await http.post("/api/saved-questions", json=body, headers=key) for _ in range(2)]
    assert (first.status_code, first.text) == (201, again.text)
    assert len((await http.get("/api/saved-questions")).json()) == 1
    at_once = [http.post("/api/saved-questions", json=body, headers={"Idempotency-Key": "two"}) for _ in range(6)]
    assert len({answer.text for answer in await asyncio.gather(*at_once)}) == 1
    assert len((await http.get("/api/saved-questions")).json()) == 2
    other = await http.post("/api/saved-questions", json=body | {"name": "m"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")


async def test_a_process_that_died_before_it_answered_has_saved_no_second_question(
    http: httpx.AsyncClient, engines_ready: tuple[Database, EventStore]
) -> None:
    body, key = {"name": "n", "question": FUNNEL}, {"Idempotency-Key": "died"}
    first = (await http.post("/api/saved-questions", json=body, headers=key)).json()
    async with engines_ready[0].driver() as connection:
        await connection.execute("DELETE FROM replies")  # the question is saved, nothing was answered
    assert (await http.post("/api/saved-questions", json=body, headers=key)).json() == first
    assert len((await http.get("/api/saved-questions")).json()) == 1


async def test_saved_questions(http: httpx.AsyncClient) -> None:
    saved = await http.post("/api/saved-questions", json={"name": " Funnel ", "question": FUNNEL})
    assert saved.status_code == 201
    assert saved.json()["name"] == "Funnel"
    place = f"/api/saved-questions/{saved.json()['id']}"
    assert (await http.get(place)).json()["question"] == FUNNEL
    assert [item["id"] for item in (await http.get("/api/saved-questions")).json()] == [saved.json()["id"]]
    assert (await http.delete(place)).status_code == 204
    assert (await http.get(place)).status_code == 404
    assert (await http.delete(place)).status_code == 404
    for wrong in (
        {"name": "", "question": FUNNEL},
        {"name": "x", "question": {}},
        {"name": "x", "question": {"kind": "funnel", "steps": [{"event": "a", "where": {"k": {}}}]}},
    ):
        refused = await http.post("/api/saved-questions", json=wrong)
        assert (refused.status_code, refused.json()["code"]) == (422, "INVALID_QUESTION")


async def test_breakdown_by_a_property_of_persons(engines_ready: tuple[Database, EventStore]) -> None:
    db, events = engines_ready
    async with db.driver() as connection:
        await connection.execute("INSERT INTO memberships (anchor, since, person) VALUES (4, 'epoch', 1)")
    for anchor, value in ((4, "gold"), (2, 'si"l\\ver'), (3, None)):
        async with db.begin() as connection:
            change = ProfileChange(anchor, NOW_MS - DAY, f"e{anchor}", "wk", "web", Effects(set={"tier": value}))
            await absorb(connection, [change], NOW)
    asked = FUNNEL | {"breakdown": {"person_prop": "tier"}}
    answer = msgspec.to_builtins(await actions.ask(db, events, asked, NOW, "UTC"))
    assert {group: figures["counts"] for group, figures in answer["groups"].items()} == {
        "gold": [1, 1],
        'si"l\\ver': [1, 1],
        "": [1, 0],
    }
    trend = {"kind": "trend", "series": [{"event": "buy"}], "range": {"days": 10}, "breakdown": {"person_prop": "tier"}}
    lines = msgspec.to_builtins(await actions.ask(db, events, trend, NOW, "UTC"))
    assert {group: line["total"] for group, (line,) in lines["groups"].items()} == {"gold": 1, 'si"l\\ver': 1}
    left = await events.rows("SELECT name FROM system.tables WHERE startsWith(name, 'question_values_')")
    assert left == []


KINDS: list[dict[str, Any]] = [
    FUNNEL | {"persons": True},
    FUNNEL | {"breakdown": {"event_prop": "k", "attribution": "all_events", "limit": 2}},
    {"kind": "retention", "intervals": 5, "breakdown": {"event_prop": "k", "limit": 2}},
    {"kind": "retention", "intervals": 5, "type": "first_time"},
    {"kind": "rfm", "event": "buy"},
    {"kind": "paths", "range": {"days": 10}, "session_gap": {"n": 9, "unit": "day"}},
    {"kind": "lifecycle", "range": {"days": 10}},
    {"kind": "stickiness", "range": {"days": 10}},
    {"kind": "segment_size", "condition": {"did": {"event": "buy"}}},
    {"kind": "segment_size", "condition": {"not": {"did": {"event": "buy"}}}, "cell": {}},
    {"kind": "attribution", "conversion": {"event": "buy"}, "channel": "k", "value": "@value_fen"},
]


@pytest.mark.parametrize("question", KINDS, ids=lambda q: q["kind"])
async def test_shards_of_persons_change_nothing(
    question: dict[str, Any], engines_ready: tuple[Database, EventStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await actions.ask(*engines_ready, question, NOW, "Asia/Shanghai")
    monkeypatch.setattr(actions, "EVENTS_PER_SHARD", 1)
    assert await actions.ask(*engines_ready, question, NOW, "Asia/Shanghai") == whole


async def test_a_question_on_few_of_many_events_is_one_pass(
    engines_ready: tuple[Database, EventStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    db, events = engines_ready
    monkeypatch.setattr(actions, "EVENTS_PER_SHARD", 1)
    monkeypatch.setattr(actions, "SAMPLE_STEP", 1)
    passes = {}
    for name in ("buy", "nobody_did_this"):
        question = actions.parse_question({"kind": "retention", "target": name, "returning": name, "intervals": 5})
        async with actions._scope(db, events, question, NOW, "UTC") as scope:
            fetch = actions.Fetch(events, asyncio.get_running_loop().time() + 60)
            passes[name] = await actions._passes(fetch, actions.KINDS[type(question)], question, scope)
    ((bought,),) = await events.rows("SELECT count() FROM events WHERE name = 'buy'")
    assert passes == {"buy": 1 + bought, "nobody_did_this": 1} and bought > 1


@pytest.mark.parametrize("question", KINDS, ids=lambda q: q["kind"])
async def test_several_statements_at_once_change_nothing(
    question: dict[str, Any], engines_ready: tuple[Database, EventStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await actions.ask(*engines_ready, question, NOW, "Asia/Shanghai")
    monkeypatch.setattr(actions, "EVENTS_PER_SLICE", 1)
    assert await actions.ask(*engines_ready, question, NOW, "Asia/Shanghai") == whole


async def test_values_beyond_the_limit_are_one_group(engines_ready: tuple[Database, EventStore]) -> None:
    asked = FUNNEL | {"breakdown": {"event_prop": "k", "attribution": "first_touch", "limit": 1}}
    answer = msgspec.to_builtins(await actions.ask(*engines_ready, asked, NOW, "UTC"))
    assert {group: figures["counts"] for group, figures in answer["groups"].items()} == {"v1": [1, 1], "$other": [2, 1]}
    cell = asked | {"cell": {"step": 0, "group": "$other"}}
    page = msgspec.to_builtins(await actions.ask(*engines_ready, cell, NOW, "UTC"))
    assert page["persons"] == [str(uid_of(2)), str(uid_of(3))]
    trend = {
        "kind": "trend",
        "series": [{"math": "persons"}],
        "range": {"days": 10},
        "breakdown": {"event_prop": "k", "limit": 1},
    }
    lines = msgspec.to_builtins(await actions.ask(*engines_ready, trend, NOW, "UTC"))
    assert {group: line["total"] for group, (line,) in lines["groups"].items()} == {"v9": 2, "$other": 3}
    behind = await actions.ask(*engines_ready, trend | {"cell": {"group": "$other"}}, NOW, "UTC")
    assert msgspec.to_builtins(behind)["count"] == 3


async def test_messages_of_an_sdk_are_no_behaviour(engines_ready: tuple[Database, EventStore]) -> None:
    db, events = engines_ready
    at = NOW_MS - 4 * DAY - 3_600_000
    await insert_events(events, [Happening(1, "$identify", at), Happening(1, "identify", at)])
    strict = FUNNEL | {"order": "strict"}
    assert msgspec.to_builtins(await actions.ask(db, events, strict, NOW, "UTC"))["counts"] == [3, 2]
    every = {"kind": "trend", "series": [{}], "range": {"days": 10}}
    assert msgspec.to_builtins(await actions.ask(db, events, every, NOW, "UTC"))["series"][0]["total"] == 5


async def test_a_strict_gap_is_seen_where_a_later_instant_is_tied(engines_ready: tuple[Database, EventStore]) -> None:
    db, events = engines_ready
    at = NOW_MS - 2 * DAY
    moments = [("one", 0), ("other", 1), ("two", 2), ("two", 2)]
    await insert_events(events, [Happening(1, name, at + second * 1000) for name, second in moments])
    asked = {"kind": "funnel", "order": "strict", "steps": [{"event": "one"}, {"event": "two"}], "range": {"days": 10}}
    assert msgspec.to_builtins(await actions.ask(db, events, asked, NOW, "UTC"))["counts"] == [1, 0]
    await insert_events(events, [Happening(1, "one", at + 2000)])
    assert msgspec.to_builtins(await actions.ask(db, events, asked, NOW, "UTC"))["counts"] == [1, 1]


async def test_a_catalogue_name_stands_for_its_spellings(engines_ready: tuple[Database, EventStore]) -> None:
    db, events = engines_ready
    await insert_events(events, [Happening(3, "Order Completed", NOW_MS - DAY, {}, 10)])
    for name, expected in (("order.paid", 1), ("Order Completed", 1), ("PayOrder", 0)):
        asked = {"kind": "trend", "series": [{"event": name}], "range": {"days": 10}}
        assert msgspec.to_builtins(await actions.ask(db, events, asked, NOW, "UTC"))["series"][0]["total"] == expected


async def test_the_time_limit_is_a_refusal(engines_ready: tuple[Database, EventStore]) -> None:
    db, events = engines_ready
    slow = "throwIf(sleepEachRow(1) = 1)"
    with pytest.raises(QueryTooExpensive):
        await events.arrow(f"SELECT {slow} FROM numbers(5)", settings={"max_execution_time": 1, "max_block_size": 1})
    asked = await actions.ask(db, events, FUNNEL, NOW, "UTC", seconds_max=30)
    assert msgspec.to_builtins(asked)["counts"] == [3, 2]


async def test_attribution_counts_touches_before_conversions(engines_ready: tuple[Database, EventStore]) -> None:
    asked = {
        "kind": "attribution",
        "conversion": {"event": "buy"},
        "touch": {"event": "view"},
        "channel": "k",
        "value": "@value_fen",
        "range": {"days": 10},
    }
    answer = msgspec.to_builtins(await actions.ask(*engines_ready, asked, NOW, "UTC"))
    assert (answer["conversions"], answer["value"], answer["unattributed"]) == (2, 1200, 0)
    credit = {line["channel"]: line["value"]["markov"] for line in answer["channels"]}
    assert credit == pytest.approx({"v1": 600, "v2": 600})
    narrow = asked | {"window": {"n": 36, "unit": "hour"}}
    answer = msgspec.to_builtins(await actions.ask(*engines_ready, narrow, NOW, "UTC"))
    assert (answer["conversions"], answer["unattributed"]) == (2, 1)
    behind = await actions.ask(*engines_ready, asked | {"cell": {"channel": "v2"}}, NOW, "UTC")
    assert msgspec.to_builtins(behind)["persons"] == [str(uid_of(2))]
