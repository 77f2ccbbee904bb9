"""The stream over the Kafka protocol: one topic, partitioned by anchor, a consumer group of processors.

Positions are kept in PostgreSQL beside the effects they stand for, never in Kafka: so an effect happens once.
A frame that is produced twice (a retried request) is harmless, since events are deduplicated by their id.

A topic may be deleted and made anew, or another one be named: its offsets begin again, ours never do. Where our numbers
of a partition begin stands in PostgreSQL as well (decision 0386).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from siyu.errors import EngineUnavailable
from siyu.store.postgres import Database, driver_of
from siyu.stream import kafka_records as records
from siyu.stream.stream import NewFrame, StreamFrame

log = structlog.get_logger()

TOPIC: Final = "siyu-events"
GROUP: Final = "siyu-processors"
_EVENTS_HEADER: Final = "events"
_RECORDS_MAX: Final = 64
_PRODUCE_MS_MAX: Final = 10_000
_COUNT_SECONDS: Final = 0.5
_METADATA_MS: Final = 10_000
"""A topic that was made anew is noticed within this time."""
_CHECK_SECONDS: Final = 5.0
_SKEW_MS: Final = 60_000
"""By so much the clocks of doors and PostgreSQL may differ."""
_PARTITIONS: Final = 8
"""Of a topic that does not exist yet; the most processors that can share the work."""


class _Begun(NamedTuple):
    """Where a partition begins."""

    base: int
    """Our number before the first of the topic."""
    first: Any
    """Offset and timestamp of the topic's first frame; None: it was empty."""
    checked: float
    """Monotonic time."""


class KafkaStream:
    """`Stream` on a Kafka-protocol broker. A door only produces; `consume=True` joins the group of processors."""

    def __init__(self, servers: str, db: Database, topic: str = TOPIC) -> None:
        self._servers = servers
        self._db = db
        self._topic = topic
        self._producer: Any = None
        self._consumer: Any = None
        self._partitions = 1
        self._uncounted: Counter[int] = Counter()
        """Events by partition."""
        self._counting: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._begun: dict[int, _Begun] = {}
        """Of the partitions that are being read."""

    @classmethod
    async def open(cls, url: str, db: Database, *, consume: bool) -> KafkaStream:
        """Connect to `kafka://host:port[,host:port]/[topic][?partitions=n]`; makes the topic when it is missing.

        Raises EngineUnavailable."""
        parts = urlsplit(url)
        stream = cls(parts.netloc, db, parts.path.strip("/") or TOPIC)
        partitions = int(parse_qs(parts.query).get("partitions", [str(_PARTITIONS)])[0])
        try:
            await stream._create_topic(partitions)
            await stream._connect(consume)
        except (KafkaError, OSError) as error:
            await stream.close()
            raise _unavailable(error) from error
        return stream

    async def _create_topic(self, partitions: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)
        await admin.start()
        try:
            if self._topic not in await admin.list_topics():
                await admin.create_topics([NewTopic(self._topic, partitions, 1)])
        except TopicAlreadyExistsError:
            return
        finally:
            await admin.close()

    async def _connect(self, consume: bool) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            max_request_size=4 * self.frame_bytes_max,
            request_timeout_ms=_PRODUCE_MS_MAX,
            metadata_max_age_ms=_METADATA_MS,
        )
        await self._producer.start()
        await self._producer.partitions_for(self._topic)
        self._count_partitions()
        self._counting = asyncio.create_task(self._count())
        if consume:
            self._consumer = AIOKafkaConsumer(
                self._topic,
                bootstrap_servers=self._servers,
                group_id=GROUP,
                enable_auto_commit=False,
                metadata_max_age_ms=_METADATA_MS,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=16 * self.frame_bytes_max,
            )
            await self._consumer.start()

    def _count_partitions(self) -> None:
        """As many as the topic has now: it may have been made anew with others."""
        self._partitions = len(self._producer.client.cluster.partitions_for_topic(self._topic) or ()) or 1

    @property
    def shards(self) -> int:
        """One per partition of the topic."""
        return self._partitions

    @property
    def frame_bytes_max(self) -> int:
        """Brokers take messages up to 1 MB unless told otherwise."""
        return 900_000

    async def append(self, frames: Sequence[NewFrame]) -> None:
        """Produce frames, acknowledged by all replicas. Raises EngineUnavailable."""
        try:
            self._count_partitions()
            sent = [
                await self._producer.send(
                    self._topic,
                    frame.body,
                    partition=frame.shard % self._partitions,
                    headers=[(_EVENTS_HEADER, str(frame.events).encode())],
                )
                for frame in frames
            ]
            await asyncio.wait_for(asyncio.gather(*sent), _PRODUCE_MS_MAX / 1000)
        except (KafkaError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        for frame in frames:
            self._uncounted[frame.shard % self._partitions] += frame.events

    async def read(self, partition: int, after: int, events_max: int, wait_s: float) -> list[StreamFrame]:
        """Frames after an offset of ours. Raises EngineUnavailable."""
        place = TopicPartition(self._topic, partition)
        try:
            async with self._reading:
                if place not in self._consumer.assignment():
                    self._begun.pop(partition, None)
                    return []
                base = await self._base(place)
                if after < base:  # the position moved on with the topic: it is asked for again
                    return []
                if await self._consumer.position(place) != after - base:
                    self._consumer.seek(place, after - base)
                frames = await self._fetched(place, base, events_max, wait_s)
                next_offset = frames[0].offset if frames else base + await self._consumer.position(place) + 1
                if next_offset > after:
                    return frames
                # There was no such offset, so the client went back to the first.
                await self._begin_anew(place)
                return []
        except (KafkaError, OSError) as error:
            raise _unavailable(error) from error

    async def _fetched(self, place: TopicPartition, base: int, events_max: int, wait_s: float) -> list[StreamFrame]:
        """The next frames. Kafka's offset n is ours n + 1 after the base."""
        frames: list[StreamFrame] = []
        events = 0
        while events < events_max:
            wait_ms = 0 if frames else int(wait_s * 1000)
            found = await self._consumer.getmany(place, timeout_ms=wait_ms, max_records=_RECORDS_MAX)
            records_ = found.get(place, [])
            if not records_:
                break
            for record in records_:
                count = int(dict(record.headers).get(_EVENTS_HEADER, b"0"))
                events += count
                frames.append(StreamFrame(place.partition, base + record.offset + 1, record.value, count))
        return frames

    async def _base(self, place: TopicPartition) -> int:
        """Our number before the topic's first. A topic that ends before what was processed, or whose first frame came
        after that or is not the one that was first, is not the topic that was processed."""
        known = self._begun.get(place.partition)
        if known is not None and time.monotonic() - known.checked < _CHECK_SECONDS:
            return known.base
        first = (await self._consumer.offsets_for_times({place: 0}))[place]
        end = (await self._consumer.end_offsets([place]))[place]
        async with self._db.driver() as connection:
            begun = await records.begun(connection, place.partition)
        done = begun.done - begun.base
        late = first is not None and first.offset < done and first.timestamp > begun.processed_ms + _SKEW_MS
        if done < 0 or end < done or late or (known is not None and _is_another(known.first, first)):
            return await self._begin_anew(place)
        self._begun[place.partition] = _Begun(begun.base, first, time.monotonic())
        return begun.base

    async def _begin_anew(self, place: TopicPartition) -> int:
        """The topic is another one than the one that was processed: its numbers follow all that were given."""
        log.error(
            "the Kafka topic was made anew: what the old one held and was not processed is lost",
            topic=self._topic,
            partition=place.partition,
        )
        first = (await self._consumer.offsets_for_times({place: 0}))[place]
        waiting = await self._events_of(place)
        async with self._db.begin() as connection:
            base = await records.begin_anew(await driver_of(connection), place.partition, waiting)
        self._begun[place.partition] = _Begun(base, first, time.monotonic())
        return base

    async def _events_of(self, place: TopicPartition) -> int:
        """How many events a topic that is still young holds."""
        first = (await self._consumer.beginning_offsets([place]))[place]
        end = (await self._consumer.end_offsets([place]))[place]
        self._consumer.seek(place, first)
        events = 0
        while await self._consumer.position(place) < end:
            found = await self._consumer.getmany(place, timeout_ms=1000, max_records=_RECORDS_MAX)
            events += sum(
                int(dict(record.headers).get(_EVENTS_HEADER, b"0"))
                for record in found.get(place, [])
                if record.offset < end
            )
        return events

    async def assigned(self) -> list[int]:
        """What the group's coordinator gave to this process."""
        if self._consumer is None:
            return []
        return sorted(place.partition for place in self._consumer.assignment())

    async def accepted(self) -> int:
        """As counted in PostgreSQL, at most half a second behind; also a probe that the broker answers."""
        try:
            cluster = await asyncio.wait_for(self._producer.client.fetch_all_metadata(), 3)
        except (KafkaError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        if not cluster.partitions_for_topic(self._topic):
            raise EngineUnavailable(
                f"There is no Kafka topic {self._topic!r} any more; make it, or start Siyu again.", engine="stream"
            )
        async with self._db.driver() as connection:
            return int(await connection.fetchval("SELECT coalesce(sum(accepted), 0) FROM stream_partitions"))

    async def _count(self) -> None:
        """Add what was accepted to the total in PostgreSQL now and then, so that no request waits for it."""
        while True:
            await asyncio.sleep(_COUNT_SECONDS)
            await self._write_count()

    async def _write_count(self) -> None:
        counted, self._uncounted = self._uncounted, Counter()
        if not counted:
            return
        try:
            async with self._db.driver() as connection:
                await records.count_accepted(connection, counted)
        except EngineUnavailable:
            self._uncounted += counted

    async def close(self) -> None:
        """Leave the group and the broker."""
        if self._counting is not None:
            self._counting.cancel()
            await self._write_count()
        for client in (self._consumer, self._producer):
            if client is not None:
                await client.stop()


def _is_another(was: Any, now: Any) -> bool:
    """Whether these cannot be the first frames of one topic, from which old ones may go."""
    return (
        None not in (was, now)
        and (now.offset, now.timestamp) != (was.offset, was.timestamp)
        and now.offset <= was.offset
    )


def _unavailable(error: BaseException) -> EngineUnavailable:
    return EngineUnavailable(f"The Kafka stream does not answer: {type(error).__name__} {error}", engine="stream")
