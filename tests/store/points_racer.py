"""What processes ask of one person's points at once, or die while they do (racing.py): for test_points_races."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from siyu.errors import SiyuError
from siyu.ledger import records
from siyu.loyalty.actions import Points
from siyu.loyalty.request import Earn, Identifier, Refund, Request, Spend
from siyu.store.postgres import Database
from tests.coupon_world import SECRET, TEN, ZONE

from .racing import Die, DyingDesk

U1 = Identifier("user_id", "U1")


@contextmanager
def without(guards: list[str]) -> Iterator[None]:
    """Leave out what keeps accounts from being read by two and written by both."""
    lock, write = records.LOCK, records.WRITE
    if guards:
        changed = write
        for one in (records.VERSION_GUARD, records.REMAINING_GUARD, records.LEG_GUARD):
            assert one in changed
            changed = changed.replace(one, "")
        records.LOCK, records.WRITE = lock.replace("FOR UPDATE", ""), changed  # type: ignore[misc]  # the point
    yield
    records.LOCK, records.WRITE = lock, write  # type: ignore[misc]  # as it was


@asynccontextmanager
async def world(job: dict[str, Any]) -> AsyncIterator[Points]:
    """Connected."""
    db = await Database.open(job["dsn"], connections_max=4)
    async with db.driver() as connection:
        await connection.fetchval("SELECT 1")
    yield Points(db, lambda: TEN, ZONE, SECRET)
    await db.close()


async def work(points: Points, job: dict[str, Any]) -> dict[str, int]:
    """Spend what was earned, and take the earning back, all at once; how often each thing came out."""

    async def ask(name: str, request: Request) -> str:
        try:
            await points.ask(request, None, "race")
        except SiyuError as error:
            return f"{name} {error.code}"
        return name

    wanted: list[Any] = []
    for _ in range(job["requests"]):
        wanted.append(ask("taken back", Refund(transfer_id=job["earned"], points=10)))
        wanted.append(ask("spent", Spend(person=U1, points=10)))
    return Counter(await asyncio.gather(*wanted))


STEPS = ("earning", "spending", "return")
PLACES = tuple(f"{when} the {step} is committed" for step in STEPS for when in ("before", "after"))


class DyingPoints(DyingDesk, Points):
    """Points whose process dies around the commit of a step."""


async def attempt(job: dict[str, Any], round_: int, die: Die) -> None:
    """Earn ten, spend four, take the earning back: four are owed. Each under a key."""
    db = await Database.open(job["dsn"], connections_max=2)
    points = DyingPoints(db, lambda: TEN, ZONE, SECRET)
    points.die = die

    async def ask(step: str, request: Request) -> int:
        points.step = step
        outcome = await points.ask(request, f"{step} {round_}", "race")
        die(f"after the {step} is committed")
        return outcome.transfer

    earned = await ask("earning", Earn(person=Identifier("user_id", f"R{round_}"), points=10))
    await ask("spending", Spend(person=Identifier("user_id", f"R{round_}"), points=4))
    await ask("return", Refund(transfer_id=earned, points=10))
    await db.close()
