"""What the shop does with processed events: orders of foreign shops.

A batch only notes the steps it heard of, in one row (decision 0333); a listener beside the processor makes orders of
them, so that events go first. Told twice, late or in disorder, they make the same order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from siyu.clock import Now
from siyu.errors import SiyuError
from siyu.identity.members import named_by_anchor
from siyu.identity.outbox import tell
from siyu.shop import foreign_records as records
from siyu.shop.foreign import UNNAMED, About, Told, counted_of, merged, order_of, told_of, unpack, voided
from siyu.shop.order import OURS
from siyu.store.postgres import Database, driver_of

log = structlog.get_logger()

STEPS_AT_ONCE: Final = 3_000
IDLE_SECONDS: Final = 0.5
PUT_OFF_SECONDS: Final = 30.0
"""While events wait for the processor the listener rests, for so long at most."""


async def listen_once(db: Database, now: Now) -> int:
    """Make orders of the oldest steps that were heard; how many steps. One process at a time does."""
    async with db.begin() as conn:
        connection = await driver_of(conn)
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", records.HEARD_LOCK):
            return 0
        return await fold(connection, now(), STEPS_AT_ONCE)


async def fold(connection: Any, now: datetime, steps_max: int | None) -> int:
    """The same in the caller's transaction, which holds HEARD_LOCK; None: all that was heard."""
    blobs = await records.heard(connection, steps_max)
    told: dict[About, list[Told]] = {}
    count = 0
    for _, blob in blobs:
        for row in unpack(blob).to_pylist():
            count += 1
            if (found := told_of(row)) is not None and found[0].source != OURS:
                told.setdefault(found[0], []).append(found[1])
    # A step that an end told of one of our own orders is no other order.
    own = await records.ours(connection, [one.order_id for one in told if one.source == UNNAMED])
    told = {about: steps for about, steps in told.items() if about.source != UNNAMED or about.order_id not in own}
    known = await records.known_steps(connection, list(told)) if told else {}
    orders = {}
    for about, steps in told.items():
        all_of = merged(known.get(about, ()), steps)
        orders[about] = (order_of(about, all_of), all_of)
    await records.write_orders(connection, orders, now)
    await records.drop_heard(connection, [number for number, _ in blobs])
    return count


async def void_rests(connection: Any, orders_max: int) -> int:
    """Tell what orders that ended still count for in figures (`order.voided`); how many. The caller's transaction."""
    orders = await records.void(connection, orders_max)
    if not orders:
        return 0
    known = await records.numbered(connection, sorted({one.about.order_id for one in orders}))
    persons = await _buyers(connection, known)
    numbered: dict[str, list[records.Ended]] = {}
    for one in known:
        numbered.setdefault(one.about.order_id, []).append(one)
    told: dict[About, int] = {}
    for one in orders:
        same = [other for other in numbered[one.about.order_id] if _same(one.about, other.about, persons)]
        counted = sum(counted_of(other.told) - other.told_fen - told.get(other.about, 0) for other in same)
        if counted > 0:
            told[one.about] = counted
    await records.add_told(connection, told)
    events = [voided(one.about, one.told, told[one.about], one.told_fen) for one in orders if one.about in told]
    await tell(connection, events)
    return len(orders)


async def _buyers(connection: Any, orders: Sequence[records.Ended]) -> dict[About, object]:
    """The persons of orders; of who was erased the order stands for itself."""
    named = await named_by_anchor(connection, [(one.anchor, one.at) for one in orders])
    return {one.about: one.about if who is None else who.person for one, who in zip(orders, named, strict=True)}


def _same(one: About, other: About, persons: Mapping[About, object]) -> bool:
    """Whether they, of one number, are one order: told by ends of which one names its shop and the other does not."""
    return one == other or (UNNAMED in (one.source, other.source) and persons[one] == persons[other])


class Listener:
    """Makes orders of what batches heard, beside the processor."""

    def __init__(self, db: Database, now: Now, busy: Callable[[], Awaitable[bool]]) -> None:
        self._db = db
        self._now = now
        self._busy = busy
        """Whether many events wait for the processor."""
        self._last = time.monotonic()

    async def run(self, wake: asyncio.Event, stopping: asyncio.Event) -> None:
        """Until `stopping` is set."""
        while not stopping.is_set():
            wake.clear()
            try:
                more = await self._step()
            except SiyuError as error:
                log.warning("orders of foreign shops wait", error=str(error))
                more = False
            except Exception:
                log.exception("orders of foreign shops wait")
                more = False
            if not more:
                await _wait(wake, IDLE_SECONDS if not wake.is_set() else 0.05)

    async def _step(self) -> bool:
        if time.monotonic() - self._last < PUT_OFF_SECONDS and await self._busy():
            await asyncio.sleep(IDLE_SECONDS)
            return False
        started = time.monotonic()
        count = await listen_once(self._db, self._now)
        self._last = time.monotonic()
        # As long again for others: whoever opens a page shares the machine.
        await asyncio.sleep(min(self._last - started, 1.0))
        return count > 0


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def forget(blob: bytes, anchors: set[int]) -> tuple[pa.Table, int]:
    """What was heard, without the steps of these identifiers; and how many those were."""
    table = unpack(blob)
    left = table.filter(pc.invert(pc.is_in(table["anchor"], pa.array(sorted(anchors), pa.int64()))))
    return left, table.num_rows - left.num_rows
