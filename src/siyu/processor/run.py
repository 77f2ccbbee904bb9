"""A process of the role `process`: one Worker per partition that is ours, and the mirror of who is who beside them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import structlog

from siyu.errors import EngineUnavailable, SiyuError
from siyu.identity.anchors import AnchorRegistry
from siyu.identity.mirror import mirror, rebuild_mirror
from siyu.processor import records
from siyu.processor.work import Reaction, Worker
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.stream.stream import Stream

log = structlog.get_logger()

_PARTITION_LOCK = 0x51_1B_0000
"""Session lock of a partition: a second processor on the same stream waits for the first to leave."""
_ASSIGNMENT_SECONDS = 1.0
_REBUILD_SECONDS = 86_400.0
_MIRROR_SECONDS = 5.0
"""Changes made by other processes (a retraction in the console) are found within this time."""
_MIRROR_PAUSE_SECONDS = 0.2


async def run_processor(
    *,
    db: Database,
    events: EventStore,
    stream: Stream,
    secret: bytes,
    reactions: Callable[[], Sequence[Reaction]],
    stopping: asyncio.Event,
) -> None:
    """Process the partitions assigned to this process until `stopping` is set, following reassignments.

    `reactions` makes the rooms' reactions, new ones for each partition (they remember things)."""
    running: dict[int, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    async def start(partition: int) -> None:
        worker = Worker(
            partition,
            db=db,
            events=events,
            stream=stream,
            registry=AnchorRegistry(secret),
            reactions=reactions(),
        )
        stop = asyncio.Event()
        running[partition] = (stop, asyncio.create_task(_hold_and_run(db, partition, worker, stop)))

    while not stopping.is_set():
        assigned = set(await stream.assigned())
        for partition in assigned - running.keys():
            await start(partition)
        for partition in running.keys() - assigned:
            stop, task = running.pop(partition)
            stop.set()
            await task
        await _wait(stopping, _ASSIGNMENT_SECONDS)
    for stop, _ in running.values():
        stop.set()
    await asyncio.gather(*(task for _, task in running.values()))


async def keep_mirrored(db: Database, events: EventStore, changed: asyncio.Event, stopping: asyncio.Event) -> None:
    """Copy who is who into ClickHouse whenever it `changed`; anew at the start and once a day."""
    rebuilt = float("-inf")
    while not stopping.is_set():
        changed.clear()
        try:
            if time.monotonic() - rebuilt > _REBUILD_SECONDS:
                await rebuild_mirror(db, events)
                rebuilt = time.monotonic()
            else:
                await mirror(db, events)
        except SiyuError as error:
            log.warning("who is who is not mirrored yet", error=str(error))
            await _wait(stopping, 1.0)
            continue
        await _wait(changed, _MIRROR_SECONDS)
        # Several batches a second change who is who: one copy serves them all.
        await _wait(stopping, _MIRROR_PAUSE_SECONDS)


async def keep_running(
    name: str, job: Callable[[], Awaitable[object]], every_s: float, stopping: asyncio.Event, rest: float = 100
) -> None:
    """Run a job at the start and then every `every_s` seconds, less often when it takes long: it rests `rest` times as
    long as it took.

    A failure is logged and does not end it."""
    while not stopping.is_set():
        started = time.monotonic()
        try:
            await job()
        except SiyuError as error:
            log.warning("job put off", job=name, error=str(error))
        except Exception:
            log.exception("job failed", job=name)
        await _wait(stopping, max(every_s, rest * (time.monotonic() - started)))


async def _hold_and_run(db: Database, partition: int, worker: Worker, stop: asyncio.Event) -> None:
    """Run the worker while the partition's lock is ours."""
    while not stop.is_set():
        try:
            async with AsyncExitStack() as stack:
                connection = await stack.enter_async_context(db.driver())
                await records.open_partition(connection, partition)
                while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _PARTITION_LOCK + partition):
                    await _wait(stop, 1.0)
                    if stop.is_set():
                        return
                await _run_while_connected(connection, worker, stop)
        except EngineUnavailable as error:
            log.warning("waiting for PostgreSQL", partition=partition, error=str(error))
            worker.reset()
            await _wait(stop, 1.0)


async def _run_while_connected(connection: Any, worker: Worker, stop: asyncio.Event) -> None:
    """Run until told to stop, or until the connection that holds the lock is lost."""
    work = asyncio.create_task(worker.run(stop))
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=2.0)
            if connection.is_closed():
                raise EngineUnavailable("The connection that holds the partition was lost.", engine="postgresql")
        await work
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock_all()")
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
