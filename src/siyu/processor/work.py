"""One partition's micro-batches: plan → dedupe → identify → store → effects and commit."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import structlog
import xxhash
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.collect.frame import Frame, decode_frame
from siyu.errors import EngineUnavailable, SiyuError
from siyu.identity.anchors import AnchorRegistry, Anchors
from siyu.processor import records
from siyu.processor.batch import Batch, hashes_and_days, join_frames, prepare, sightings, stored_rows
from siyu.processor.echoes import with_echoes_marked
from siyu.processor.records import DeadLetter
from siyu.processor.repeats import with_repeats_marked
from siyu.processor.seen import Seen
from siyu.profile.rights_records import ERASURE_LOCK
from siyu.store.clickhouse import EventStore, InsertRefused
from siyu.store.postgres import Database, driver_of
from siyu.stream.stream import Stream, StreamFrame

log = structlog.get_logger()

EVENTS_MAX = 120_000
"""Events of one micro-batch."""
CROWD = 5_000
"""After a batch of this many events the next one is given time to grow: a row of 100,000 costs ClickHouse half of what
a row of 25,000 does, its merges included (docs/benchmarks.md)."""
CROWD_SECONDS = 0.4
"""Time from the start of a large batch to the start of the next: small enough to be visible within the second."""
REST = 3
"""A small batch is followed by so many times the time it took, in which the next one grows: a batch costs the engines
and the rooms some forty statements, be it one event or a hundred. An event after a quiet moment never waits."""
REST_SECONDS_MAX = 0.2


class Reaction(Protocol):
    """What a room does with a batch inside the committing transaction; it answers the events it could not take."""

    async def absorb(self, connection: AsyncConnection, batch: Batch, anchors: Anchors) -> list[DeadLetter]:
        """Write the room's effects; idempotence comes from the position in the same transaction."""

    async def committed(self) -> None:
        """The transaction is durable."""

    def reset(self) -> None:
        """A batch failed: forget everything remembered in this process."""


class Part(NamedTuple):
    """A frame of the stream, decoded."""

    offset: int
    events: int
    """How many, as the stream counts them."""
    frame: Frame | None
    """None: it is damaged."""
    letters: list[DeadLetter]


class Ahead(NamedTuple):
    """What was read while the batch in front of it was stored."""

    after: int
    parts: list[Part]


class Fenced(SiyuError):
    """Another processor took this partition over; its work counts, ours is dropped."""

    code = "FENCED"
    status = 409


class Worker:
    """Processes one partition until told to stop. One Worker per partition and process."""

    def __init__(
        self,
        partition: int,
        *,
        db: Database,
        events: EventStore,
        stream: Stream,
        registry: AnchorRegistry,
        reactions: Sequence[Reaction],
    ) -> None:
        self._partition = partition
        self._db = db
        self._events = events
        self._stream = stream
        self._registry = registry
        self._reactions = reactions
        self._owner = secrets.token_hex(8)
        self._batch_number = 0
        self._seen = Seen(self._load_hashes)
        self._ahead: Ahead | None = None
        self._not_before = 0.0
        """Monotonic time before which the next batch may go on growing."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Process until `stopping` is set. An engine that is away is waited for; nothing is skipped."""
        pause_s = 0.1
        while not stopping.is_set():
            try:
                await self.step(wait_s=1.0)
                pause_s = 0.1
            except (SiyuError, OSError) as error:
                expected = isinstance(error, EngineUnavailable | Fenced)
                log.warning("batch failed, will be repeated", partition=self._partition, error=str(error))
                self.reset()
                if not expected:
                    pause_s = max(pause_s, 1.0)
                await _sleep(stopping, pause_s)
                pause_s = min(pause_s * 2, 5.0)
            except Exception:
                log.exception("batch failed, will be repeated", partition=self._partition)
                self.reset()
                await _sleep(stopping, pause_s)
                pause_s = min(pause_s * 2, 5.0)

    def reset(self) -> None:
        """Forget all that is remembered in this process: it may describe a batch that did not commit."""
        self._seen = Seen(self._load_hashes)
        self._ahead = None
        self._registry.forget()
        for reaction in self._reactions:
            reaction.reset()

    async def step(self, wait_s: float) -> int:
        """Process one batch; the number of events in it, 0 when none came within `wait_s` seconds."""
        async with self._db.driver() as connection:
            done, planned = await records.position(connection, self._partition)
        parts = await self._next_parts(done, planned, wait_s)
        if not parts:
            return 0
        count = sum(part.events for part in parts)
        started = time.monotonic()
        # None of an erasure and a batch happens in the middle of the other.
        async with self._db.driver() as connection:
            await connection.execute("SELECT pg_advisory_lock_shared($1)", ERASURE_LOCK)
            try:
                if await self._registry.notice_erasures(connection):
                    # Since it was read, somebody may have been taken out of it.
                    parts = await self._range(done, parts[-1].offset, wait_s)
                if not parts:
                    return 0
                await self._process(connection, done, parts)
            finally:
                if not connection.is_closed():
                    await connection.execute("SELECT pg_advisory_unlock_shared($1)", ERASURE_LOCK)
        for reaction in self._reactions:
            await reaction.committed()
        ended = time.monotonic()
        rest = min(REST * (ended - started), REST_SECONDS_MAX)
        self._not_before = started + CROWD_SECONDS if count >= CROWD else ended + rest
        return count

    async def _next_parts(self, done: int, planned: int | None, wait_s: float) -> list[Part]:
        ahead, self._ahead = self._ahead, None
        if planned is not None:
            return await self._range(done, planned, wait_s)
        await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
        if ahead is None or ahead.after != done or not ahead.parts:
            return await self._read(done, EVENTS_MAX, wait_s)
        room = EVENTS_MAX - sum(part.events for part in ahead.parts)
        more = await self._read(ahead.parts[-1].offset, room, 0) if room > 0 else []
        return ahead.parts + more

    async def _read(self, after: int, events_max: int, wait_s: float) -> list[Part]:
        return [_decoded(frame) for frame in await self._stream.read(self._partition, after, events_max, wait_s)]

    async def _range(self, done: int, upto: int, wait_s: float) -> list[Part]:
        """Exactly the frames of a plan: a part of them would be another batch under the same token."""
        parts: list[Part] = []
        while done < upto:
            more = await self._read(done, EVENTS_MAX, wait_s)
            if not more:
                return []
            parts += [part for part in more if part.offset <= upto]
            done = more[-1].offset
        return parts

    async def _look_ahead(self, after: int) -> Ahead | None:
        try:
            return Ahead(after, await self._read(after, EVENTS_MAX, 0))
        except (SiyuError, OSError):
            return None  # the next step asks again, and says what is wrong

    async def _process(self, connection: Any, done: int, parts: list[Part]) -> None:
        upto = parts[-1].offset
        token = f"{self._partition}:{done}-{upto}"
        # The number leaves `upto` out: a range that was planned is repeated whole, so `done` names it.
        self._batch_number = xxhash.xxh64_intdigest(f"{self._partition}:{done}".encode())
        letters = [letter for part in parts for letter in part.letters]
        decoded = [part.frame for part in parts if part.frame is not None]
        events = await self._new_events(join_frames(decoded)) if decoded else None
        batch = prepare(events) if events is not None and events.num_rows else None
        async with connection.transaction():
            if not await records.plan(connection, self._partition, done, upto, self._owner):
                raise Fenced(f"Partition {self._partition} went on elsewhere.")
            anchors = await self._registry.register(connection, sightings(batch)) if batch else None
        if batch is not None and anchors is not None:
            if self._registry.erased_ms:
                batch, anchors = _without_erased(batch, anchors, self._registry.erased_ms)
            if len(batch):
                batch = await with_echoes_marked(connection, batch, anchors)
                batch = await with_repeats_marked(connection, batch, anchors)
                letters += await self._store(batch, anchors, token, upto)
        await self._commit(done, parts, letters, batch, anchors)

    async def _new_events(self, events: pa.Table) -> pa.Table:
        hashes, days = hashes_and_days(events)
        fresh = await self._seen.first_sightings(hashes, days)
        return events if fresh.all() else events.filter(pa.array(fresh)).combine_chunks()

    async def _store(self, batch: Batch, anchors: Anchors, token: str, upto: int) -> list[DeadLetter]:
        """One insert; when the engine refuses the rows, halves, until the bad ones stand alone. Meanwhile what comes
        after it is read."""
        rows = stored_rows(batch, anchors, self._batch_number)
        refused: list[tuple[int, str]] = []
        storing = asyncio.create_task(_insert(self._events, rows, 0, token, refused))
        try:
            self._ahead = await self._look_ahead(upto)
            await storing
        finally:
            storing.cancel()
        return [_refusal(batch, row, reason) for row, reason in refused]

    async def _commit(
        self,
        done: int,
        parts: list[Part],
        letters: list[DeadLetter],
        batch: Batch | None,
        anchors: Anchors | None,
    ) -> None:
        upto, count = parts[-1].offset, sum(part.events for part in parts)
        async with self._db.begin() as connection:
            driver = await driver_of(connection)
            if not await records.commit(driver, self._partition, done, upto, self._owner, events=count):
                raise Fenced(f"Partition {self._partition} was taken over.")
            if batch is not None and anchors is not None and len(batch):
                for reaction in self._reactions:
                    letters = letters + await reaction.absorb(connection, batch, anchors)
            await records.add_dead_letters(driver, self._partition, upto, letters)
            await records.drop_frames(driver, self._partition, upto)

    async def _load_hashes(self, days: list[int]) -> dict[int, Any]:
        return await records.stored_hashes(self._events, days, self._batch_number)


def _decoded(stored: StreamFrame) -> Part:
    try:
        frame = decode_frame(stored.body)
    except pa.ArrowInvalid as error:
        letter = DeadLetter("", "", "FRAME_DAMAGED", str(error), "frame", stored.body, datetime.now(UTC))
        return Part(stored.offset, stored.events, None, [letter])
    letters = [DeadLetter(*(row[name] for name in DeadLetter._fields)) for row in frame.dead.to_pylist()]
    return Part(stored.offset, stored.events, frame, letters)


def _without_erased(batch: Batch, anchors: Anchors, erased_ms: dict[str, int]) -> tuple[Batch, Anchors]:
    """Drop events of erased people that happened before their erasure, and what is said of them (no sighting) while
    they have not come back: then they have no anchor."""
    until = np.array([erased_ms.get(key, -1) for key in batch.keys], np.int64)
    until[anchors == 0] = np.iinfo(np.int64).max
    keep = batch.occurred_ms > until[batch.place]
    for row, places in batch.others.items():
        keep[row] &= bool(all(batch.occurred_ms[row] > until[place] for place in places))
    if keep.all():
        return batch, anchors
    numbers = dict(zip(batch.keys, anchors.tolist(), strict=True))
    kept = prepare(batch.events.filter(pa.array(keep)).combine_chunks())
    return kept, np.array([numbers[key] for key in kept.keys], np.uint32)


async def _insert(events: EventStore, rows: pa.Table, start: int, token: str, refused: list[tuple[int, str]]) -> None:
    try:
        await events.insert("events", rows, token=token)
    except InsertRefused as error:
        if rows.num_rows == 1:
            refused.append((start, str(error)))
            return
        middle = rows.num_rows // 2
        await _insert(events, rows.slice(0, middle), start, f"{token}/{start}+{middle}", refused)
        rest = rows.slice(middle)
        await _insert(events, rest, start + middle, f"{token}/{start + middle}+{rest.num_rows}", refused)


def event_as_letter(batch: Batch, row: int, code: str, reason: str) -> DeadLetter:
    """An event of a batch as a dead letter that can be replayed (dialect `event`)."""
    from siyu.processor.replay import event_body

    columns = batch.events.slice(row, 1).to_pylist()[0]
    return DeadLetter(
        columns["source"], columns["event_id"], code, reason, "event", event_body(columns), columns["received_at"]
    )


def _refusal(batch: Batch, row: int, reason: str) -> DeadLetter:
    return event_as_letter(batch, row, "STORE_REFUSED", reason)


async def _sleep(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
