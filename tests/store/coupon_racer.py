"""What processes ask of coupons at the same time, or die while they do (racing.py): for test_coupon_races."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast
from uuid import UUID

import msgspec

from siyu.coupons import actions, giving, locks
from siyu.coupons.pricing import Pricing
from siyu.coupons.request import LockRequest, OrderLock, QuoteRequest
from siyu.errors import SiyuError
from siyu.ledger import Ledger
from siyu.loyalty.request import Identifier
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once
from tests.coupon_world import SECRET, TEN, ZONE

from .racing import SENDING, Die, send

PRICING = Pricing(cast(Any, None), Ledger(ZONE), ZONE, SECRET)
"""Without events: no rule of these races counts any."""


async def ask(job: dict[str, Any], connection: Any, number: int) -> str:
    """One request; what came out."""
    who = Identifier("user_id", job["people"][number % len(job["people"])])
    if job["kind"] == "claim":
        await giving.give(connection, PRICING, job["template"], who, TEN, way="claimed")
    elif job["kind"] == "lock":
        request = LockRequest(person=who, coupon=job["coupon"], points=job.get("points", 0), ttl_s=60)
        await locks.lock(connection, PRICING, request, TEN)
    elif job["kind"] == "end":
        verb = locks.commit if (job["process"] + number) % 2 else locks.release
        found = await verb(connection, PRICING, UUID(job["lock"]), TEN)
        return found.state
    else:
        told = {"person": who, "end": "web", "lines": [{"sku": "S1", "qty": 1, "price_fen": 20_000}]}
        basket = msgspec.convert(told, QuoteRequest, from_attributes=True)
        found_quote = await actions.quote(connection, PRICING, basket, TEN, hold=True)
        order = OrderLock(person=who, order_id=f"{job['process']}-{number}", ttl_s=60, quote=found_quote)
        await locks.lock(connection, PRICING, order, TEN)
        return str(found_quote.payable_fen)
    return "done"


@contextmanager
def without(guards: list[str]) -> Iterator[None]:
    """Every guard stays: test_guards takes them away."""
    assert not guards
    yield


CONNECTIONS = 4


@asynccontextmanager
async def world(job: dict[str, Any]) -> AsyncIterator[Database]:
    """Connected."""
    db = await Database.open(job["dsn"], connections_max=CONNECTIONS)
    async with db.driver() as connection:
        await connection.fetchval("SELECT 1")
    yield db
    await db.close()


async def work(db: Database, job: dict[str, Any]) -> dict[str, int]:
    """Ask for everything at once: as many as there are connections, the others as one is free. On a slow machine the
    last of many would wait longer for a connection than anybody may."""
    free = asyncio.Semaphore(CONNECTIONS)

    async def one(number: int) -> str:
        def do(connection: Any) -> Awaitable[str]:
            return ask(job, connection, number)

        try:
            async with free:
                return await once(db, Asked(None, "race", number), str, do, lambda: TEN)
        except SiyuError as error:
            return error.code

    return Counter(await asyncio.gather(*(one(number) for number in range(job["requests"]))))


PLACES = ("before the lock is committed", "before it is used", "before the use is committed", "after", *SENDING)


async def attempt(job: dict[str, Any], round_: int, die: Die) -> None:
    """Lock and commit under keys, and be killed on the way."""
    db = await Database.open(job["dsn"], connections_max=2)

    def asked(call: str) -> Asked:
        return Asked(f"{call} {round_}", call, round_)

    def dying(place: str, do: Callable[[Any], Awaitable[str]]) -> Callable[[Any], Awaitable[str]]:
        async def work(connection: Any) -> str:
            done = await do(connection)
            die(place)
            return done

        return work

    async def hold(connection: Any) -> str:
        request = LockRequest(person=Identifier("user_id", "U1"), coupon="T", points=1, ttl_s=60)
        return str((await locks.lock(connection, PRICING, request, TEN)).id)

    lock_id = await once(db, asked("lock"), str, dying("before the lock is committed", hold), lambda: TEN)
    die("before it is used")

    async def use(connection: Any) -> str:
        return (await locks.commit(connection, PRICING, UUID(lock_id), TEN)).state

    state = await once(db, asked("commit"), str, dying("before the use is committed", use), lambda: TEN)
    assert state == "committed"
    die("after")
    await send(db, lambda: TEN, die)
    await db.close()
