"""Real processes at one shop: the last units, refunds at the same time, and processes that die in between."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

import pytest

from siyu.shop import order_records
from siyu.shop.request import Pay, Place, WantedLine
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

from .shop_world import ShopWorld
from .test_ledger_races import CHANCES, PROCESSES, START_SECONDS, dsn_of


class Race:
    def __init__(self, world: ShopWorld, dsn: str, events: str) -> None:
        self.world, self.dsn, self.events = world, dsn, events

    async def run(self, **job: Any) -> Counter[str]:
        """All processes at once; how often each answer came."""
        job = {"dsn": self.dsn, "events": self.events, "start": time.time() + START_SECONDS, **job}
        sums: Counter[str] = Counter()
        for answer in await asyncio.gather(*(self._one({**job, "process": number}) for number in range(PROCESSES))):
            sums.update(answer)
        return sums

    async def _one(self, job: dict[str, Any]) -> dict[str, int]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.store.shop_racer", json.dumps(job), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == (-9 if job.get("dies") and not out else 0)
        return json.loads(out) if out else {}


@pytest.fixture
async def race(db: Database, events: EventStore, postgres_dsn: str, clickhouse_url: str, right_ledger: None) -> Race:
    await events.create_all()
    return Race(await ShopWorld.open(db, events), await dsn_of(db, postgres_dsn), clickhouse_url)


async def test_ten_units_and_a_thousand_buyers(race: Race) -> None:
    await race.world.stock("T1", 10)
    assert await race.run(kind="buy", name="A", requests=250) == {"created": 10, "OUT_OF_STOCK": 990}
    assert await race.world.units("T1") == (10, 0, 10, 0)


async def refund_race(race: Race, name: str, **job: Any) -> tuple[int, int]:
    """Four units refunded by many at once: money back as the order says it, and as the payments do.

    Units whose stock is counted would be guarded by the ledger too: these are not."""
    world = race.world
    lines = (WantedLine("X1", 4, 12_800),)
    await world.orders.place(Place(order_id=name, end="web", lines=lines), None, "race")
    await world.orders.pay(name, Pay(), None, "race")
    await race.run(kind="refund", name=name, requests=4, **job)
    order = await world.orders.show(name)
    async with world.db.driver() as connection:
        money = await order_records.payments_of(connection, order.number)
    return order.refunded_fen, sum(one.amount_fen for one in money if one.kind == "refund")


async def test_refunds_at_the_same_time_give_back_what_was_paid(race: Race) -> None:
    assert await refund_race(race, "R") == (4 * 12_800, 4 * 12_800)


async def test_without_its_guards_more_is_given_back_than_was_paid(race: Race) -> None:
    for chance in range(CHANCES):
        if await refund_race(race, f"G{chance}", without=["version", "lock"]) != (4 * 12_800, 4 * 12_800):
            return
    raise AssertionError("nothing went wrong without the guards: what are they for?")


async def test_processes_that_die_leave_each_order_made_or_not_paid_or_not(race: Race) -> None:
    """kill -9 in the middle, again and again; then somebody finishes: as if once."""
    await race.world.stock("T1", 40)
    for _ in range(5):
        await race.run(kind="buy_and_pay", name="K", requests=60, dies=True)
    codes = await race.run(kind="buy_and_pay", name="K", requests=60)
    assert codes == {"paid": 40 * PROCESSES, "OUT_OF_STOCK": 20 * PROCESSES}
    assert await race.world.units("T1") == (40, 0, 0, 40)
    names = Counter(one["name"] for one in await race.world.told())
    assert names == {"order.created": 40, "order.paid": 40}
