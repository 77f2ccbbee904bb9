"""A command at work on a home: the engines (a running server's, or our own), the stores, somebody who processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec

from siyu.app.bootstrap import prepare_stores
from siyu.app.services import Services, open_services
from siyu.cli.server import running_server, stop
from siyu.processor.actions import stream_state
from siyu.serve import environment
from siyu.settings import Settings
from siyu.store.engines import Engines, open_engines
from siyu.store.processes import Program, start

T = TypeVar("T")
_POLL_SECONDS: Final = 0.2


def with_services(settings: Settings, work: Callable[[Services], Awaitable[T]]) -> T:
    """Do `work` with the engines of this home connected and their tables made. Raises EngineUnavailable and its kin."""
    with open_engines(settings) as engines:
        connected = _connected(settings, engines)

        async def run() -> T:
            await prepare_stores(connected)
            async with open_services(connected) as services:
                return await work(services)

        return asyncio.run(run())


def _connected(settings: Settings, engines: Engines) -> Settings:
    return msgspec.structs.replace(settings, database_url=engines.database_url, events_url=engines.events_url)


@contextmanager
def processing(settings: Settings) -> Iterator[None]:
    """Somebody processes the stream for the time of the context: the running server, else a process of our own.

    `settings` name the engines. A second processor does no harm: it waits until the first has left."""
    if running_server(settings) is not None:
        yield
        return
    engines = Engines(str(settings.database_url), str(settings.events_url))
    log = settings.home_path / "log" / "process.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    child = start(Program([sys.executable, "-m", "siyu.app", "process"], env=environment(settings, engines), log=log))
    try:
        yield
    finally:
        stop(child)


async def waiting_events(services: Services) -> int:
    """Events accepted and not processed yet."""
    state = await stream_state(services.db)
    return state.accepted - state.processed


async def until_processed(services: Services, report: Callable[[int], None]) -> None:
    """Wait until what the stream holds now is processed; `report` gets the number still waiting."""
    target = (await stream_state(services.db)).accepted
    while (left := target - (await stream_state(services.db)).processed) > 0:
        report(left)
        await asyncio.sleep(_POLL_SECONDS)
    report(0)
