"""The calendar as data: stored, replaced and taken back over HTTP; what rules see of it, at once and in both forms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import httpx
import pytest
from litestar import Litestar
from litestar.di import Provide

from siyu.api.problems import on_siyu_error
from siyu.calendar.actions import days_known, put_year
from siyu.calendar.day import Day, Days, Kind
from siyu.calendar.http import routes
from siyu.calendar.published import PUBLISHED
from siyu.errors import SiyuError
from siyu.identity.members import named_by_anchor
from siyu.rules.masks import mask_of
from siyu.rules.parse import parse_rule
from siyu.rules.window import Setting
from siyu.segments.one import Asking, Question, holding
from siyu.segments.population import Source, survey
from siyu.segments.words import WORDS
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of
from tests.reference.world import Happening, insert_events, register

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 12, 31, 15, 59, tzinfo=UTC)
NEW_YEAR = datetime(2026, 12, 31, 16, tzinfo=UTC)
"""Midnight in Shanghai: 2027 has begun."""
DAY: dict[str, Any] = {"day": "2027-01-01", "name": "元旦", "kind": "rest"}
RULES = {
    "off": {"person": "time.holiday", "op": "eq", "value": "元旦"},
    "works": {"person": "time.workday", "op": "eq", "value": True},
    "free": {"person": "time.workday", "op": "eq", "value": False},
    "unknown": {"person": "time.workday", "op": "is_null"},
}


@pytest.fixture
async def house(db: Database, events: EventStore) -> Database:
    """One person."""
    await db.create_all()
    await events.create_all()
    await register(db, [1])
    await insert_events(events, [Happening(1, "page", int(NOW.timestamp() * 1000))])
    return db


@pytest.fixture
async def http(house: Database) -> AsyncIterator[httpx.AsyncClient]:
    """The routes, without the guards of the whole application."""

    def provided(value: Any) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    services = {"db": house, "now": lambda: NOW, "settings": Settings()}
    app = Litestar(
        routes,
        dependencies={name: provided(value) for name, value in services.items()},
        exception_handlers={SiyuError: on_siyu_error},
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(cast(Any, app)), base_url="http://siyu") as client:
        yield client


async def held(db: Database, events: EventStore, at: datetime) -> set[str]:
    """Of RULES those that hold then: for one and for all, which must say the same."""
    trees = {key: parse_rule(rule, WORDS) for key, rule in RULES.items()}
    async with db.driver() as connection:
        (named,) = await named_by_anchor(connection, [(1, at)])
        assert named is not None
        (one,) = await holding(Asking(connection, events, WORDS, ZONE), [Question(named, at, trees)])
    setting = Setting(at, ZONE)
    population = await survey(Source(db, events, WORDS), list(trees.values()), setting)
    everybody = {key for key, tree in trees.items() if mask_of(tree, population.columns, setting, WORDS).all()}
    assert one == everybody
    return one


async def test_a_year_is_stored_replaced_and_taken_back(http: httpx.AsyncClient) -> None:
    unknown = (await http.get("/api/calendar/2027")).json()
    assert (unknown["source"], unknown["days"]) == ("none", [])
    stored = await http.put("/api/calendar/2027", json={"days": [DAY]}, headers={"Idempotency-Key": "k"})
    assert stored.status_code == 200 and stored.json()["days"] == [DAY]
    assert (stored.json()["source"], stored.json()["by"]) == ("own", "api")
    again = await http.put("/api/calendar/2027", json={"days": [DAY]}, headers={"Idempotency-Key": "k"})
    assert again.json() == stored.json()
    other = await http.put(
        "/api/calendar/2027", json={"days": [DAY | {"name": "New"}]}, headers={"Idempotency-Key": "k"}
    )
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    items = (await http.get("/api/calendar")).json()["items"]
    assert {one["year"]: one["source"] for one in items} == {2025: "published", 2026: "published", 2027: "own"}
    assert (await http.delete("/api/calendar/2027")).json()["source"] == "none"


async def test_a_published_year_comes_back(http: httpx.AsyncClient) -> None:
    published = (await http.get("/api/calendar/2026")).json()
    assert (published["source"], published["notice"]) == ("published", "国办发明电〔2025〕7号")
    one = {"day": "2026-08-08", "name": "店庆", "kind": "rest"}
    assert (await http.put("/api/calendar/2026", json={"days": [one]})).json()["days"] == [one]
    assert (await http.delete("/api/calendar/2026")).json() == published


@pytest.mark.parametrize("days", [[DAY, DAY], [DAY | {"day": "2026-01-01"}]])
async def test_what_is_no_year_is_refused(http: httpx.AsyncClient, days: list[Any]) -> None:
    refused = await http.put("/api/calendar/2027", json={"days": days})
    assert (refused.status_code, refused.json()["code"]) == (422, "INVALID_CALENDAR")
    assert (await http.get("/api/calendar/2027")).json()["source"] == "none"


async def test_rules_follow_the_days_at_once_and_say_nothing_of_an_unknown_year(
    house: Database, events: EventStore
) -> None:
    assert await held(house, events, NOW) == {"works"}
    assert await held(house, events, NEW_YEAR) == {"unknown"}
    async with house.begin() as conn:
        await put_year(
            await driver_of(conn), 2027, [Day(NEW_YEAR.astimezone(ZONE).date(), "元旦", Kind.REST)], NOW, "t"
        )
    assert await held(house, events, NEW_YEAR) == {"off", "free"}
    assert await held(house, events, NOW) == {"works"}


async def test_two_who_store_a_year_at_once_leave_one_of_the_two(house: Database) -> None:
    first, second = ([Day(one.day, name, one.kind) for one in PUBLISHED.of(2026)] for name in ("a", "b"))

    async def store(days: list[Day]) -> None:
        async with house.begin() as conn:
            await put_year(await driver_of(conn), 2026, days, NOW, "t")

    for _ in range(5):
        await asyncio.gather(*(store(days) for days in (first, second, first[:3], second[:5])))
        async with house.driver() as connection:
            kept = (await days_known(connection)).of(2026)
        assert kept in (first, second, first[:3], second[:5])
    assert Days(kept).years == {2026}
