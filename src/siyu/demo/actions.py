"""Load the demo brand through the doors of a running server; what was loaded before is not sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from siyu.clock import Now
from siyu.demo import records
from siyu.demo.brand import PERSONS
from siyu.demo.generate import SEED, DoorRequest, generate
from siyu.demo.load import load
from siyu.demo.season import DAYS
from siyu.store.postgres import Database

BACKLOG_MAX: Final = 150_000
"""Events waiting to be processed above which the load pauses, so that live events are not kept waiting long."""


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
    """The demo's present."""
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

    The demo's size and present are those of its first load, for every later one too.
    Raises DoorRefused, EngineUnavailable."""
    async with db.connect() as connection:
        state = await records.find_load(connection, seed)
    if state is None:
        begun = records.DemoLoad(seed, persons, now().replace(microsecond=0), await make_keys(), 0, 0, None)
        async with db.begin() as connection:
            await records.add_load(connection, begun)
            state = await records.find_load(connection, seed) or begun
    if state.finished_at is not None and not again:
        return DemoReport(state.events, 0, state.now, already=True)
    skipped = 0 if again else state.requests_done
    requests = await asyncio.to_thread(islice, generate(seed, state.now, state.keys, state.persons), skipped, None)
    counts = _Counts(skipped, 0 if again else state.events)

    async def answered(wave: list[DoorRequest]) -> None:
        counts.add(wave)
        async with db.begin() as connection:
            await records.save_progress(connection, seed, counts.requests, counts.events, None)
        progress(DemoProgress(wave[-1].day + 1, DAYS, counts.events))
        while backlog is not None and await backlog() > BACKLOG_MAX:  # noqa: ASYNC110 - polls a database
            await asyncio.sleep(0.2)

    await load(base_url, requests, answered)
    async with db.begin() as connection:
        await records.save_progress(connection, seed, counts.requests, counts.events, now())
    return DemoReport(counts.events, counts.sent, state.now, already=False)


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
