"""From the stream to the person and out of every store again: what was erased does not come back by replay."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from siyu.app.scrubs import ERASURE_SCRUBS
from siyu.collect.event import Effects, Event, Rejected
from siyu.collect.frame import Arrival, frames_of
from siyu.collect.identifiers import KEY_JOIN
from siyu.errors import PersonNotFound
from siyu.identity.anchors import AnchorRegistry
from siyu.ids import identifier_key
from siyu.processor import records, work
from siyu.processor.reactions import IdentityReaction, ProfileReaction
from siyu.processor.work import Worker
from siyu.profile import actions
from siyu.profile.portrait import Moment, Portrait
from siyu.profile.rights import Order, Receipt, erase
from siyu.profile.rights_records import Record
from siyu.profile.timeline import Page
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.stream.postgres import PostgresStream

SECRET = b"test secret of thirty-two bytes!"
T0 = 1_760_000_000_000
ERASED_AT = datetime.fromtimestamp(T0 / 1000 + 1_000, UTC)
MOMENT = Moment(ERASED_AT, ZoneInfo("Asia/Shanghai"))
USER, PHONE = identifier_key("user_id", "u1"), identifier_key("phone", "+8613800138000")
COOKIE, OTHER = identifier_key("anonymous_id", "cookie-1"), identifier_key("user_id", "u2")


def events_of_one_person() -> list[Event]:
    """Browsing before the login, the login, an order by phone; and another person's event."""
    return [
        Event("e1", "view", T0, COOKIE, effects=Effects(set={"city": "广州"}, touch={"utm_source": "wx"})),
        Event("e2", "login", T0 + 1000, USER, KEY_JOIN.join([PHONE, COOKIE]), effects=Effects(tags_add=["vip"])),
        Event("e3", "order paid", T0 + 2000, USER, PHONE, value_fen=5_000, effects=Effects(set={"city": "深圳"})),
        Event("e4", "view", T0 + 3000, OTHER, effects=Effects(increment={"n": 2})),
    ]


class House:
    """The stores, the stream and a processor."""

    def __init__(self, db: Database, events: EventStore) -> None:
        self.db, self.events, self.stream = db, events, PostgresStream(db)
        reactions = [IdentityReaction(events, SECRET, 1_000, lambda: None), ProfileReaction(lambda: ERASED_AT)]
        self.worker = Worker(
            0, db=db, events=events, stream=self.stream, registry=AnchorRegistry(SECRET), reactions=reactions
        )

    async def send(self, *sent: Event, rejected: list[Rejected] | None = None) -> None:
        await self.stream.append(frames_of([Arrival(list(sent), rejected or [], "wk", "web", T0)], 1, 10**7))

    async def process(self, *sent: Event) -> None:
        await self.send(*sent)
        await self.worker.step(1)

    async def person(self, kind: str, value: str) -> Portrait:
        return await actions.lookup(self.db, kind, value, SECRET, MOMENT)

    async def erase(self, person_id: str) -> Receipt:
        order = Order(Record(uuid4(), [], ERASED_AT, "test"), "asked for", ERASURE_SCRUBS, 1_000)
        return await erase(self.db, self.events, UUID(person_id), order)


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    await db.create_all()
    await events.create_all()
    async with db.driver() as connection:
        await records.open_partition(connection, 0)
    made = House(db, events)
    yield made
    await made.stream.close()


async def test_events_in_any_order_make_one_portrait(house: House) -> None:
    sent = events_of_one_person()
    random.Random(3).shuffle(sent)
    for one in sent:
        await house.process(one, one)
    person = await house.person("phone", "13800138000")
    assert person == await house.person("anonymous_id", "cookie-1") == await house.person("user_id", "u1")
    assert [(one.kind, one.value) for one in person.identifiers] == [
        ("user_id", "u1"), ("phone", "+8613800138000"), ("anonymous_id", "cookie-1"),
    ]  # fmt: skip
    assert person.traits == {"city": "深圳"} and person.tags == ["vip"]
    assert (person.rfm.frequency, person.rfm.monetary_fen) == (1, 5_000)
    assert person.first_touch is not None and person.first_touch.fields == {"utm_source": "wx"}
    page = await actions.timeline(house.db, house.events, UUID(person.person_id), Page(10))
    assert [item.event_id for item in page.items] == ["e3", "e2", "e1"]


async def test_an_erased_person_does_not_come_back_by_replay(house: House) -> None:
    await house.process(*events_of_one_person())
    person = await house.person("user_id", "u1")
    waiting = Event("e5", "view", T0 + 4000, USER, effects=Effects(set={"secret": "yes"}))
    letter = Rejected("WRONG_EVENT", "test", b'{"userId":"someone","phone":"138 0013 8000"}')
    await house.send(waiting, Event("e6", "view", T0 + 4000, OTHER), rejected=[letter])
    receipt = await house.erase(person.person_id)
    assert {store: receipt.rows[store] for store in ("events", "identifiers", "traits", "purchases", "stream")} == {
        "events": 3, "identifiers": 3, "traits": 2, "purchases": 1, "stream": 2,
    }  # fmt: skip
    assert receipt.rows["links"] >= 2
    await house.worker.step(1)
    await house.process(*events_of_one_person(), waiting)
    for kind, value in (("user_id", "u1"), ("phone", "13800138000"), ("anonymous_id", "cookie-1")):
        with pytest.raises(PersonNotFound):
            await house.person(kind, value)
    assert sorted(await house.events.rows("SELECT event_id FROM events")) == [("e4",), ("e6",)]
    assert (await house.person("user_id", "u2")).traits == {"n": 2}
    assert set((await house.erase(person.person_id)).rows.values()) == {0}


async def test_what_was_read_ahead_of_an_erasure_is_read_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "EVENTS_MAX", 4)
    letter = Rejected("WRONG_EVENT", "test", b'{"userId":"someone","phone":"138 0013 8000"}')
    await house.send(*events_of_one_person())
    await house.send(Event("e5", "view", T0 + 4000, USER), Event("e6", "view", T0 + 4000, OTHER), rejected=[letter])
    assert await house.worker.step(1) == 4
    await house.erase((await house.person("user_id", "u1")).person_id)
    assert await house.worker.step(1) == 2
    assert sorted(await house.events.rows("SELECT event_id FROM events")) == [("e4",), ("e6",)]
    async with house.db.driver() as connection:
        assert await connection.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_who_returns_after_an_erasure_begins_anew(house: House) -> None:
    await house.process(*events_of_one_person())
    person = await house.person("user_id", "u1")
    await house.erase(person.person_id)
    later = int(ERASED_AT.timestamp() * 1000) + 1000
    await house.process(Event("e7", "view", later, USER, effects=Effects(set={"city": "上海"})))
    again = await house.person("user_id", "u1")
    assert (again.traits, [one.kind for one in again.identifiers], again.rfm.frequency) == (
        {"city": "上海"}, ["user_id"], 0,
    )  # fmt: skip
    assert (await house.erase(again.person_id)).rows["events"] == 1
