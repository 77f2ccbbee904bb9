"""A process that asks for coupons at the same time as others, or dies while it does: for test_coupon_races.

`python -m tests.store.coupon_racer JOB`, the job as JSON; answers a JSON line: how often each thing came out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
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


async def race(job: dict[str, Any]) -> dict[str, int]:
    """Ask for everything at once."""
    db = await Database.open(job["dsn"], connections_max=4)

    async def one(number: int) -> str:
        def do(connection: Any) -> Awaitable[str]:
            return ask(job, connection, number)

        try:
            return await once(db, Asked(None, "race", number), str, do, lambda: TEN)
        except SiyuError as error:
            return error.code

    await asyncio.sleep(max(0.0, job["start"] - time.time()))
    outcomes = await asyncio.gather(*(one(number) for number in range(job["requests"])))
    await db.close()
    return Counter(outcomes)


async def attempt(job: dict[str, Any], round_: int, dies: str) -> None:
    """Lock and commit under keys, and be killed on the way."""
    db = await Database.open(job["dsn"], connections_max=1)

    def die(place: str) -> None:
        if dies == place:
            os.kill(os.getpid(), signal.SIGKILL)

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

    lock_id = await once(db, asked("lock"), str, dying("before lock", hold), lambda: TEN)
    die("between")

    async def use(connection: Any) -> str:
        return (await locks.commit(connection, PRICING, UUID(lock_id), TEN)).state

    await once(db, asked("commit"), str, dying("before commit", use), lambda: TEN)
    die("after")
    await db.close()


def crashes(job: dict[str, Any]) -> dict[str, int]:
    """Rounds of: a process dies somewhere, another one asks again under the same keys."""
    places, killed = ("before lock", "between", "before commit", "after"), 0
    for round_ in range(job["rounds"]):
        for dies in (places[round_ % len(places)], ""):
            child = os.fork()
            if child == 0:
                try:
                    asyncio.run(attempt(job, round_, dies))
                finally:
                    os._exit(0)
            _, status = os.waitpid(child, 0)
            killed += os.WIFSIGNALED(status)
    return {"killed": killed}


def main() -> None:
    """Do the job."""
    job = json.loads(sys.argv[1])
    answer = crashes(job) if job["kind"] == "crash" else asyncio.run(race(job))
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
