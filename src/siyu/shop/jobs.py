"""What time brings to orders: money of refunds is given back, goods count as received, orders as completed.

May run anywhere, at the same time twice, and be killed anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import uuid4

import structlog

from siyu.clock import Now
from siyu.errors import Refused
from siyu.shop import order_records, payment_records
from siyu.shop.order import State
from siyu.shop.order_records import Payment
from siyu.shop.pauses import ATTEMPTS_MAX, BECAUSE_CHARS, CLAIMED_AT_ONCE, LEASE, pause
from siyu.shop.payment import PaymentProvider, Taken, provider
from siyu.shop.placing import Tools
from siyu.shop.request import Move
from siyu.shop.steps import TIME, Do, take_step
from siyu.store.postgres import Database, driver_of

log = structlog.get_logger()

MOVED_AT_ONCE: Final = 200


async def pay_out(db: Database, providers: Mapping[str, PaymentProvider], now: Now) -> int:
    """Have the providers give back what was refunded; how many refunds were asked for.

    Claimed first, in a transaction of its own, so that the provider is asked outside of any; a claim that was not
    decided is over after LEASE. The provider knows a refund by its number, so that asking again gives nothing more."""
    done = 0
    while True:
        async with db.begin() as conn:
            connection = await driver_of(conn)
            claimed = await payment_records.claim(connection, now(), now() + LEASE, CLAIMED_AT_ONCE)
            paid = await payment_records.paid_by(connection, [one.number for one in claimed])
        for one in claimed:
            state, because, due_at = await _give_back(one, paid.get(one.number), providers, now)
            async with db.begin() as conn:
                await payment_records.decide(await driver_of(conn), one, state, because, due_at)
        done += len(claimed)
        if len(claimed) < CLAIMED_AT_ONCE:
            return done


async def _give_back(
    one: Payment, paid: tuple[str, str, int] | None, providers: Mapping[str, PaymentProvider], now: Now
) -> tuple[str, str, datetime | None]:
    """Ask the provider; state, reason and next attempt."""
    if one.kind == "return":
        paid = (one.provider, one.reference, one.amount_fen)
    if paid is None:
        return "failed", "PAYMENT_NOT_FOUND", None
    name, reference, amount_fen = paid
    in_a_row = (one.attempts - 1) % ATTEMPTS_MAX + 1
    try:
        await provider(providers, name).give_back(Taken(name, reference, amount_fen), one.id.hex, one.amount_fen)
    except Refused as refused:
        log.warning("a refund was refused", refund=str(one.id), code=refused.code)
        return "failed", f"{refused.code}: {refused}"[:BECAUSE_CHARS], None
    except Exception as error:
        log.warning("a refund waits", refund=str(one.id), error=str(error), attempts=one.attempts)
        because = f"{type(error).__name__}: {error}"[:BECAUSE_CHARS].replace("\x00", "")
        if in_a_row == ATTEMPTS_MAX:
            return "failed", because, None
        return "planned", because, now() + pause(in_a_row)
    return "done", "", None


class Days(NamedTuple):
    """After how many days time takes a step; 0: never."""

    receive: int
    complete: int


async def move_on(db: Database, tools: Tools, days: Days, now: Now) -> int:
    """Goods that left long ago count as received, what was received long ago as completed; how many orders."""
    done = 0
    for state, verb, after in (
        (State.FULFILLED, "receive", days.receive),
        (State.RECEIVED, "complete", days.complete),
    ):
        more = after > 0
        while more:
            async with db.begin() as conn:
                connection = await driver_of(conn)
                since = now() - timedelta(days=after)
                due = await order_records.orders_under_way(connection, state, since, MOVED_AT_ONCE)
                for order_id in due:
                    await take_step(connection, Do(verb, order_id, Move(), uuid4(), TIME), tools, now())
            done += len(due)
            more = len(due) == MOVED_AT_ONCE
    return done
