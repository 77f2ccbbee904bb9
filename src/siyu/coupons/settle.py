"""What time brings to locks: what was held too long is free again, on touch and by a job (`jobs`).

The ledger ends what it holds for a lock by itself, at the same instant (`loyalty.settle`); here are the coupons, the
entitlements and the lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from siyu.coupons import lock_records, records
from siyu.coupons.lock_records import Lock
from siyu.coupons.owner import Owner
from siyu.coupons.telling import told_of_lock
from siyu.identity.outbox import tell
from siyu.ledger import Ledger
from siyu.loyalty.actions import settle
from siyu.loyalty.wallet import Wallets


async def settle_person(connection: Any, ledger: Ledger, owner: Owner, now: datetime) -> None:
    """Free what locks of a person held too long."""
    over = await lock_records.over_of(connection, owner.anchors, now)
    if over:
        await end_locks(connection, over, now)
    await settle(connection, ledger, dict.fromkeys(owner.holders, owner.wallets), now)


async def settle_budgets(connection: Any, ledger: Ledger, holders: Sequence[str], now: datetime) -> None:
    """Give back to budgets what locks held too long."""
    if not holders:
        return
    nobody = UUID(int=0)
    await settle(connection, ledger, {one: Wallets(nobody, one, (one,)) for one in holders}, now)


async def end_locks(connection: Any, over: Sequence[Lock], now: datetime) -> None:
    """End locks whose time is over; their rows are locked by the caller."""
    ended = [lock for lock in over if await lock_records.decide(connection, lock.id, "expired", now)]
    numbers = [lock.id for lock in ended]
    await records.free(connection, numbers)
    await lock_records.drop_entitlements(connection, numbers)
    told = [told_of_lock("coupon.released", lock, now, {"expired": True}) for lock in ended if lock.anchor is not None]
    await tell(connection, told)
