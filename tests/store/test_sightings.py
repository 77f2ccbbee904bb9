"""Who was there: what is only said of a person wakes nobody."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from siyu.analytics.overview import Wanted, by_end, days, figures, newest, person_of_event, persons_listed
from siyu.ids import identifier_key
from siyu.profile.lifecycle import DEFAULTS, Lifecycle
from siyu.profile.rights import Order, erase
from siyu.profile.rights_records import Record
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.store.membership_house import NOON, House

SAID = ("message.sent", "Email Sent", "Push Notification Received", "SMS Failed", "Order Shipped", "coupon.expired")


@pytest.fixture
async def house(db: Database, events: EventStore) -> House:
    return await House.build(db, events)


async def test_who_sleeps_is_asleep_after_the_message_and_awake_when_they_open_it(house: House) -> None:
    await house.happen("page", ago=timedelta(days=100))
    for name in SAID:
        await house.happen(name)
    asleep = await house.portrait()
    assert (asleep.lifecycle, asleep.last_seen) == ("sleeping", NOON - timedelta(days=100))
    assert await _active(house) == 0
    await house.happen("Email Opened")
    assert await _active(house) == 1
    awake = await house.portrait()
    assert (awake.lifecycle, awake.last_seen) == ("active", NOON)


async def test_of_whom_something_is_only_said_is_as_old_as_that(house: House) -> None:
    await house.happen("message.sent", "email=li@example.com", ago=timedelta(days=2))
    await house.happen("message.delivered", "email=li@example.com")
    told = await house.portrait("email=li@example.com")
    assert (told.lifecycle, told.first_seen, told.last_seen) == ("new", *[NOON - timedelta(days=2)] * 2)
    await house.happen("message.clicked", "email=li@example.com", ago=timedelta(days=1))
    assert (await house.portrait("email=li@example.com")).last_seen == NOON - timedelta(days=1)


async def test_what_is_said_of_an_erased_person_brings_nobody_back(house: House) -> None:
    await house.happen("page")
    await house.happen("page", "u2")
    house.now += timedelta(minutes=1)
    order = Order(Record(uuid4(), [], house.now, "test"), "asked", (), 200)
    await erase(house.db, house.events, house.uid(), order)
    house.now += timedelta(minutes=1)
    await house.happen("message.sent")
    await house.happen("message.sent", "u2", others=identifier_key("user_id", "u1"))
    assert await _stored(house) == [("page", "u2")]
    await house.happen("message.opened")
    await house.happen("message.sent")
    assert await _stored(house) == [("message.opened", "u1"), ("message.sent", "u1"), ("page", "u2")]


async def _stored(house: House) -> list[tuple[str, str | None]]:
    """Name and identifier of all events; None: of nobody."""
    async with house.db.driver() as connection:
        values = dict(await connection.fetch("SELECT id, value FROM identifiers"))
    rows = await house.events.rows("SELECT name, anchor FROM events")
    return sorted((name, values.get(anchor)) for name, anchor in rows)


async def test_the_list_of_persons_says_what_the_portrait_says(house: House) -> None:
    await house.happen("page", ago=timedelta(days=100))
    await house.happen("message.sent")
    await house.happen("message.sent", "email=li@example.com", ago=timedelta(days=2))
    assert await _listed(house, "sleeping") == [NOON - timedelta(days=100)]
    assert await _listed(house, "new") == [NOON - timedelta(days=2)]
    await house.happen("order.paid", value_fen=0)
    assert await _listed(house, "active") == [NOON]


async def test_the_overview_counts_free_purchases_and_no_event_that_is_only_said(house: House) -> None:
    for name in (*SAID, "page", "order.paid"):
        await house.happen(name)
    person = await person_of_event(house.events)
    day = (NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    (shown,) = await figures(house.events, person, [day])
    assert (shown.persons, shown.events, shown.orders, shown.revenue_fen) == (1, 2, 1, 0)
    (one,) = await days(house.events, person, *day, "Asia/Shanghai")
    assert (one.persons, one.events, one.orders) == (1, 2, 1)
    assert {one.name for one in await newest(house.events, person, NOON, 10)} == {"page", "order.paid"}
    await house.happen("page.left", ago=timedelta(hours=5))
    await house.happen("page.closed", ago=timedelta(days=5))
    for limit, last in ((2, "page"), (3, "page.left"), (4, "page.closed"), (9, "page.closed")):
        found = [one.name for one in await newest(house.events, person, NOON, limit)]
        assert (len(found), last in found) == (min(limit, 4), True)
    assert [(one.end, one.persons, one.events) for one in await by_end(house.events, person, *day)] == [("web", 1, 2)]


async def _listed(house: House, stage: Lifecycle) -> list[datetime]:
    """When the listed persons of a stage were last seen."""
    wanted = Wanted(lifecycle=stage)
    rows, _ = await persons_listed(
        house.events, await person_of_event(house.events), wanted, DEFAULTS, NOON + timedelta(seconds=1)
    )
    return [row.last_seen for row in rows]


async def _active(house: House) -> int:
    """The active customers that the overview shows for today."""
    today = (NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    (shown,) = await figures(house.events, await person_of_event(house.events), [today])
    return shown.persons
