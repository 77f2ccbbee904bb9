"""What processes ask of one shop at the same time, or die while they do (racing.py): for test_shop_races."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from siyu.errors import SiyuError
from siyu.loyalty.request import Identifier
from siyu.shop import Orders, order_records
from siyu.shop.jobs import pay_out
from siyu.shop.payment import Taken, TestProvider
from siyu.shop.request import BackLine, GiveBack, Pay, Place, WantedLine
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

from .racing import SENDING, Die, DyingDesk, send
from .shop_world import ShopWorld


@contextmanager
def without(guards: list[str]) -> Iterator[None]:
    """Leave guards out of the statements."""
    update, find, hold = order_records._UPDATE, order_records.find_order, order_records.hold_orders

    async def unlocked(connection: Any, order_id: str, source: str = order_records.OURS, **_: Any) -> Any:
        order = await find(connection, order_id, source)
        await asyncio.sleep(0.02)
        return order

    async def nothing(connection: Any, order_ids: Any) -> list[Any]:
        return []

    changed: dict[str, Any] = {}
    if "version" in guards:
        assert order_records.VERSION_GUARD in update
        changed["_UPDATE"] = update.replace(order_records.VERSION_GUARD, "AND $2::int IS NOT NULL")
    if "lock" in guards:
        changed |= {"find_order": unlocked, "hold_orders": nothing}
    for name, value in changed.items():
        setattr(order_records, name, value)
    yield
    order_records._UPDATE, order_records.find_order = update, find  # type: ignore[misc]  # as it was
    order_records.hold_orders = hold


async def ask(shop: ShopWorld, job: dict[str, Any], number: int) -> str:
    """One request; its code, or what became of it."""
    me = f"{job['name']}-{job['process']}-{number}"
    try:
        if job["kind"] == "buy":
            place = Place(order_id=me, end="web", lines=(WantedLine(job["sku"], 1),))
            return (await shop.orders.place(place, me, "race")).state
        body = GiveBack(lines=(BackLine("X1", 1),), refund_id=me)
        return (await shop.orders.move("refund", job["name"], body, None, "race")).state
    except SiyuError as error:
        return error.code


@asynccontextmanager
async def world(job: dict[str, Any]) -> AsyncIterator[ShopWorld]:
    """Connected."""
    db, events = await Database.open(job["dsn"]), await EventStore.open(job["events"])
    shop = ShopWorld(db, events)
    await shop.units("T1")
    yield shop
    await events.close()
    await db.close()


async def work(shop: ShopWorld, job: dict[str, Any]) -> dict[str, int]:
    """Ask for everything at once; how often each answer came."""
    return Counter(await asyncio.gather(*(ask(shop, job, number) for number in range(job["requests"]))))


STEPS = ("order", "payment", "refund")
BANK = ("before the bank is asked", "before it is noted that the bank gave")
PLACES = (*(f"{when} the {step} is committed" for step in STEPS for when in ("before", "after")), *BANK, *SENDING)


class DyingBank(TestProvider):
    """The test provider; whoever asks it to give back dies just before, or just after."""

    die: Die

    async def give_back(self, taken: Taken, refund_id: str, amount_fen: int) -> None:
        """Give back."""
        self.die(BANK[0])
        await super().give_back(taken, refund_id, amount_fen)
        self.die(BANK[1])


class DyingOrders(DyingDesk, Orders):
    """A desk whose process dies around the commit of a step."""


async def attempt(job: dict[str, Any], round_: int, die: Die) -> None:
    """A unit of stock for money, a coupon and a point; paid, and half of the money given back. All under keys."""
    db, events = await Database.open(job["dsn"], connections_max=2), await EventStore.open(job["events"])
    shop = ShopWorld(db, events)
    orders = DyingOrders(db, shop.now, shop.tools)
    orders.die = die
    number = f"K-{round_}"
    orders.step = "order"
    wanted = Place(
        order_id=number, end="web", lines=(WantedLine("T1", 1),), person=Identifier("user_id", "u1"),
        coupons=("T",), points=1,
    )  # fmt: skip
    await orders.place(wanted, f"{number}-made", "race")
    die("after the order is committed")
    orders.step = "payment"
    await orders.pay(number, Pay(provider="test"), f"{number}-paid", "race")
    die("after the payment is committed")
    orders.step = "refund"
    await orders.move("refund", number, GiveBack(amount_fen=5_000), f"{number}-back", "race")
    die("after the refund is committed")
    bank = DyingBank(db)
    bank.die = die
    await pay_out(db, {bank.name: bank}, shop.now)
    await send(db, shop.now, die)
    await events.close()
    await db.close()
