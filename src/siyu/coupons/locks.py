"""Verbs of locks: set aside what a purchase uses, then use it, or give it back.

Every verb takes the raw asyncpg connection of the caller's transaction, so that an order, its stock and what it uses
are one. `lock` holds the person's rows; whoever also posts to the ledger in that transaction does it in one order
everywhere (stock first, then `lock`) and repeats the transaction on a deadlock, as `replies.once` does.

    lock      coupon, points, budgets and entitlements of an order or a till, until a time
    commit    they are used; after that time refused with ENDED
    release   they are free again (an order that is cancelled before it is paid)
    rollback  what was used is given back (a refund): all of it, or `Part`
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from siyu.coupons import giving_back, lock_records, records
from siyu.coupons.holding import hold_coupon, hold_units, uses_of_order, uses_of_till
from siyu.coupons.lock_records import Lock
from siyu.coupons.lock_records import Part as LockPart
from siyu.coupons.owner import find_owner
from siyu.coupons.pricing import Pricing, Turn
from siyu.coupons.records import Hold
from siyu.coupons.request import LockNotFound, LockRequest, OrderLock, Part, check_lock
from siyu.coupons.settle import settle_person
from siyu.coupons.telling import told_of_coupon
from siyu.errors import Refused
from siyu.identity.outbox import tell
from siyu.ledger import Command, End, State, derived_key

BY: Final = "lock"
ALREADY_DECIDED: Final = "ALREADY_DECIDED"


async def lock(connection: Any, pricing: Pricing, request: LockRequest | OrderLock, now: datetime) -> Lock:
    """Set aside what a till (LockRequest) or an order with its quote (OrderLock) uses.

    Raises WrongRequest, PersonNotFound, CouponNotFound, Contended, and Refused with the true reason: COUPON_EXPIRED,
    COUPON_USED, COUPON_NOT_YOURS, LOCKED, NOT_STARTED, NOT_ELIGIBLE, CHANNEL_NOT_ALLOWED, LIMIT_REACHED,
    BUDGET_EXHAUSTED, INSUFFICIENT."""
    if isinstance(request, LockRequest):
        check_lock(request)
    turn = Turn(connection, pricing, now, request.order_id)
    owner = None
    if request.person is not None:
        owner = await find_owner(connection, request.person, pricing.secret, now, hold=True)
        await settle_person(connection, pricing.ledger, owner, now)
    if isinstance(request, LockRequest):
        uses, points = await uses_of_till(turn, owner, request), request.points
    else:
        uses, points = await uses_of_order(turn, owner, request), request.quote.points
    hold = Hold(pricing.new_id(), now + timedelta(seconds=request.ttl_s))
    for use in sorted((one for one in uses if one.coupon is not None), key=lambda one: one.coupon_number):
        await hold_coupon(turn, owner, use, hold)
    transfers = await hold_units(turn, owner, uses, points, hold)
    for use in uses:
        if use.once and owner is not None:
            rule = use.source.partition("/")[2]
            if not await lock_records.entitle(connection, rule, owner.holders, hold.lock):
                raise Refused("LIMIT_REACHED", "Another order of this person has this discount.", rule=rule)
    anchor, holder = (owner.anchor, owner.wallets.own) if owner is not None else (None, None)
    made = Lock(
        hold.lock, anchor, holder, request.order_id, request.end, "held", points, transfers.get(-1), 0, now, hold.until,
        None,
    )  # fmt: skip
    parts = [
        LockPart(place, use.source, use.coupon_number or None, use.off_fen, transfers.get(place))
        for place, use in enumerate(uses)
    ]
    await lock_records.add(connection, made, parts)
    await _tell(turn, "coupon.locked", made, parts)
    return made


async def find(connection: Any, lock_id: UUID, *, hold: bool = False) -> Lock:
    """A lock; `hold`: nobody else decides it until the transaction ends. Raises LockNotFound."""
    found = await lock_records.find(connection, lock_id, hold=hold)
    if found is None:
        raise LockNotFound(f"There is no lock {lock_id}.")
    return found


async def commit(connection: Any, pricing: Pricing, lock_id: UUID, now: datetime) -> Lock:
    """Use what a lock holds. A lock that is committed stays so. Raises LockNotFound, Refused (ENDED after its time,
    ALREADY_DECIDED when it was released or given back), Contended."""
    found = await find(connection, lock_id, hold=True)
    if found.state == "committed":
        return found
    if found.state in ("released", "rolled_back"):
        raise Refused(ALREADY_DECIDED, "It was released or given back before.", state=found.state)
    done = await lock_records.decide(connection, lock_id, "committed", now)
    if done is None:
        raise Refused("ENDED", f"Its time was over at {found.ends_at.isoformat()}: nothing is held any more.")
    parts = await lock_records.parts_of(connection, lock_id)
    held = sum(part.coupon is not None for part in parts)
    if await records.redeem(connection, lock_id, now) != held:
        raise Refused("COUPON_EXPIRED", "A coupon of it is not held any more.")
    turn = Turn(connection, pricing, now)
    await _end_units(turn, done, parts, State.POSTED)
    await _tell(turn, "coupon.redeemed", done, parts)
    return done


async def release(connection: Any, pricing: Pricing, lock_id: UUID, now: datetime) -> Lock:
    """Free what a lock holds. A lock that is free already stays as it is. Raises LockNotFound, Refused
    (ALREADY_DECIDED when it was committed), Contended."""
    found = await find(connection, lock_id, hold=True)
    if found.state in ("released", "expired"):
        return found
    done = await lock_records.decide(connection, lock_id, "released", now)
    if done is None:
        raise Refused(ALREADY_DECIDED, "It was committed before; roll it back.", state=found.state)
    parts = await lock_records.parts_of(connection, lock_id)
    await records.free(connection, [lock_id])
    await lock_records.drop_entitlements(connection, [lock_id])
    turn = Turn(connection, pricing, now)
    await _end_units(turn, done, parts, State.VOIDED)
    await _tell(turn, "coupon.released", done, parts)
    return done


async def rollback(connection: Any, pricing: Pricing, lock_id: UUID, now: datetime, part: Part | None = None) -> Lock:
    """Give back what a committed lock used: points into the lots they came from, coupons as their template says,
    budgets with them. Without `part` all that is left of it; then a lock that is held is released.

    Raises LockNotFound, Refused (ALREADY_DECIDED, AMOUNT_OUT_OF_RANGE), Contended."""
    if part is not None and part.points is None:
        part = None
    found = await find(connection, lock_id, hold=True)
    if found.state == "held" and part is None:
        return await release(connection, pricing, lock_id, now)
    if found.state != "committed":
        if part is None:
            return found
        raise Refused(ALREADY_DECIDED, f"It is {found.state}: nothing more of it is used.", state=found.state)
    await giving_back.give_back(Turn(connection, pricing, now), found, part)
    return await find(connection, lock_id)


async def _end_units(turn: Turn, lock_: Lock, parts: Sequence[LockPart], state: State) -> None:
    """End what the ledger holds. Freeing what time has freed already is no failure."""
    commands = []
    for transfer in (lock_.points_transfer, *(part.transfer for part in parts)):
        if transfer is not None:
            key = derived_key("lock", lock_.id, state, transfer)
            kind = "post" if state is State.POSTED else "void"
            end = End(transfer, state)
            commands.append(
                Command(key, key, kind, (end,), turn.now, by=BY, cause=giving_back.cause_of(lock_), corrects=transfer)
            )
    for outcome in await turn.pricing.ledger.post(turn.connection, commands):
        if outcome.refused is not None and not (state is State.VOIDED and outcome.refused.code == ALREADY_DECIDED):
            raise Refused("ENDED", "Its time is over: nothing is held any more.")


async def _tell(turn: Turn, name: str, lock_: Lock, parts: Sequence[LockPart]) -> None:
    """Say what became of the coupons of a lock; of a lock without any nothing."""
    offs = {part.coupon: part.off_fen for part in parts if part.coupon is not None}
    if not offs:
        return
    more = {"lock_id": str(lock_.id), "order_id": lock_.order_id, "end": lock_.end}
    told = [
        told_of_coupon(name, coupon, turn.now, {**more, "off_fen": offs[coupon.id]})
        for coupon in await records.by_ids(turn.connection, sorted(offs))
        if coupon.anchor is not None
    ]
    await tell(turn.connection, told)
