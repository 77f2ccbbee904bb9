"""What runs beside the processor: locks and coupons whose time is over, and events on their way into the stream.

Each may run in several processes at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from siyu.clock import Now
from siyu.collect.event import Event
from siyu.collect.frame import Arrival, frames_of
from siyu.coupons import lock_records, records
from siyu.coupons.lock_records import Waiting
from siyu.coupons.settle import end_locks
from siyu.coupons.telling import told_of_coupon
from siyu.errors import SiyuError
from siyu.ids import identifier_key
from siyu.store.postgres import Database, driver_of
from siyu.stream.stream import Stream

log = structlog.get_logger()

AT_ONCE: Final = 1_000
IDLE_SECONDS: Final = 0.5
SOURCE: Final = "siyu"
_SENDER_LOCK: Final = 0x51_C0
"""Advisory lock of the one that sends."""


async def end_what_is_over(db: Database, now: Now) -> int:
    """Free what locks held too long and expire coupons; how many. What somebody touches first is done by then."""
    done = 0
    while True:
        at = now()
        async with db.begin() as transaction:
            connection = await driver_of(transaction)
            over = await lock_records.over(connection, at, AT_ONCE)
            await end_locks(connection, over, at)
        async with db.begin() as transaction:
            connection = await driver_of(transaction)
            expired = await records.expire(connection, at, AT_ONCE)
            told = [told_of_coupon("coupon.expired", one, one.valid_until or at) for one in expired]
            await lock_records.add_events(connection, told)
        done += len(over) + len(expired)
        if max(len(over), len(expired)) < AT_ONCE:
            return done


async def send_events(db: Database, stream: Stream, now: Now) -> int:
    """Bring what happened into the stream; how many. Sent twice after a crash, an event is known by its id."""
    sent = 0
    async with db.driver() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _SENDER_LOCK):
            return 0
        try:
            while waiting := await lock_records.waiting_events(connection, AT_ONCE):
                await _send(stream, waiting, now)
                # By number, not up to one: a lower number may still be on its way to its commit.
                await lock_records.drop_events(connection, [one.seq for one in waiting])
                sent += len(waiting)
        finally:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock($1)", _SENDER_LOCK)
    return sent


async def keep_sending(db: Database, stream: Stream, now: Now, stopping: asyncio.Event) -> None:
    """Send what waits, time and again, until `stopping` is set. A failure loses nothing."""
    while not stopping.is_set():
        try:
            await send_events(db, stream, now)
        except SiyuError as error:
            log.warning("coupon events put off", error=str(error))
        except Exception:
            log.exception("coupon events failed, will be repeated")
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), IDLE_SECONDS)


async def _send(stream: Stream, waiting: Sequence[Waiting], now: Now) -> None:
    events = [
        Event(
            f"coupon-{one.seq}-{int(one.at.timestamp() * 1000)}", one.name, int(one.at.timestamp() * 1000),
            identifier_key(one.kind, one.value), properties=one.properties, end=one.end,
        )
        for one in waiting
        if one.kind is not None and one.value is not None
    ]  # fmt: skip
    if events:
        arrival = Arrival(events, [], SOURCE, "server", int(now().timestamp() * 1000))
        await stream.append(frames_of([arrival], stream.shards, stream.frame_bytes_max))
