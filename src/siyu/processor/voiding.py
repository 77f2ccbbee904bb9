"""Foreign orders that are cancelled, or given back by a refund without an amount: what was paid for them and never told
back leaves the figures (decisions 0501 and 0527).

The rest is told once, as `order.voided`, at an instant at which everything that is stored is in the orders too: no
batch is in work (they hold the lock of erasures, shared), none was begun and left, and all that was heard is folded.
From then on a refund that a shop tells of such an order is stored without money (`echoes`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from siyu.clock import Now
from siyu.errors import SiyuError
from siyu.processor import records
from siyu.profile.rights_records import ERASURE_LOCK
from siyu.shop.foreign_records import HEARD_LOCK, any_to_void
from siyu.shop.react import fold, listen_once, void_rests
from siyu.store.postgres import Database, driver_of

log = structlog.get_logger()

ORDERS_AT_ONCE: Final = 1_000
EVERY_SECONDS: Final = 2.0
"""Batches wait while the rests are told, so they are told together."""


async def void_once(db: Database, now: Now) -> int:
    """Tell the rests of orders that ended; of how many. 0 too when a batch was begun and left: then later."""
    async with db.driver() as connection:
        if not await any_to_void(connection):
            return 0
    while await listen_once(db, now):  # what is left is folded while batches wait
        pass
    async with db.begin() as conn:
        connection = await driver_of(conn)
        await connection.execute("SELECT pg_advisory_xact_lock($1)", ERASURE_LOCK)
        await connection.execute("SELECT pg_advisory_xact_lock($1)", HEARD_LOCK)
        if await records.any_planned(connection):
            return 0
        await fold(connection, now(), None)
        return await void_rests(connection, ORDERS_AT_ONCE)


async def keep_voiding(db: Database, now: Now, stopping: asyncio.Event) -> None:
    """Until `stopping` is set. A failure loses nothing."""
    while not stopping.is_set():
        try:
            await void_once(db, now)
        except SiyuError as error:
            log.warning("rests of foreign orders wait", error=str(error))
        except Exception:
            log.exception("rests of foreign orders wait")
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), EVERY_SECONDS)
