"""Dimensions in use: one entry more is enough, in questions, in segments kept true; what cannot be read waits alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from siyu.analytics import ask
from siyu.collect.event import Effects
from siyu.console.format import Format
from siyu.console.http_dimensions import grouped
from siyu.dimensions.actions import of_person
from siyu.dimensions.catalogue import DIMENSIONS, catalogue
from siyu.dimensions.dimension import Dimension
from siyu.dimensions.expressions import count, percent
from siyu.dimensions.http import shown
from siyu.dimensions.page import MARK, listing
from siyu.dimensions.records import Reading
from siyu.profile import attributes
from siyu.profile.actions import lookup
from siyu.profile.portrait import Moment
from siyu.rules.parse import parse_rule
from siyu.rules.read import read_sentence
from siyu.rules.sentence import say
from siyu.rules.window import Setting
from siyu.segments import actions
from siyu.segments.actions import Wanted
from siyu.segments.population import Source, who
from siyu.segments.words import words_with
from tests.store.test_segments import SECRET, ZONE, House, house

__all__ = ["house"]
PAGE = (Path(__file__).parents[2] / "docs" / "dimensions.md").read_text()
TEA = Dimension(
    "tea_share", "爱茶度", "Love of tea", "preference", "percent",
    percent(count("tea.drunk"), count(), 100), "Of all actions, cups of tea.", "行为中喝茶的比例。",
)  # fmt: skip


class _Visit:
    """As much of a visit as values need."""

    locale = "zh_CN"

    def __init__(self, house: House) -> None:
        self.format = Format("zh_CN", ZONE, house.now)


async def test_one_entry_is_all_there_is_to_do(house: House) -> None:
    """In a rule, its sentence, on the portrait, over the API and in the docs."""
    more = catalogue([*DIMENSIONS, TEA])
    words = words_with(more)
    for name in ("tea.drunk", "tea.drunk", "tea.drunk", "page"):
        await house.happen(name)
    await house.happen("page", "u2")
    rule = read_sentence("爱茶度 至少 70", words)
    assert rule == parse_rule({"person": "dim.tea_share", "op": "gte", "value": 70}, words)
    assert say(rule, words, "en") == "Love of tea is at least 70"
    setting = Setting(house.now, ZONE)
    total, found = await who(Source(house.db, house.events, words, dimensions=more), {"": rule}, setting)
    assert (total, len(found[""])) == (2, 1)
    person = await lookup(house.db, "user_id", "u1", SECRET, Moment(house.now, ZONE))
    reading = Reading(house.events, words, setting, 60)
    values = await of_person(house.db, reading, UUID(person.person_id), more)
    assert values["tea_share"] == 75
    groups, _ = grouped(values, _Visit(house), more)  # type: ignore[arg-type]  # as much of it as is read
    assert ("爱茶度", "75 %") in [figure[:2] for group in groups for figure in group.figures]
    assert "`dim.tea_share` Love of tea 爱茶度" in listing(more)
    await house.look()
    assert shown(TEA).computed.zh == "[累计“tea.drunk”的次数] ÷ [累计任意行为的次数] × 100，至多 100"


def test_the_page_is_written_from_the_catalogue() -> None:
    assert PAGE.partition(MARK)[2].strip() == listing().strip()


def test_the_page_writes_itself(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Before\n")
    subprocess.run([sys.executable, "-m", "siyu.dimensions.page", str(page)], check=True)
    assert page.read_text().startswith(f"# Before\n{MARK}\n") and "`dim.orders`" in page.read_text()


async def test_a_segment_of_a_dimension_is_kept_by_event_and_by_time(house: House) -> None:
    often = {
        "all": [
            {"person": "dim.orders_30d", "op": "gte", "value": 2},
            {"person": "dim.orders", "op": "gte", "value": 1},
        ]
    }
    idle = {"person": "dim.days_since_order", "op": "gte", "value": 2}
    await actions.create(house.db, Wanted("often", "常买", often), house.now, "t")
    await actions.create(house.db, Wanted("idle", "两天没买", idle), house.now, "t")
    await house.happen("order.paid", value_fen=100)
    await house.look()
    assert await house.segments() == []
    await house.happen("Order Completed", ago=timedelta(days=29, hours=23), value_fen=100)
    await house.look()
    assert await house.segments() == ["often"]
    house.now += timedelta(hours=1)
    house.keeper._roll_rest_s = 0
    await house.look()
    assert await house.segments() == [], "an order has left the last 30 days"
    house.now += timedelta(days=2)
    house.keeper._roll_rest_s = 0
    await house.look()
    assert await house.segments() == ["idle"]


async def test_a_question_is_broken_down_by_a_dimension(house: House) -> None:
    await house.happen("order.paid", value_fen=100)
    await house.happen("order.paid", value_fen=100)
    for user in ("u1", "u2"):
        await house.happen("product.viewed", user)
    question = {
        "kind": "funnel", "order": "ordered", "steps": [{"event": "product.viewed"}], "window": {"n": 1, "unit": "day"},
        "range": {"from": "2026-05-01T00:00:00Z", "to": "2026-07-01T00:00:00Z"},
        "breakdown": {"person_prop": "dim.orders"},
    }  # fmt: skip
    await house.look()
    answer: Any = await ask(house.db, house.events, question, house.now, "Asia/Shanghai")
    assert {value: group.counts for value, group in answer.groups.items()} == {"2": [1], "0": [1]}


async def test_what_cannot_be_read_waits_alone_and_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    city = {
        "any": [
            {"person": "trait.city", "op": "eq", "value": "广州"},
            {"person": "tags", "op": "has_tag", "value": "x"},
        ]
    }
    await actions.create(house.db, Wanted("city", "广州", city), house.now, "t")
    await actions.create(house.db, Wanted("inner", "里", {"segment": "city"}), house.now, "t")
    await actions.create(house.db, Wanted("buyers", "买过", {"did": {"event": "order.paid"}}), house.now, "t")
    await house.happen("identify", effects=Effects(set={"city": "广州"}))
    await house.look()
    assert await house.segments() == ["city", "inner"]
    right = attributes.columns

    async def broken(connection: Any, names: Sequence[str], *more: Any) -> Mapping[str, Any]:
        if any(name.startswith("trait.") for name in names):
            raise ZeroDivisionError("a defect")
        return await right(connection, names, *more)

    monkeypatch.setattr(attributes, "columns", broken)
    await house.happen("order.paid", "u1", value_fen=100)
    await house.happen("identify", "u2", effects=Effects(set={"city": "广州"}))
    await house.look()
    assert await house.segments() == ["buyers", "city", "inner"], "what waits stays as it was"
    shown = {one.key: one for one in await actions.all_of(house.db)}
    assert shown["city"].problem == shown["inner"].problem == "ZeroDivisionError: a defect"
    assert not shown["city"].is_ready and shown["buyers"].is_ready and shown["buyers"].problem is None
    assert await house.segments("u2") == []
    monkeypatch.setattr(attributes, "columns", right)
    house.keeper._retry_at.update(city=0.0, inner=0.0)
    await house.look()
    assert await house.segments("u2") == ["city", "inner"]
    assert (await actions.show(house.db, "city")).problem is None
    assert ("entered", "city") in await house.said(), "who came while it waited makes an event all the same"


async def test_a_rule_that_is_not_understood_any_more_waits_alone(house: House) -> None:
    await actions.create(
        house.db, Wanted("old", "旧", {"person": "dim.orders", "op": "gte", "value": 1}), house.now, "t"
    )
    await actions.create(house.db, Wanted("user", "用旧", {"segment": "old"}), house.now, "t")
    async with house.db.driver() as connection:
        await connection.execute(
            """UPDATE segments SET rule = '{"person":"dim.gone","op":"exists"}' WHERE key = 'old'"""
        )
    await actions.create(house.db, Wanted("buyers", "买过", {"did": {"event": "order.paid"}}), house.now, "t")
    await house.happen("order.paid", value_fen=100)
    await house.look()
    assert await house.segments() == ["buyers"]
    shown = {one.key: one for one in await actions.all_of(house.db)}
    assert "dim.gone" in str(shown["old"].problem) and "old" in str(shown["user"].problem)
