"""Load the demo brand through the doors of a running server; what was loaded before is not sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from siyu.clock import Now
from siyu.demo import records
from siyu.demo.brand import PERSONS
from siyu.demo.generate import SEED, DoorRequest, generate
from siyu.demo.load import load
from siyu.demo.season import DAYS
from siyu.store.patience import patiently
from siyu.store.postgres import Database

BACKLOG_MAX: Final = 150_000
"""Events waiting to be processed above which the load pauses, so that live events are not kept waiting long."""

TOLD_FOR: Final = timedelta(hours=1)
"""A story told up to less than this ago is up to date."""


class DemoProgress(NamedTuple):
    """How far the load is."""

    day: int
    days: int
    events: int


class DemoReport(NamedTuple):
    """What a load did."""

    events: int
    """Events of the demo in the stream."""
    sent: int
    """Events sent by this run."""
    now: datetime
    """Up to when the story is told."""
    already: bool


async def demo_begun(db: Database, seed: int = SEED) -> bool:
    """Whether a load with this seed was ever begun."""
    async with db.connect() as connection:
        return await records.find_load(connection, seed) is not None


async def load_demo(
    base_url: str,
    make_keys: Callable[[], Awaitable[Mapping[str, str]]],
    *,
    db: Database,
    now: Now,
    seed: int = SEED,
    persons: int = PERSONS,
    again: bool = False,
    backlog: Callable[[], Awaitable[int]] | None = None,
    progress: Callable[[DemoProgress], None] = lambda _: None,
) -> DemoReport:
    """Post the demo of `seed` to the server at `base_url`. `make_keys` makes write keys (end → key) at the first load.

    The demo's size and period are those of its first load. A later one tells what has happened since. Engines that are
    started again meanwhile are waited for.
    Raises DoorRefused, EngineUnavailable."""
    async with db.connect() as connection:
        state = await records.find_load(connection, seed)
    if state is None:
        begun = records.DemoLoad(seed, persons, now().replace(microsecond=0), await make_keys(), 0, 0, None)
        async with db.begin() as connection:
            await records.add_load(connection, begun)
            state = await records.find_load(connection, seed) or begun
    present = now().replace(microsecond=0)
    if state.finished_at is not None and not again:
        if present - state.finished_at < TOLD_FOR:
            return DemoReport(state.events, 0, state.now, already=True)
        return await _go_on(base_url, db, state, present)
    until = state.finished_at or state.now
    skipped = 0 if again else state.requests_done
    told = generate(seed, until, state.keys, state.persons, begun=state.now)
    requests = await asyncio.to_thread(islice, told, skipped, None)
    counts = _Counts(skipped, 0 if again else state.events)

    async def save(finished_at: datetime | None) -> None:
        async with db.begin() as connection:
            await records.save_progress(connection, seed, counts.requests, counts.events, finished_at)

    async def answered(wave: list[DoorRequest]) -> None:
        counts.add(wave)
        await patiently(lambda: save(None))
        progress(DemoProgress(min(wave[-1].day + 1, DAYS), DAYS, counts.events))
        while backlog is not None and await patiently(backlog) > BACKLOG_MAX:  # noqa: ASYNC110 - polls a database
            await asyncio.sleep(0.2)

    await load(base_url, requests, answered)
    await patiently(lambda: save(until))
    return DemoReport(counts.events, counts.sent, until, already=False)


async def _go_on(base_url: str, db: Database, state: records.DemoLoad, present: datetime) -> DemoReport:
    """Tell what has happened since the story was told last. Stopped half-way it is told again: the ids are the same."""
    counts = _Counts(state.requests_done, state.events)

    async def answered(wave: list[DoorRequest]) -> None:
        counts.add(wave)

    since = state.finished_at
    await load(
        base_url, generate(state.seed, present, state.keys, state.persons, begun=state.now, since=since), answered
    )

    async def save() -> None:
        async with db.begin() as connection:
            await records.save_progress(connection, state.seed, state.requests_done, counts.events, present)

    await patiently(save)
    return DemoReport(counts.events, counts.sent, present, already=False)


class _Counts:
    """Requests and events answered so far."""

    def __init__(self, requests: int, events: int) -> None:
        self.requests = requests
        self.events = events
        self.sent = 0

    def add(self, wave: list[DoorRequest]) -> None:
        self.requests += len(wave)
        self.sent += sum(request.events for request in wave)
        self.events += sum(request.events for request in wave)
