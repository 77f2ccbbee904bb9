"""Points on the birthday: once a year and person, whatever happens to the birthday and to who they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from siyu.collect.event import Effects
from siyu.membership.birthdays import give_birthdays
from siyu.membership.ladder import Benefit, BenefitKind, Ladder, Tier, check
from siyu.rules.rule import InvalidRule
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.store.membership_house import ZONE, House


def on(year: int, month: int, day: int, hour: int = 4) -> datetime:
    """By UTC: four o'clock is noon in Shanghai."""
    return datetime(year, month, day, hour, tzinfo=UTC)


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    house = await House.build(db, events)
    await house.set_ladder(
        Ladder(
            tiers=[
                Tier(name="普通"),
                Tier(
                    name="白银",
                    rule={"has_tag": "vip"},
                    benefits=[Benefit(kind=BenefitKind.BIRTHDAY, points=50, zh="生日快乐")],
                ),
            ]
        )
    )
    yield house
    await house.stream.close()


async def given(house: House) -> int:
    return await give_birthdays(house.db, house.ledger, house.now, ZONE)


async def born(house: House, user: str, day: str, tag: str = "vip") -> None:
    await house.happen("page", user, effects=Effects(set={"birthday": day}, tags_add=[tag]))
    await house.look()


async def test_once_a_year_on_the_local_day(house: House) -> None:
    house.now = on(2027, 2, 20)
    await born(house, "u1", "1992-02-29")
    await born(house, "u2", "1990-02-28", "other")  # on no tier that gives
    house.now = on(2027, 2, 27, 15)
    assert await given(house) == 0
    house.now = on(2027, 2, 27, 16)  # midnight in Shanghai
    assert sum(await asyncio.gather(*(given(house) for _ in range(4)))) == 1
    assert await given(house) == 0
    await born(house, "u1", "1992-03-05")  # corrected: not again this year
    house.now = on(2027, 3, 5)
    assert await given(house) == 0
    house.now = on(2028, 3, 5)
    await house.look()
    assert await given(house) == 1
    assert (await house.available("points"), await house.available("points", "u2")) == (50, 0)  # last year's have ended
    async with house.db.driver() as connection:
        sql = "SELECT by, reason, cause FROM ledger_transfers WHERE by = 'birthday' ORDER BY id"
        rows = await connection.fetch(sql)
    assert [tuple(row) for row in rows] == [("birthday", "生日快乐", f"birthday/{year}") for year in (2027, 2028)]


async def test_two_that_became_one_get_it_once(house: House) -> None:
    await born(house, "u1", "1990-06-02")
    house.now = on(2026, 6, 2)
    assert await given(house) == 1
    await born(house, "u2", "1990-06-02")
    await house.merge("u1", "u2")
    assert await given(house) == 0
    assert await house.available("points", "u2") == 50


def test_only_a_birthday_gives_points() -> None:
    for benefits, path in (
        ([Benefit(kind=BenefitKind.OTHER, points=1)], "tiers[0].benefits[0].points"),
        ([Benefit(kind=BenefitKind.BIRTHDAY, points=1)] * 2, "tiers[0].benefits[1].points"),
    ):
        with pytest.raises(InvalidRule) as refused:
            check(Ladder(tiers=[Tier(name="普通", benefits=benefits)]), WORDS)
        assert refused.value.details["path"] == path
