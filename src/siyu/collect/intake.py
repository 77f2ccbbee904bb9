"""Group commit: what arrives while one append is under way goes into the next, together, and is answered after it.

Invariants: `keep` returns only after its arrival is durable; one append is under way at a time; an idle intake adds no
delay. The cost of a durable write is shared by all requests of a group.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from siyu.collect.frame import Arrival, frames_of
from siyu.errors import Busy, EngineUnavailable
from siyu.stream.stream import Stream

GROUP_EVENTS_MAX: Final = 20_000
WAITING_EVENTS_MAX: Final = 200_000
"""Events held in memory while appends are slow; beyond it nothing more is taken."""

GATHER_SECONDS: Final = 0.02
"""Between the starts of two appends, once several requests came together: a frame has a cost of its own, in the doors,
in PostgreSQL, in the processor. Whoever comes alone never waits."""

TROUBLE_SECONDS: Final = 10.0
"""How long a failed append counts against readiness; then somebody should try again."""

_Waiting = tuple[Arrival, "asyncio.Future[None]"]


class Intake:
    """The one way from the doors of a process into the stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiting: deque[_Waiting] = deque()
        self._events = 0
        self._work: asyncio.Task[None] | None = None
        self._failed: tuple[float, EngineUnavailable] | None = None

    def trouble(self) -> EngineUnavailable | None:
        """Why the last append failed, when that was within TROUBLE_SECONDS: an engine may answer and yet keep nothing,
        for want of room on its disk."""
        if self._failed is None or time.monotonic() - self._failed[0] > TROUBLE_SECONDS:
            return None
        return self._failed[1]

    async def keep(self, arrival: Arrival, *, patient: bool = False) -> None:
        """Make an arrival durable. Raises EngineUnavailable, and Busy when too much waits already, unless `patient`."""
        size = _size(arrival)
        if not patient and self._events and self._events + size > WAITING_EVENTS_MAX:
            raise Busy("Too many events wait for the stream.", retry_after_s=2)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, done))
        self._events += size
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run())
        await done

    async def _run(self) -> None:
        while self._waiting:
            group = self._next_group()
            started = time.monotonic()
            try:
                await self._append([arrival for arrival, _ in group])
            except EngineUnavailable as error:
                self._failed = time.monotonic(), error
                _settle(group, error)
            except Exception as error:
                # One arrival cannot be encoded: it must not take its neighbours with it.
                if len(group) == 1:
                    _settle(group, error)
                else:
                    await self._one_by_one(group)
            else:
                self._failed = None
                _settle(group, None)
            if len(group) > 1 and (rest := started + GATHER_SECONDS - time.monotonic()) > 0:
                await asyncio.sleep(rest)

    async def _one_by_one(self, group: Sequence[_Waiting]) -> None:
        for waiting in group:
            try:
                await self._append([waiting[0]])
            except Exception as error:
                _settle([waiting], error)
            else:
                _settle([waiting], None)

    async def _append(self, arrivals: list[Arrival]) -> None:
        await self._stream.append(frames_of(arrivals, self._stream.shards, self._stream.frame_bytes_max))

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        events = 0
        while self._waiting and (not group or events + _size(self._waiting[0][0]) <= GROUP_EVENTS_MAX):
            waiting = self._waiting.popleft()
            events += _size(waiting[0])
            group.append(waiting)
        self._events -= events
        return group


def _size(arrival: Arrival) -> int:
    return len(arrival.events) + len(arrival.rejected)


def _settle(group: Sequence[_Waiting], error: BaseException | None) -> None:
    for _, done in group:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
