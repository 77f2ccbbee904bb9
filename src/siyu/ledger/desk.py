"""Group commit: requests that wait at the same time are decided together, in one transaction, and answered after its
commit. A hot account is then written once for all of them, and the disk waited for once.

Nothing here makes the result right: the guards stand in the SQL (`records.WRITE`), so any number of desks in any number
of processes may work on the same accounts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError

from siyu.errors import Busy, Contended, EngineUnavailable, SiyuError
from siyu.store.postgres import Database, transient

T = TypeVar("T")
R = TypeVar("R")

BATCH_MAX: Final = 500
"""Requests in one transaction."""
WAITING_MAX: Final = 20_000
"""Requests above which more are turned away with BUSY."""
STALL_SECONDS: Final = 0.1
"""A transaction that takes longer (somebody else holds one of its accounts) no longer keeps the next one waiting."""
LANES: Final = 4
"""Transactions at work at most."""
ATTEMPTS_MAX: Final = 8

Work = Callable[[Any, Sequence[T]], Awaitable[Sequence[R | SiyuError]]]
"""Does requests on a raw asyncpg connection in a transaction; a result or the refusal of each. May be called again for
the same requests after a rollback."""


class Desk(Generic[T, R]):
    """Takes requests one by one and does them in groups. Within one event loop."""

    def __init__(self, db: Database, work: Work[T, R]) -> None:
        self._db = db
        self._work = work
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._lanes: set[asyncio.Task[None]] = set()
        self._driver: asyncio.Task[None] | None = None

    async def ask(self, request: T) -> R:
        """Have a request done; its result is durable. Raises what refuses it, Busy, EngineUnavailable."""
        if len(self._waiting) >= WAITING_MAX:
            raise Busy("Too many requests wait; try again.", retry_after_s=1)
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())
        return await future

    async def _drive(self) -> None:
        """Start a group whenever requests wait and no lane is in the way."""
        # One turn of the loop: requests that arrived together are taken together.
        await asyncio.sleep(0)
        while self._waiting:
            while len(self._lanes) >= LANES:
                await asyncio.wait(self._lanes, return_when=asyncio.FIRST_COMPLETED)
            group, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            lane = asyncio.create_task(self._do(group))
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)
            await asyncio.wait({lane}, timeout=STALL_SECONDS)

    async def _do(self, group: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._commit([request for request, _ in group])
        except Exception as error:
            if len(group) > 1 and not isinstance(error, EngineUnavailable):
                # One of them cannot be written: the others shall not suffer.
                for one in group:
                    await self._do([one])
                return
            results = [error] * len(group)
        for (_, future), result in zip(group, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _commit(self, requests: Sequence[T]) -> Sequence[R | Exception]:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                async with self._db.transaction() as connection:
                    results = await self._work(connection, requests)
                return list(results)
            except (Contended, DBAPIError, asyncpg.PostgresError) as error:
                if attempt == ATTEMPTS_MAX or not transient(error):
                    raise
        raise AssertionError("unreachable")
