"""What runs beside the processor: locks and coupons whose time is over. May run in several processes at once."""

from __future__ import annotations

from typing import Final

from siyu.clock import Now
from siyu.coupons import lock_records, records
from siyu.coupons.settle import end_locks
from siyu.coupons.telling import told_of_coupon
from siyu.identity.outbox import tell
from siyu.store.postgres import Database, driver_of

AT_ONCE: Final = 1_000


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
            await tell(connection, told)
        done += len(over) + len(expired)
        if max(len(over), len(expired)) < AT_ONCE:
            return done
