"""Brings steps from the outbox into the stream, exactly once: each is written with its step, removed when it is there,
and known by its id if a crash comes in between.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
import structlog

from siyu.clock import Now
from siyu.collect.catalogue import value_fen
from siyu.collect.event import Event
from siyu.collect.frame import Arrival, frames_of
from siyu.errors import SiyuError
from siyu.ids import identifier_key
from siyu.shop import order_records as records
from siyu.shop.events import SOURCE
from siyu.store.postgres import Database
from siyu.stream.stream import Stream

log = structlog.get_logger()

ROWS_PER_FRAME: Final = 2_000


async def send_waiting(db: Database, stream: Stream, now: Now) -> int:
    """Bring everything that waits into the stream; how many. One at a time does it, in all processes.

    Raises EngineUnavailable: then nothing is lost."""
    sent = 0
    async with db.driver() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", records.OUTBOX_LOCK):
            return 0
        try:
            while rows := await records.waiting_events(connection, ROWS_PER_FRAME):
                events = [event for row in rows if (event := _event(row)) is not None]
                if events:
                    arrival = Arrival(events, [], SOURCE, "server", int(now().timestamp() * 1000))
                    await stream.append(frames_of([arrival], stream.shards, stream.frame_bytes_max))
                await records.drop_events(connection, [row[0] for row in rows])
                sent += len(rows)
        finally:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock($1)", records.OUTBOX_LOCK)
    return sent


def _event(row: Any) -> Event | None:
    """A row of the outbox as an event; None of who was erased meanwhile."""
    _, event_id, name, at, end, properties, guest, kind, value = row
    if guest is not None:
        key = identifier_key("anonymous_id", guest)
    elif kind is not None:
        key = identifier_key(kind, value)
    else:
        return None
    money = value_fen(name, msgspec.json.decode(properties))
    return Event(event_id, name, int(at.timestamp() * 1000), key, properties=properties, value_fen=money, end=end)


class Sender:
    """Sends soon after somebody wrote into the outbox, without keeping them waiting."""

    def __init__(self, db: Database, stream: Stream, now: Now) -> None:
        self._db, self._stream, self._now = db, stream, now
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def poke(self) -> None:
        """Something waits."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._again:
            self._again = False
            try:
                await send_waiting(self._db, self._stream, self._now)
            except SiyuError as error:
                # The job of the processor tries again every second.
                log.warning("steps of orders wait", error=str(error))
