"""Points on the birthday: once a year and person, whatever happens to the birthday and to who they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st

from siyu.collect.event import Effects
from siyu.membership.birthdays import CATCH_UP_DAYS, days_due, give_birthdays
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


async def test_a_server_that_was_down_gives_what_was_due(house: House) -> None:
    """Stopped over the whole birthday: made up for, under the year of the day, once, whoever looks."""
    await born(house, "u1", "1990-12-31")
    await born(house, "u2", "1990-12-25")
    await born(house, "u3", "1990-12-24")
    house.now = on(2026, 12, 23)
    assert await given(house) == 0
    house.now = on(2027, 1, 1)
    # Of the 24th, eight days ago, nothing comes any more.
    assert sum(await asyncio.gather(*(given(house) for _ in range(4)))) == 2
    assert await given(house) == 0
    assert [await house.available("points", user) for user in ("u1", "u2", "u3")] == [50, 50, 0]
    async with house.db.driver() as connection:
        rows = await connection.fetch("SELECT DISTINCT cause FROM ledger_transfers WHERE by = 'birthday'")
    assert [row[0] for row in rows] == ["birthday/2026"]
    # The present of the year that the day is in was had; that of the next year is still to come.
    house.now = on(2027, 12, 31)
    await house.look()
    assert await given(house) == 3  # the last day, and seven before it while nobody looked


async def test_who_came_later_has_no_birthday_to_make_up_for(house: House) -> None:
    """Not a member on the day, on no tier that gives on the day, no benefit on the day: nothing is made up for."""
    await born(house, "u1", "1990-06-03", "other")
    await born(house, "u2", "1990-06-03")
    house.now = on(2026, 6, 2)
    await house.set_ladder(Ladder(tiers=[Tier(name="普通")]))
    assert await given(house) == 0
    house.now = on(2026, 6, 5)
    everybody = [Benefit(kind=BenefitKind.BIRTHDAY, points=50)]
    await house.set_ladder(Ladder(tiers=[Tier(name="普通", benefits=everybody)]))
    await born(house, "u3", "1990-06-04")
    house.now = on(2026, 6, 6)
    await born(house, "u4", "1990-06-05")
    assert await given(house) == 0


async def test_the_lowest_tier_gives_to_who_was_there_on_the_day(house: House) -> None:
    await house.set_ladder(Ladder(tiers=[Tier(name="普通", benefits=[Benefit(kind=BenefitKind.BIRTHDAY, points=50)])]))
    await born(house, "u1", "1990-06-02", "other")
    assert await given(house) == 0
    house.now = on(2026, 6, 3)
    await born(house, "u2", "1990-06-02", "other")  # a day late
    assert await given(house) == 1
    assert (await house.available("points"), await house.available("points", "u2")) == (50, 0)


async def test_who_left_the_tier_after_the_day_still_gets_it(house: House) -> None:
    await born(house, "u1", "1990-06-02")
    assert await given(house) == 0
    house.now = on(2026, 6, 3)
    await house.happen("page", "u1", effects=Effects(tags_remove=["vip"]))
    await house.look()
    assert await house.tier() == "普通"
    assert await given(house) == 1


async def test_two_that_both_had_it_become_one_and_part_again(house: House) -> None:
    for user in ("u1", "u2"):
        await born(house, user, "1990-06-02")
    house.now = on(2026, 6, 2)
    assert await given(house) == 2
    await house.merge("u1", "u2")
    assert await given(house) == 0
    assert await house.available("points") == 100
    await house.undo()
    house.now = on(2026, 6, 4)
    assert await given(house) == 0
    assert [await house.available("points", user) for user in ("u1", "u2")] == [50, 50]
    house.now = on(2027, 6, 5)
    assert await given(house) == 2


@given_(st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_every_day_is_looked_at_after_it_ended_or_too_late(offsets: list[int]) -> None:
    """Looks on any days, in order: a day is among the due ones of its own look and of the first look after it, unless
    that came more than CATCH_UP_DAYS later; and of no other."""
    start, looked = date(2026, 12, 1), None
    days = [start + timedelta(days=n) for n in sorted(offsets)]
    for number, today in enumerate(days):
        due = days_due(looked, today)
        assert due[-1] == today
        assert due == sorted(set(due))
        for day in (start + timedelta(days=n) for n in range(-9, 61)):
            open_still = looked is not None and looked <= day and (today - day).days <= CATCH_UP_DAYS
            assert (day in due) == (day == today or (day < today and open_still))
        looked = days[number]
    assert days_due(days[-1], days[0]) == [days[0]]  # a clock that was put back


def test_only_a_birthday_gives_points() -> None:
    for benefits, path in (
        ([Benefit(kind=BenefitKind.OTHER, points=1)], "tiers[0].benefits[0].points"),
        ([Benefit(kind=BenefitKind.BIRTHDAY, points=1)] * 2, "tiers[0].benefits[1].points"),
    ):
        with pytest.raises(InvalidRule) as refused:
            check(Ladder(tiers=[Tier(name="普通", benefits=benefits)]), WORDS)
        assert refused.value.details["path"] == path
