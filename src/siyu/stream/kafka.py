"""The stream over the Kafka protocol: one topic, partitioned by anchor, a consumer group of processors.

Positions are kept in PostgreSQL beside the effects they stand for, never in Kafka: so an effect happens once.
A frame that is produced twice (a retried request) is harmless, since events are deduplicated by their id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from siyu.errors import EngineUnavailable
from siyu.store.postgres import Database
from siyu.stream.stream import NewFrame, StreamFrame

TOPIC: Final = "siyu-events"
GROUP: Final = "siyu-processors"
_EVENTS_HEADER: Final = "events"
_RECORDS_MAX: Final = 64
_PRODUCE_MS_MAX: Final = 10_000
_COUNT_SECONDS: Final = 0.5
_PARTITIONS: Final = 8
"""Of a topic that does not exist yet; the most processors that can share the work."""


class KafkaStream:
    """`Stream` on a Kafka-protocol broker. A door only produces; `consume=True` joins the group of processors."""

    def __init__(self, servers: str, db: Database, topic: str = TOPIC) -> None:
        self._servers = servers
        self._db = db
        self._topic = topic
        self._producer: Any = None
        self._consumer: Any = None
        self._partitions = 1
        self._uncounted = 0
        self._counting: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()

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
        )
        await self._producer.start()
        self._partitions = max(1, len(await self._producer.partitions_for(self._topic)))
        self._counting = asyncio.create_task(self._count())
        if consume:
            self._consumer = AIOKafkaConsumer(
                self._topic,
                bootstrap_servers=self._servers,
                group_id=GROUP,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=16 * self.frame_bytes_max,
            )
            await self._consumer.start()

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
            sent = [
                await self._producer.send(
                    self._topic,
                    frame.body,
                    partition=frame.shard,
                    headers=[(_EVENTS_HEADER, str(frame.events).encode())],
                )
                for frame in frames
            ]
            await asyncio.wait_for(asyncio.gather(*sent), _PRODUCE_MS_MAX / 1000)
        except (KafkaError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        self._uncounted += sum(frame.events for frame in frames)

    async def read(self, partition: int, after: int, events_max: int, wait_s: float) -> list[StreamFrame]:
        """Frames after an offset. Kafka's offset n is ours n + 1. Raises EngineUnavailable."""
        place = TopicPartition(self._topic, partition)
        frames: list[StreamFrame] = []
        try:
            async with self._reading:
                if place not in self._consumer.assignment():
                    return []
                if await self._consumer.position(place) != after:
                    self._consumer.seek(place, after)
                events = 0
                while events < events_max:
                    wait_ms = 0 if frames else int(wait_s * 1000)
                    found = await self._consumer.getmany(place, timeout_ms=wait_ms, max_records=_RECORDS_MAX)
                    records = found.get(place, [])
                    if not records:
                        break
                    for record in records:
                        count = int(dict(record.headers).get(_EVENTS_HEADER, b"0"))
                        events += count
                        frames.append(StreamFrame(partition, record.offset + 1, record.value, count))
        except (KafkaError, OSError) as error:
            raise _unavailable(error) from error
        return frames

    async def assigned(self) -> list[int]:
        """What the group's coordinator gave to this process."""
        if self._consumer is None:
            return []
        return sorted(place.partition for place in self._consumer.assignment())

    async def accepted(self) -> int:
        """As counted in PostgreSQL, at most half a second behind; also a probe that the broker answers."""
        try:
            await asyncio.wait_for(self._producer.client.fetch_all_metadata(), 3)
        except (KafkaError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        async with self._db.driver() as connection:
            return int(await connection.fetchval("SELECT coalesce(sum(accepted), 0) FROM stream_partitions"))

    async def _count(self) -> None:
        """Add what was accepted to the total in PostgreSQL now and then, so that no request waits for it."""
        while True:
            await asyncio.sleep(_COUNT_SECONDS)
            await self._write_count()

    async def _write_count(self) -> None:
        counted = self._uncounted
        if not counted:
            return
        try:
            async with self._db.driver() as connection:
                await connection.execute(
                    """INSERT INTO stream_partitions (partition, last_offset, accepted) VALUES (0, 0, $1)
                       ON CONFLICT (partition) DO UPDATE SET accepted = stream_partitions.accepted + $1""",
                    counted,
                )
        except EngineUnavailable:
            return
        self._uncounted -= counted

    async def close(self) -> None:
        """Leave the group and the broker."""
        if self._counting is not None:
            self._counting.cancel()
            await self._write_count()
        for client in (self._consumer, self._producer):
            if client is not None:
                await client.stop()


def _unavailable(error: BaseException) -> EngineUnavailable:
    return EngineUnavailable(f"The Kafka stream does not answer: {type(error).__name__} {error}", engine="stream")
