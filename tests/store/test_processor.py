"""Stream and processor on the real engines: exactly once, whatever fails in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from siyu.clock import system_now
from siyu.collect.event import Effects, Event, Rejected
from siyu.collect.frame import Arrival, frames_of
from siyu.errors import EngineUnavailable
from siyu.identity.anchors import AnchorRegistry
from siyu.ids import identifier_key
from siyu.processor import actions, records
from siyu.processor.reactions import ProfileReaction
from siyu.processor.replay import event_of_body
from siyu.processor.work import Fenced, Worker
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.stream.postgres import PostgresStream

SECRET = b"test secret of thirty-two bytes!"
T0 = 1_760_000_000_000


def event(number: int, user: str = "u1", **more: Any) -> Event:
    return Event(f"e{number}", "view", T0 + number * 1000, identifier_key("user_id", user), **more)


class House:
    """One database of each kind and a stream."""

    def __init__(self, db: Database, events: EventStore, stream: PostgresStream) -> None:
        self.db, self.events, self.stream = db, events, stream

    def worker(self, store: EventStore | None = None) -> Worker:
        return Worker(
            0,
            db=self.db,
            events=store or self.events,
            stream=self.stream,
            registry=AnchorRegistry(SECRET),
            reactions=[ProfileReaction(system_now)],
        )

    async def send(self, *sent: Event, rejected: list[Rejected] | None = None) -> None:
        await self.stream.append(frames_of([Arrival(list(sent), rejected or [], "key1", "web", T0)], 1, 10**7))

    async def stored(self) -> list[str]:
        return [row[0] for row in await self.events.rows("SELECT event_id FROM events ORDER BY occurred_at, event_id")]

    async def scalar(self, sql: str) -> Any:
        async with self.db.driver() as connection:
            return await connection.fetchval(sql)


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    await db.create_all()
    await events.create_all()
    stream = PostgresStream(db)
    async with db.driver() as connection:
        await records.open_partition(connection, 0)
    yield House(db, events, stream)
    await stream.close()


async def test_events_are_stored_once_with_dense_anchors(house: House) -> None:
    await house.send(event(1), event(2, "u2"), event(1), event(3, others=identifier_key("anonymous_id", "a1")))
    await house.send(event(2, "u2"), event(4))
    assert await house.worker().step(1) == 6
    assert await house.stored() == ["e1", "e2", "e3", "e4"]
    assert await house.scalar("SELECT count(*) FROM identifiers") == 3
    assert await house.scalar("SELECT count(*) FROM stream_frames") == 0
    state = await actions.stream_state(house.db)
    assert (state.accepted, state.processed, state.dead) == (6, 6, 0)


async def test_a_repeat_is_recognised_by_another_process_later(house: House) -> None:
    await house.send(event(1))
    await house.worker().step(1)
    await house.send(event(1), event(2))
    await house.worker().step(1)
    assert await house.stored() == ["e1", "e2"]


async def test_first_seen_is_the_earliest_event_in_any_order(house: House) -> None:
    for batch in ([event(50)], [event(10)], [event(90)]):
        await house.send(*batch)
        await house.worker().step(1)
    first = await house.scalar("SELECT extract(epoch FROM first_seen) * 1000 FROM identifiers")
    assert int(first) == T0 + 10_000


class Breaking:
    """A real store whose insert is cut off: before it, or after it was durable but not answered."""

    def __init__(self, store: EventStore, when: str) -> None:
        self._store, self._when = store, when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def insert(self, *args: Any, **kwargs: Any) -> None:
        if self._when == "after":
            await self._store.insert(*args, **kwargs)
        raise EngineUnavailable("cut off", engine="clickhouse")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_around_the_insert_neither_loses_nor_doubles(house: House, when: str) -> None:
    await house.send(event(1, effects=Effects(increment={"visits": 1.0})), event(2))
    broken = house.worker(Breaking(house.events, when))  # type: ignore[arg-type]
    with pytest.raises(EngineUnavailable):
        await broken.step(1)
    await house.send(event(3))  # arrives after the crash: must not change the planned range
    healthy = house.worker()
    assert await healthy.step(1) == 2
    assert await healthy.step(1) == 1
    assert await house.stored() == ["e1", "e2", "e3"]
    assert await house.scalar("SELECT count(*) FROM trait_changes") == 1


async def test_the_same_worker_goes_on_after_a_failure(house: House) -> None:
    await house.send(event(1, "new person"))
    worker = house.worker(Breaking(house.events, "after"))  # type: ignore[arg-type]
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    await asyncio.sleep(0.5)
    worker._events = house.events
    for _ in range(100):
        if (await actions.stream_state(house.db)).processed == 1:
            break
        await asyncio.sleep(0.1)
    stop.set()
    await running
    assert await house.stored() == ["e1"]
    assert await house.scalar("SELECT count(*) FROM identifiers") == 1


async def test_a_processor_that_was_overtaken_drops_its_work(house: House) -> None:
    await house.send(event(1))
    slow, fast = house.worker(), house.worker()
    original = slow._store

    async def overtaken(*args: Any) -> Any:
        await fast.step(1)
        return await original(*args)

    slow._store = overtaken  # type: ignore[method-assign]
    with pytest.raises(Fenced):
        await slow.step(1)
    assert await house.stored() == ["e1"]
    assert (await actions.stream_state(house.db)).processed == 1


async def test_rejected_events_and_damaged_frames_become_dead_letters(house: House) -> None:
    await house.send(event(1), rejected=[Rejected("BAD_TIME", "no time \x00", b"{\x00}", "x", "segment")])
    from siyu.stream.stream import NewFrame

    await house.stream.append([NewFrame(b"not a frame", 1)])
    await house.send(event(2))
    await house.worker().step(1)
    assert await house.stored() == ["e1", "e2"]
    letters = await actions.dead_letters(house.db, limit=10)
    assert sorted(letter["code"] for letter in letters) == ["BAD_TIME", "FRAME_DAMAGED"]
    assert (await actions.stream_state(house.db)).dead == 2


async def test_the_parts_of_an_event_that_a_profile_refuses_are_kept_as_a_letter(house: House) -> None:
    long = "n" * 300
    sent = Effects(set={"city": "广州", long: 1}, increment={"visits": 1.0}, tags_add=["a⊃⊃b", "会员"])
    await house.send(event(1, effects=sent), event(2, effects=Effects(set={"city": "深圳"})))
    await house.worker().step(1)
    assert await house.stored() == ["e1", "e2"]
    assert await house.scalar("SELECT count(*) FROM trait_changes") == 2
    (letter,) = await actions.dead_letters(house.db, limit=10)
    assert (letter["event_id"], letter["source"], letter["code"]) == ("e1", "key1", "WRONG_TRAIT_NAME")
    assert letter["reason"].startswith("The event is stored, without this: The trait 'nnn")
    assert event_of_body(letter["body"]).effects == sent
    # The letter can be settled: trying again changes nothing that stands already.
    assert await actions.replay_dead_letter(house.db, house.stream, letter["id"], system_now()) == (1, 0)
    await house.worker().step(1)
    assert await house.stored() == ["e1", "e2"]
    assert (await actions.stream_state(house.db)).dead == 0


async def test_a_free_order_is_a_purchase(house: House) -> None:
    paid, free = event(1), event(2)
    paid.name, paid.value_fen, free.name = "signed a contract", 500, "order.paid"
    await house.send(paid, free, event(3))
    await house.worker().step(wait_s=0)
    assert await house.scalar("SELECT array_agg(value_fen ORDER BY value_fen) FROM purchases") == [0, 500]


async def test_two_doors_append_without_gaps_or_losses(house: House) -> None:
    async def door(name: int) -> None:
        for number in range(20):
            await house.send(event(name * 1000 + number))

    await asyncio.gather(*(door(name) for name in range(5)))
    worker = house.worker()
    while await worker.step(0):
        pass
    assert len(await house.stored()) == 100
    assert await house.scalar("SELECT last_offset FROM stream_partitions") == 100


async def test_waiting_reader_is_woken_by_an_append(house: House) -> None:
    reading = asyncio.create_task(house.stream.read(0, 0, 10, 20))
    await asyncio.sleep(0.3)
    await house.send(event(1))
    frames = await asyncio.wait_for(reading, 5)
    assert [frame.offset for frame in frames] == [1]


async def test_a_number_beyond_the_store_does_not_hide_the_other_properties(house: House) -> None:
    await house.send(
        event(1, properties='{"n": 123456789012345678901234567890, "city": "广州"}'),
        event(2, properties='{"n": 1e999, "city": "广州"}'),
        event(3, properties='{"n": 12, "city": "广州"}'),
    )
    await house.worker().step(1)
    rows = await house.events.rows(
        "SELECT JSONExtractString(properties, 'n'), JSONExtractString(properties, 'city') FROM events ORDER BY event_id"
    )
    assert rows == [("123456789012345678901234567890", "广州"), ("1e999", "广州"), ("12", "广州")]
