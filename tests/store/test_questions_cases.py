"""The acceptance examples of funnels and retention (tests/cases/analytics.json), as data, through the real engines."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from siyu.analytics.actions import ask
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.reference.world import Happening, insert_events, register

CASES = json.loads((Path(__file__).parent.parent / "cases" / "analytics.json").read_text())["cases"]
NOW = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


def _happenings(case: dict[str, Any], people: dict[str, int]) -> list[Happening]:
    return [
        Happening(
            people[event["person"]],
            event["event"],
            int(datetime.fromisoformat(event["ts"]).timestamp() * 1000),
            event["props"],
        )
        for event in case["events"]
    ]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
async def test_case(case: dict[str, Any], db: Database, events: EventStore) -> None:
    """The engine's answer holds everything that is expected."""
    await db.create_all()
    await events.create_all()
    people = {name: i for i, name in enumerate(sorted({e["person"] for e in case["events"]}), 1)}
    await register(db, list(people.values()))
    await insert_events(events, _happenings(case, people))
    asked = case["query"] | ({"persons": True} if case["query"]["kind"] == "funnel" else {})
    answer = msgspec.to_builtins(await ask(db, events, asked, NOW, "Asia/Shanghai"))
    names = {str(UUID(int=number)): name for name, number in people.items()}
    _holds(answer, case["expect"], names)


def _holds(answer: dict[str, Any], expect: dict[str, Any], names: dict[str, str]) -> None:
    for key in ("counts", "avg_conversion_s", "median_conversion_s", "matrix", "first_cohort"):
        if key in expect:
            assert answer[key] == expect[key], key
    if "persons" in expect:
        assert [sorted(names[uid] for uid in step) for step in answer["persons"]] == expect["persons"]
    if "groups" in expect:
        assert set(answer["groups"]) == set(expect["groups"])
        for name, figures in expect["groups"].items():
            _holds(answer["groups"][name], figures, names)
    for name, persons in expect.get("group_persons", {}).items():
        assert sorted(names[uid] for uid in answer["groups"][name]["persons"][0]) == persons
