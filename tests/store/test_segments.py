"""Segments end to end: events through the processor, members kept by event, by time, by who is who, and by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from siyu.collect.event import Effects, Event, Link
from siyu.collect.frame import Arrival, frames_of
from siyu.identity.actions import retract
from siyu.identity.anchors import AnchorRegistry
from siyu.ids import identifier_key
from siyu.processor import records as processor_records
from siyu.processor.reactions import IdentityReaction, ProfileReaction, SegmentReaction
from siyu.processor.work import Worker
from siyu.profile import actions as profile
from siyu.profile.jobs import refresh_rfm
from siyu.profile.portrait import Moment, Portrait
from siyu.profile.rights import Order, erase
from siyu.profile.rights_records import Record
from siyu.rules.rule import InvalidRule
from siyu.segments import actions, keep, records
from siyu.segments.actions import Wanted
from siyu.segments.keep import Keeper
from siyu.segments.membership import changes
from siyu.segments.population import Source
from siyu.segments.ready import READY
from siyu.segments.segment import SegmentInUse, SegmentTaken
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.stream.postgres import PostgresStream

SECRET = b"test secret of thirty-two bytes!"
ZONE = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 6, 1, 4, tzinfo=UTC)
BUYERS = {"metric": "count", "event": "order.paid", "window": {"last": 30, "unit": "day"}, "op": "gte", "value": 2}
PAID_TWICE = Wanted("buyers", "近 30 天买过两次", BUYERS)


class House:
    """The engines, a clock, and the two that work: processor and keeper."""

    def __init__(self, db: Database, events: EventStore, stream: PostgresStream) -> None:
        self.db, self.events, self.stream = db, events, stream
        self.now = NOON
        self.sent = 0
        reactions = [
            ProfileReaction(lambda: self.now),
            SegmentReaction(lambda: None),
            IdentityReaction(events, SECRET, 200, lambda: None),
        ]
        self.worker = Worker(
            0, db=db, events=events, stream=stream, registry=AnchorRegistry(SECRET), reactions=reactions
        )
        self.keeper = Keeper(Source(db, events, WORDS), stream, lambda: self.now, ZONE)

    async def happen(self, name: str, user: str = "u1", *, ago: timedelta = timedelta(), **more: Any) -> None:
        """An event, processed; the keeper has not looked yet."""
        self.sent += 1
        at_ms = int((self.now - ago).timestamp() * 1000)
        kind, _, value = user.rpartition("=")
        event = Event(f"e{self.sent}", name, at_ms, identifier_key(kind or "user_id", value), **more)
        await self.stream.append(frames_of([Arrival([event], [], "key1", "web", at_ms)], 1, 10**7))
        await self.worker.step(1)

    async def look(self) -> None:
        """The keeper looks, and what it says is processed."""
        assert await self.keeper.step()
        while await self.worker.step(0.01):
            pass

    async def portrait(self, user: str = "u1") -> Portrait:
        kind, _, value = user.rpartition("=")
        return await profile.lookup(self.db, kind or "user_id", value, SECRET, Moment(self.now, ZONE))

    async def segments(self, user: str = "u1") -> list[str]:
        """Without the ready ones."""
        ready = {one.key for one in READY}
        return [key for key in (await self.portrait(user)).segments if key not in ready]

    async def size(self, key: str) -> int:
        return (await actions.show(self.db, key)).size

    async def said(self) -> list[tuple[str, str]]:
        rows = await self.events.rows(
            "SELECT name, properties FROM events WHERE startsWith(name, 'segment.') ORDER BY event_id"
        )
        return [(name.partition(".")[2], json.loads(properties)["segment"]) for name, properties in rows]

    async def exact(self) -> None:
        """What is kept is what a look at everybody finds, and the sizes add up."""
        async with self.db.driver() as connection:
            kept = await connection.fetch("SELECT person, segments FROM person_segments WHERE segments <> '{}'")
            await connection.execute("UPDATE segments SET built = 0, size = 0")
            await connection.execute("DELETE FROM person_segments")
        before = {row[0]: row[1] for row in kept}
        await self.look()
        async with self.db.driver() as connection:
            again = await connection.fetch("SELECT person, segments FROM person_segments WHERE segments <> '{}'")
        assert before == {row[0]: row[1] for row in again}
        for one in await actions.all_of(self.db):
            assert one.size == sum(one.key in row[1] for row in again)


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    await db.create_all()
    await events.create_all()
    stream = PostgresStream(db)
    async with db.driver() as connection:
        await processor_records.open_partition(connection, 0)
    house = House(db, events, stream)
    await house.look()
    yield house
    await house.exact()
    await stream.close()


async def test_members_come_and_go_by_event_and_by_time(house: House) -> None:
    await actions.create(house.db, PAID_TWICE, house.now, "test")
    await house.happen("order.paid", ago=timedelta(days=29))
    await house.look()
    assert await house.segments() == []
    await house.happen("Order Completed")
    await house.look()
    assert (await house.segments(), await house.size("buyers")) == (["buyers"], 1)
    house.now += timedelta(days=1) - timedelta(milliseconds=1)
    await house.look()
    assert await house.segments() == ["buyers"]
    house.now += timedelta(milliseconds=1)
    house.keeper._roll_rest_s = 0
    await house.look()
    assert (await house.segments(), await house.size("buyers")) == ([], 0)
    assert await house.said() == [("entered", "buyers"), ("left", "buyers")]


async def test_scores_made_before_anybody_bought(house: House) -> None:
    """A new installation: the cut points of RFM were taken, and there are none; a score has nothing to be compared
    with."""
    await refresh_rfm(house.db, house.now, ZONE)
    for score in ("r", "f", "m"):
        rule = {"person": f"rfm.{score}", "op": "eq", "value": 1}
        await actions.create(house.db, Wanted(f"lowest-{score}", "最低", rule), house.now, "test")
    await house.happen("order.paid", value_fen=100)
    await house.look()
    assert await house.segments() == []
    assert (await house.portrait()).rfm.r is None
    await house.exact()
    await refresh_rfm(house.db, house.now, ZONE)
    await house.happen("order.paid", value_fen=100)
    await house.look()
    assert await house.segments() == ["lowest-f", "lowest-r"]  # twice as much as the only purchase so far


async def test_an_event_of_the_future_counts_when_its_time_has_come(house: House) -> None:
    rule = {"metric": "count", "event": "checkin", "op": "gte", "value": 1}
    await actions.create(house.db, Wanted("came", "来过", rule), house.now, "test")
    await house.happen("page")
    await house.happen("checkin", ago=timedelta(seconds=-90))
    async with house.db.driver() as connection:
        await connection.execute("UPDATE segment_progress SET ticked_at = ticked_at")
    await house.events.command(
        "ALTER TABLE events UPDATE received_at = occurred_at - INTERVAL 90 SECOND"
        " WHERE name = 'checkin' SETTINGS mutations_sync = 1"
    )
    await house.look()
    assert await house.segments() == []
    house.now += timedelta(seconds=90)
    house.keeper._roll_rest_s = 0
    await house.look()
    assert await house.segments() == ["came"]


async def test_the_calendar_and_age_are_looked_at_with_the_hour(house: House) -> None:
    rule = {"metric": "count", "event": "checkin", "window": {"this": "day"}, "op": "gte", "value": 1}
    await actions.create(house.db, Wanted("today", "今天签到", rule), house.now, "test")
    await house.happen("checkin")
    await house.look()
    assert await house.segments() == ["today"]
    assert "lifecycle.new" in (await house.portrait()).segments
    house.now = datetime(2026, 6, 1, 16, tzinfo=UTC)
    await house.look()
    assert await house.segments() == []
    house.now += timedelta(days=60)
    await house.look()
    assert "lifecycle.sleeping" in (await house.portrait()).segments


async def test_what_is_said_of_a_person_is_no_sign_of_life(house: House) -> None:
    rule = {"person": "lifecycle", "op": "eq", "value": "sleeping"}
    await actions.create(house.db, Wanted("quiet", "沉睡", rule), house.now, "test")
    await house.happen("page")
    await house.look()
    for _ in range(3):
        house.now += timedelta(days=61)
        await house.look()
    assert await house.said() == [("entered", "quiet"), ("left", "quiet")]
    assert (await house.portrait()).lifecycle == "lost"


async def test_many_sets_are_written_in_parts(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of one person, of many, that grow, shrink and end, in statements of a few persons each."""
    await db.create_all()
    monkeypatch.setattr(records, "_PERSONS_AT_ONCE", 3)

    async def write(found: dict[str, set[int]]) -> dict[int, list[str]]:
        everybody = np.arange(1, 12, dtype=np.int64)
        masks = {key: np.isin(everybody, sorted(members)) for key, members in found.items()}
        async with db.driver() as connection, connection.transaction():
            await records.write_changes(connection, changes(await records.kept(connection, None), everybody, masks))
            return dict(await connection.fetch("SELECT person, segments FROM person_segments"))

    first = {"a": {1, 2, 3, 4, 5, 6, 7}, "b.c": {1, 2}, "d-e": {2, 9}}
    assert await write(first) == {
        person: sorted(key for key, members in first.items() if person in members)
        for person in (1, 2, 3, 4, 5, 6, 7, 9)
    }
    second: dict[str, set[int]] = {"a": {1, 8}, "b.c": set(), "d-e": {2, 8, 9, 10, 11}}
    assert await write(second) == {1: ["a"], 2: ["d-e"], 8: ["a", "d-e"], 9: ["d-e"], 10: ["d-e"], 11: ["d-e"]}


async def test_the_keeper_rests_as_long_as_events_flood_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep, "FLOOD_SECONDS", 1.0)
    monkeypatch.setattr(keep, "FLOOD", 10)
    monkeypatch.setattr(keep, "SHORT_SECONDS", -1.0)
    monkeypatch.setattr(keep, "REST", 1e9)
    monkeypatch.setattr(keep, "REST_SECONDS_MAX", 3600.0)
    wake, stopping, again = asyncio.Event(), asyncio.Event(), asyncio.Event()
    flooding, looked = True, list[bool]()
    step = house.keeper.step

    async def look() -> bool:
        looked.append(flooding)
        if not flooding:
            again.set()
        return await step()

    monkeypatch.setattr(house.keeper, "step", look)

    async def flood() -> None:
        for _ in range(30):
            async with house.db.driver() as connection:
                await records.add_touch(connection, np.arange(1, 1_001, dtype=np.uint32).tobytes())
            wake.set()
            await asyncio.sleep(0.05)

    running = asyncio.create_task(house.keeper.run(wake, stopping))
    await flood()
    flooding = False
    # Would it rest on, it would be for an hour.
    await again.wait()
    stopping.set()
    wake.set()
    await running
    # Once before there was a flood, and again if that look had taken what woke the keeper: thirty touches, never as
    # many looks. Then, quiet again, for what the flood left.
    assert looked.count(True) in (1, 2)


async def test_a_few_events_after_a_long_look_are_looked_at_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One customer after the other on a slow machine, where every look is long: each within two seconds."""
    monkeypatch.setattr(keep, "FLOOD_SECONDS", 3600.0)
    monkeypatch.setattr(keep, "SHORT_SECONDS", -1.0)
    monkeypatch.setattr(keep, "REST_SECONDS_MAX", 3600.0)
    wake, stopping = asyncio.Event(), asyncio.Event()
    looks: asyncio.Queue[None] = asyncio.Queue()

    async def look() -> bool:
        looks.put_nowait(None)
        await asyncio.sleep(0.001)
        return True

    monkeypatch.setattr(keep, "REST", 1e9)
    monkeypatch.setattr(house.keeper, "step", look)
    running = asyncio.create_task(house.keeper.run(wake, stopping))
    await looks.get()
    async with house.db.driver() as connection:
        await records.add_touch(connection, np.arange(1, 3, dtype=np.uint32).tobytes())
    wake.set()
    # Did it wait for the end of a flood, it would be for an hour.
    await looks.get()
    stopping.set()
    wake.set()
    await running


async def test_a_flood_too_large_for_one_look_is_let_pass_before_the_first(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "FLOOD_SECONDS", 0.01)
    monkeypatch.setattr(keep, "ANCHORS_PER_LOOK", 100)
    monkeypatch.setattr(keep, "FLOOD_PASSES_SECONDS", 3600.0)
    flooding, looked, asked = True, list[bool](), 0
    wake, stopping, often, again = asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def busy() -> bool:
        nonlocal asked
        asked += 1
        if asked >= 3:
            often.set()
        return flooding

    async def look() -> bool:
        looked.append(flooding)
        again.set()
        return True

    keeper = Keeper(Source(house.db, house.events, WORDS), house.stream, lambda: house.now, ZONE, busy=busy)
    monkeypatch.setattr(keeper, "step", look)
    async with house.db.driver() as connection:
        await records.add_touch(connection, np.arange(1, 1_001, dtype=np.uint32).tobytes())
    running = asyncio.create_task(keeper.run(wake, stopping))
    await often.wait()
    assert looked == []
    flooding = False
    # Did it not see the end of the flood, it would wait for an hour.
    await again.wait()
    stopping.set()
    wake.set()
    await running
    assert looked[0] is False


async def test_merging_and_undoing_leave_memberships_exact(house: House) -> None:
    await actions.create(house.db, PAID_TWICE, house.now, "test")
    await house.happen("order.paid", "anonymous_id=a1")
    await house.happen("order.paid", "u1")
    await house.look()
    assert await house.segments("u1") == await house.segments("anonymous_id=a1") == []
    both = identifier_key("anonymous_id", "a1")
    await house.happen(
        "page", "u1", others=both, effects=Effects(links=[Link("bind", [identifier_key("user_id", "u1"), both])])
    )
    await house.look()
    assert await house.segments("u1") == await house.segments("anonymous_id=a1") == ["buyers"]
    assert await house.size("buyers") == 1
    async with house.db.driver() as connection:
        link = await connection.fetchval("SELECT link_id FROM links")
    await retract(house.db, house.events, link, "wrong", house.now, members_max=200)
    await house.look()
    assert await house.segments("u1") == await house.segments("anonymous_id=a1") == []
    assert await house.size("buyers") == 0


async def test_a_nested_segment_follows_the_one_it_names(house: House) -> None:
    await house.happen("order.paid", effects=Effects(set={"city": "广州"}))
    await actions.create(house.db, PAID_TWICE, house.now, "test")
    city = {"person": "trait.city", "op": "eq", "value": "广州"}
    await actions.create(
        house.db, Wanted("local", "本地未复购", {"all": [city, {"not": {"segment": "buyers"}}]}), house.now, "t"
    )
    await house.look()
    assert await house.segments() == ["local"]
    once = BUYERS | {"value": 1}
    changed = await actions.update(house.db, Wanted("buyers", "买过", once), house.now, "test")
    assert changed.version == 2
    await house.look()
    assert await house.segments() == ["buyers"]
    assert await house.said() == []
    with pytest.raises(SegmentInUse):
        await actions.delete(house.db, "buyers", house.now, "test")
    with pytest.raises(InvalidRule):
        await actions.update(house.db, Wanted("buyers", "x", {"not": {"segment": "local"}}), house.now, "test")
    with pytest.raises(SegmentTaken):
        await actions.create(house.db, PAID_TWICE, house.now, "test")
    await actions.delete(house.db, "local", house.now, "test")
    assert [one.version for one in await actions.versions(house.db, "local")] == [2, 1]
    await actions.create(house.db, Wanted("local", "又来", city), house.now, "test")
    assert (await actions.show(house.db, "local")).version == 3
    await house.look()


async def test_a_list_is_whoever_has_its_identifiers(house: House) -> None:
    await actions.create(house.db, Wanted("vips", "名单", None), house.now, "test")
    await house.happen("page", "u1", others=identifier_key("phone", "+8613800000001"))
    await house.happen("page", "u2")
    await house.look()
    done = await actions.upload(house.db, "vips", ["13800000001", "nobody"], None, replace=False)
    assert (done.added, done.unknown) == (1, ["nobody"])
    await house.look()
    assert await house.segments("u1") == ["vips"]
    page = await actions.members(house.db, "vips", 0, 10)
    assert [one.person_id for one in page.persons] == [(await house.portrait("u1")).person_id]
    text = b"".join([part async for part in actions.export(house.db, "vips", house.now, ZONE)]).decode("utf-8-sig")
    assert text.splitlines()[1].split(",")[2:4] == ["+8613800000001", ""]
    await actions.upload(house.db, "vips", ["u2"], "user_id", replace=True)
    await house.look()
    assert (await house.segments("u1"), await house.segments("u2")) == ([], ["vips"])
    with pytest.raises(InvalidRule):
        await actions.upload(house.db, "trust.stranger", ["u2"], None, replace=False)


async def test_an_erased_person_is_in_no_segment(house: House) -> None:
    await actions.create(house.db, PAID_TWICE, house.now, "test")
    await house.happen("order.paid")
    await house.happen("order.paid")
    await house.look()
    one = await house.portrait()

    order = Order(Record(uuid4(), [], house.now, "test"), "asked", [actions.scrub_segments], 200)
    receipt = await erase(house.db, house.events, UUID(one.person_id), order)
    assert receipt.rows["person_segments"] == 1
    await house.look()
    assert await house.size("buyers") == 0


async def test_the_ladder_rises_and_decays(house: House) -> None:
    await house.happen("page")
    await house.look()
    assert (await house.portrait()).trust_level == "stranger"
    await house.happen("order.paid")
    await house.look()
    assert (await house.portrait()).trust_level == "agrees_with_me"
    await house.happen("order.paid")
    await house.look()
    assert (await house.portrait()).trust_level == "trusts_me"
    house.now += timedelta(days=365)
    await house.look()
    assert (await house.portrait()).trust_level == "stranger"
    assert await house.said() == []


async def test_a_crash_before_the_event_is_sent_says_it_later_and_once(house: House) -> None:
    await actions.create(house.db, PAID_TWICE, house.now, "test")
    await house.look()
    await house.happen("order.paid")
    await house.happen("order.paid")
    append = house.stream.append
    house.stream.append = _broken  # type: ignore[method-assign]  # the stream is away
    with pytest.raises(OSError):
        await house.keeper.step()
    house.stream.append = append  # type: ignore[method-assign]
    assert await house.segments() == ["buyers"]
    await house.look()
    assert await house.said() == [("entered", "buyers")]


async def _broken(*_: Any) -> None:
    raise OSError("away")
