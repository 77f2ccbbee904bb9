"""Money on its way in: written down before the provider is asked, then booked or given back, whoever dies in between.

There is one path: `settle`, under the lock of the order. What was taken pays the order when that is still to be paid;
else it goes back as a refund does (`jobs.pay_out`). The request that asked, the job that finds what has no end, and a
provider that calls back, early, late or twice, all end there; who comes second finds it done.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import uuid4

import structlog
from msgspec.structs import replace

from siyu.clock import Now
from siyu.errors import Refused
from siyu.identity.outbox import tell
from siyu.ledger import derived_key
from siyu.shop import events, intent_records, order_records
from siyu.shop.intent_records import Asking
from siyu.shop.order import Order, State, Step
from siyu.shop.order_records import Payment
from siyu.shop.pauses import BECAUSE_CHARS, CLAIMED_AT_ONCE, LEASE, pause
from siyu.shop.payment import Intent, PaymentProvider, Taken, another_orders, number_of, provider
from siyu.shop.placing import Tools
from siyu.shop.request import Pay
from siyu.shop.steps import Do, lapse, take_step
from siyu.store.postgres import Database, driver_of

log = structlog.get_logger()

LOOK_AFTER: Final = timedelta(seconds=30)
"""Whoever asked for money and says nothing for so long may be dead: the provider is asked what became of it."""


class Arrival(NamedTuple):
    """What a provider answered when it was asked for the money of an order."""

    asking: Asking | None = None
    taken: Taken | None = None
    declined: Refused | None = None


async def take(db: Database, bank: PaymentProvider, found: Order, body: Pay, *, by: str, now: Now) -> Arrival:
    """Ask a provider for the money of an order that is to be paid. What moves money is written down before, in a
    transaction of its own."""
    reference = body.payment_id or number_of(bank, found.order_id)
    asking = Asking(uuid4(), found.number, bank.name, reference, found.payable_fen, by)
    if bank.moves:
        async with db.begin() as conn:
            connection = await driver_of(conn)
            known = await intent_records.write_down(connection, asking, now(), now() + LOOK_AFTER)
            whose = None if known else await intent_records.order_of(connection, bank.name, reference)
        if known is None:
            ended = Refused("PAYMENT_DECLINED", f"The payment {reference} has ended; pay under another number.")
            return Arrival(declined=ended if whose == found.number else another_orders(reference))
        asking = known
    try:
        taken = await bank.take(Intent(found.order_id, found.payable_fen, reference, body.card))
    except Refused as declined:
        if bank.moves:
            async with db.begin() as conn:
                await intent_records.decline(await driver_of(conn), asking.id)
        return Arrival(declined=declined)
    return Arrival(asking if bank.moves else None, taken)


async def settle(db: Database, tools: Tools, asking: Asking, taken: Taken, now: Now) -> str:
    """Money was taken: book it, or give it back; what became of it, `open` when it must be tried again."""
    async with db.begin() as conn:
        return await settle_in(await driver_of(conn), tools, asking, taken, now())


async def settle_in(connection: Any, tools: Tools, asking: Asking, taken: Taken, now: datetime) -> str:
    """The same in the caller's transaction."""
    found = await _order(connection, asking, lock=True)
    if not await intent_records.is_open(connection, asking.id):
        return "settled"
    if found.due(now):
        await lapse(connection, found, tools, now)
        found = await _order(connection, asking)
    if found.state is not State.CREATED:
        return await _end(connection, found, asking, taken, now)
    do = Do("pay", found.order_id, Pay(), asking.id, asking.by, taken, asking=asking.id)
    try:
        async with connection.transaction():
            await take_step(connection, do, tools, now)
    except Refused as refused:
        log.warning("a payment cannot be booked yet", order=found.order_id, code=refused.code)
        because = f"{refused.code}: {refused}"[:BECAUSE_CHARS]
        await intent_records.put_off(connection, asking, because, now + pause(asking.attempts))
        return "open"
    return "booked"


async def _order(connection: Any, asking: Asking, *, lock: bool = False) -> Order:
    named = await order_records.name_of(connection, asking.number)
    assert named is not None
    found = await order_records.find_order(connection, named[1], lock=lock)
    assert found is not None
    return found


async def _end(connection: Any, found: Order, asking: Asking, taken: Taken, now: datetime) -> str:
    """Of an order that is not to be paid any more: it was paid by this, or this goes back."""
    money = await order_records.payments_of(connection, found.number)
    if any((one.kind, one.provider, one.reference) == ("payment", *taken[:2]) for one in money):
        await intent_records.end(connection, asking.id, "booked")
        return "booked"
    if not await intent_records.end(connection, asking.id, "returned"):
        return "settled"
    reason = found.ending or "already_paid"
    back = Payment(
        derived_key("return", taken.provider, taken.reference), found.number, "return", taken.provider,
        taken.reference, taken.amount_fen, now, "[]", reason,
        *(("planned", "", 0, now) if taken.amount_fen else ("done", "", 0, None)),
    )  # fmt: skip
    if not await order_records.add_payment(connection, back):
        return "settled"
    step = Step(events.RETURNED, now, asking.by, reason, taken.amount_fen, taken.reference)
    after = replace(found, steps=(*found.steps, step))
    await order_records.update_order(connection, after, now)
    await tell(connection, [events.returned(after, step, taken)])
    log.warning("a payment goes back", order=found.order_id, reference=taken.reference, reason=reason)
    return "returned"


async def follow_up(db: Database, tools: Tools, providers: Mapping[str, PaymentProvider], now: Now) -> int:
    """Have the providers say what became of payments whose end nobody wrote down; how many were asked for.

    An order that is still to be paid may be paid by who asks again; of one that is not the number is closed, so that
    an answer `nothing` stays true. May run anywhere, at the same time twice, and be killed anywhere."""
    done = 0
    while True:
        async with db.begin() as conn:
            claimed = await intent_records.claim(await driver_of(conn), now(), now() + LEASE, CLAIMED_AT_ONCE)
        for one in claimed:
            try:
                await _ask(db, tools, one, provider(providers, one.provider), now)
            except Exception as error:
                log.warning("a payment is not clear", reference=one.reference, error=str(error), attempts=one.attempts)
                because = f"{type(error).__name__}: {error}"[:BECAUSE_CHARS].replace("\x00", "")
                async with db.begin() as conn:
                    await intent_records.put_off(await driver_of(conn), one, because, now() + pause(one.attempts))
        done += len(claimed)
        if len(claimed) < CLAIMED_AT_ONCE:
            return done


async def _ask(db: Database, tools: Tools, one: Asking, bank: PaymentProvider, now: Now) -> None:
    """What became of it, in its place: booked, returned, closed, or still open."""
    async with db.begin() as conn:
        found = await _order(await driver_of(conn), one)
    payable = found.state is State.CREATED and not found.due(now())
    intent = Intent(found.order_id, one.amount_fen, one.reference)
    taken = await (bank.look(intent) if payable else bank.close(intent))
    if taken is not None:
        await settle(db, tools, one, taken, now)
        return
    async with db.begin() as conn:
        connection = await driver_of(conn)
        if not payable:
            await intent_records.end(connection, one.id, "closed")
            return
        again = now() + pause(one.attempts)
        if found.expires_at is not None:
            again = min(again, max(found.expires_at, now()) + pause(1))
        await intent_records.put_off(connection, one, "", again)
