"""A process that buys, pays or refunds at the same time as others, or dies while it does: for test_shop_races.

`python -m tests.store.shop_racer JOB`, the job as JSON; answers a JSON line of codes and how often. `without` names
guards that are left out of the statements.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from typing import Any

from siyu.errors import SiyuError
from siyu.shop import order_records
from siyu.shop.request import BackLine, GiveBack, Pay, Place, WantedLine
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

from .shop_world import ShopWorld


def leave_out(guards: list[str]) -> None:
    """Take guards out of the statements."""
    if "version" in guards:
        changed = order_records._UPDATE.replace(order_records.VERSION_GUARD, "AND $2::int IS NOT NULL")
        order_records._UPDATE = changed  # type: ignore[misc]  # that is the point
    if "lock" in guards:
        found = order_records.find_order

        async def unlocked(connection: Any, order_id: str, source: str = order_records.OURS, **_: Any) -> Any:
            order = await found(connection, order_id, source)
            await asyncio.sleep(0.02)
            return order

        order_records.find_order = unlocked


async def ask(world: ShopWorld, job: dict[str, Any], number: int) -> str:
    """One request; its code, or what became of it."""
    me = f"{job['process']}-{number}"
    try:
        if job["kind"] == "buy":
            place = Place(order_id=f"{job['name']}-{me}", end="web", lines=(WantedLine("T1", 1),))
            return (await world.orders.place(place, me, "race")).state
        if job["kind"] == "buy_and_pay":
            order_id = f"{job['name']}-{number}"
            place = Place(order_id=order_id, end="web", lines=(WantedLine("T1", 1),))
            await world.orders.place(place, f"{order_id}-made", "race")
            return (await world.orders.pay(order_id, Pay(provider="test"), f"{order_id}-paid", "race")).state
        body = GiveBack(lines=(BackLine("X1", 1),), refund_id=me)
        return (await world.orders.move("refund", job["name"], body, None, "race")).state
    except SiyuError as error:
        return error.code


async def main(job: dict[str, Any]) -> None:
    leave_out(job.get("without", []))
    db = await Database.open(job["dsn"])
    events = await EventStore.open(job["events"])
    world = ShopWorld(db, events)
    if job.get("dies"):
        loop = asyncio.get_running_loop()
        loop.call_later(0.1 + random.random() * 0.6, os.kill, os.getpid(), signal.SIGKILL)
    else:
        await asyncio.sleep(max(0.0, job["start"] - time.time()))
    codes = Counter(await asyncio.gather(*(ask(world, job, number) for number in range(job["requests"]))))
    print(json.dumps(codes))
    await events.close()
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
