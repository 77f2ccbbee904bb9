"""Newcomers on real engines: enrolled by an event, once, also after an erasure; nobody else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from siyu.errors import PersonNotFound, Refused, WrongValue
from siyu.identity.outbox import send_waiting
from siyu.ids import identifier_key, identifier_uid
from siyu.ledger import Outcome
from siyu.loyalty.newcomers import Call, EnrolmentPending, Newcomers
from siyu.loyalty.request import Earn, Give, PersonRef
from siyu.profile import actions as profile
from siyu.profile.portrait import Moment, Portrait
from siyu.profile.rights import Order, erase
from siyu.profile.rights_records import Record
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.coupon_world import SECRET, ZONE, Brand, user

PHONE = {"kind": "phone", "value": "138 0013 8000"}
EMAIL = {"kind": "email", "value": "Li@Example.com"}
PATIENCE = 20.0


@pytest.fixture
async def brand(db: Database, events: EventStore, right_ledger: None) -> AsyncIterator[Brand]:
    """A brand that knows nobody; its ledger is right at the end."""
    made = await Brand.open(db, events)
    yield made
    await made.close()


@asynccontextmanager
async def at_work(brand: Brand) -> AsyncIterator[None]:
    """What is told is sent and processed, until the block ends and nothing waits."""
    stopping = asyncio.Event()

    async def work() -> None:
        while True:
            last = stopping.is_set()
            await send_waiting(brand.db, brand.stream, lambda: brand.now)
            while await brand.worker.step(0.01):
                pass
            if last:
                return

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        stopping.set()
        await working


class Till:
    """Gives points, through newcomers of its own as another process would."""

    def __init__(self, brand: Brand, patience_s: float = PATIENCE) -> None:
        self.brand = brand
        self.newcomers = Newcomers(brand.db, lambda: brand.now, SECRET, patience_s)

    async def earn(self, person: Any, points: int = 10, key: str | None = None) -> Outcome:
        request = msgspec.convert({"person": person, "points": points}, Earn)

        def do() -> Awaitable[Outcome]:
            return self.brand.points.ask(request, key, "test")

        call = Call("points/earn", end="store")
        return await self.newcomers.met(request.person, call, do, lambda: self.brand.points.may_enrol(key))

    async def give(self, giver: Any, taker: Any, points: int = 1, key: str | None = None) -> Outcome:
        request = msgspec.convert({"from": giver, "to": taker, "points": points}, Give)
        do: Callable[[], Awaitable[Outcome]] = lambda: self.brand.points.ask(request, key, "test")  # noqa: E731
        desk = self.brand.points
        return await self.newcomers.met(
            request.taker, Call("points/transfer", path="to"), do, lambda: desk.may_enrol(key, request.giver)
        )


async def portrait(brand: Brand, person: dict[str, str]) -> Portrait:
    return await profile.lookup(brand.db, person["kind"], person["value"], SECRET, Moment(brand.now, ZONE))


async def available(brand: Brand, person: dict[str, str]) -> int:
    """What the person can use; they get one point for being asked."""
    request = msgspec.convert({"person": person, "points": 1}, Earn)
    return (await brand.points.ask(request, None, "test")).balances["points.available"] - 1


async def enrolled(brand: Brand) -> list[tuple[str, str, str, str]]:
    """The events of enrolments: end, source, properties, kind of the identifier."""
    anchors = await brand.events.rows(
        "SELECT anchor, end, source, properties FROM events WHERE name = 'person.enrolled' ORDER BY anchor"
    )
    async with brand.db.driver() as connection:
        kinds = dict(await connection.fetch("SELECT id, kind FROM identifiers"))
    return [(end, source, properties, kinds[anchor]) for anchor, end, source, properties in anchors]


async def people(brand: Brand) -> list[tuple[str, str]]:
    async with brand.db.driver() as connection:
        waiting = await connection.fetchval("SELECT count(*) FROM told_events WHERE name = 'person.enrolled'")
        found = await connection.fetch("SELECT kind, value FROM identifiers ORDER BY kind, value")
    assert waiting == 0
    return [tuple(row) for row in found]


async def test_who_gets_points_and_is_not_known_is_enrolled_by_an_event(brand: Brand) -> None:
    async with at_work(brand):
        outcome = await Till(brand).earn(PHONE, 10, "k1")
    assert outcome.balances["points.available"] == 10, "no sign-up bonus: nobody registered"
    found = await portrait(brand, PHONE)
    assert [(one.kind, one.value, one.source) for one in found.identifiers] == [("phone", "+8613800138000", "siyu")]
    assert (found.lifecycle, found.first_seen, found.last_seen) == ("new", brand.now, brand.now)
    assert [(end, source, kind) for end, source, _, kind in await enrolled(brand)] == [("store", "siyu", "phone")]
    assert msgspec.json.decode((await enrolled(brand))[0][2]) == {"call": "points/earn", "by": "api"}
    again = await Till(brand).earn(PHONE, 10, "k1")
    assert (again.transfer, again.balances) == (outcome.transfer, outcome.balances)


async def test_of_who_is_known_nothing_is_told(brand: Brand) -> None:
    await brand.people("U1")
    assert (await Till(brand).earn(user("U1"))).balances["points.available"] == 10
    assert await people(brand) == [("user_id", "U1")]
    assert await enrolled(brand) == []


async def test_calls_of_one_instant_enrol_a_person_once(brand: Brand) -> None:
    """Eight calls of two tills for two identifiers."""
    tills = [Till(brand), Till(brand)]
    calls = [(till, person) for till in tills for person in (PHONE, EMAIL) * 2]
    async with at_work(brand):
        await asyncio.gather(*(till.earn(person, 5) for till, person in calls))
    assert await people(brand) == [("email", "li@example.com"), ("phone", "+8613800138000")]
    assert sorted(kind for *_, kind in await enrolled(brand)) == ["email", "phone"]
    assert [await available(brand, one) for one in (PHONE, EMAIL)] == [20, 20]


async def test_when_the_processor_is_behind_the_same_call_works_later(brand: Brand) -> None:
    till = Till(brand, patience_s=0.3)
    for _ in range(3):
        with pytest.raises(EnrolmentPending) as pending:
            await till.earn(PHONE, 10, "k1")
        brand.later(seconds=2)
    assert (pending.value.status, pending.value.details) == (503, {"retry_after_s": 2})
    async with at_work(brand):
        pass
    assert (await till.earn(PHONE, 10, "k1")).balances["points.available"] == 10
    assert (await till.earn(PHONE, 10, "k1")).balances["points.available"] == 10
    assert len(await enrolled(brand)) == 1, "asked for again within a minute it is one event"


async def test_what_was_not_heard_of_for_a_minute_is_told_again(brand: Brand) -> None:
    till, numbers = Till(brand, patience_s=0.0), set()
    for _ in range(2):
        with pytest.raises(EnrolmentPending):
            await till.earn(PHONE)
        async with brand.db.driver() as connection:
            # Set aside on its way, say; the stream would know it by its number.
            numbers |= {row[0] for row in await connection.fetch("DELETE FROM told_events RETURNING event_id")}
        brand.later(minutes=1)
    assert len(numbers) == 2


@pytest.mark.parametrize("seconds", [0, 20, 86_400])
async def test_an_erased_person_is_enrolled_anew_by_a_new_call_only(brand: Brand, seconds: int) -> None:
    till = Till(brand)
    async with at_work(brand):
        await till.earn(PHONE, 10, "k1")
    for round_ in range(2):
        brand.later(seconds=1)
        person = identifier_uid(identifier_key("phone", "+8613800138000"), SECRET)
        order = Order(Record(uuid4(), [], brand.now + timedelta(microseconds=300), "test"), "asked", (), 200)
        await erase(brand.db, brand.events, person, order)
        brand.later(seconds=seconds)
        async with at_work(brand):
            with pytest.raises(PersonNotFound):
                await till.earn(PHONE, 10, "k1")
            assert await people(brand) == [], "what was asked for before the erasure is asked for again"
            outcome = await till.earn(PHONE, 7, f"new{round_}")
        assert outcome.balances["points.available"] == 7
        assert await people(brand) == [("phone", "+8613800138000")]
        assert len(await enrolled(brand)) == 1


@pytest.mark.parametrize(
    "person",
    [
        {"kind": "anonymous_id", "value": "browser-1"},
        {"kind": "device", "value": "tablet-1"},
        {"kind": "any", "value": "browser-1"},
        {"kind": "unheard_of", "value": "x1"},
        {"kind": "openid:", "value": "x1"},
        {"kind": "phone:86", "value": "13800138000"},
        "00000000-0000-4000-8000-000000000000",
        "13800138000",
    ],
)
async def test_who_cannot_be_met_again_is_not_enrolled(brand: Brand, person: PersonRef) -> None:
    with pytest.raises(PersonNotFound):
        await Till(brand, patience_s=0.0).earn(person)
    assert await people(brand) == []


@pytest.mark.parametrize(
    ("kind", "value"),
    [("phone", "12345"), ("phone", "138****8000"), ("email", "li"), ("user_id", "undefined"), ("unionid", "000")],
)
async def test_a_value_that_names_nobody_is_refused(brand: Brand, kind: str, value: str) -> None:
    with pytest.raises(WrongValue) as refused:
        await Till(brand, patience_s=0.0).earn({"kind": kind, "value": value})
    assert (refused.value.status, refused.value.details["path"]) == (422, "person")
    assert await people(brand) == []


async def test_who_takes_points_is_enrolled_who_gives_them_must_be_known(brand: Brand) -> None:
    await brand.people("U1")
    await brand.earn("U1", 3)
    till = Till(brand)
    with pytest.raises(PersonNotFound):
        await till.give(user("U2"), PHONE)
    assert await people(brand) == [("user_id", "U1")]
    async with at_work(brand):
        assert (await till.give(user("U1"), PHONE)).balances["points.available"] == 2
    assert await available(brand, PHONE) == 1


async def test_a_call_refused_before_an_erasure_enrols_nobody_when_repeated(brand: Brand) -> None:
    await brand.people("U1")
    till = Till(brand)
    async with at_work(brand):
        with pytest.raises(Refused):
            await till.give(user("U1"), PHONE, 999, "k1")
    brand.later(seconds=1)
    person = identifier_uid(identifier_key("phone", "+8613800138000"), SECRET)
    await erase(brand.db, brand.events, person, Order(Record(uuid4(), [], brand.now, "test"), "asked", (), 200))
    brand.later(seconds=1)
    async with at_work(brand):
        with pytest.raises(PersonNotFound):
            await till.give(user("U1"), PHONE, 999, "k1")
    assert await people(brand) == [("user_id", "U1")]


@pytest.mark.parametrize("kind", ["user_id", "unionid", "openid:wx1", "external_userid:corp1", "member_card", "email"])
async def test_every_lasting_kind_enrols(brand: Brand, kind: str) -> None:
    async with at_work(brand):
        await Till(brand).earn({"kind": kind, "value": "someone@example.com"})
    assert await people(brand) == [(kind, "someone@example.com")]
