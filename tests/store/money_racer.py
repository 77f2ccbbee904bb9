"""Payments whose process dies around the bank, and jobs that die over them (racing.py): for test_arriving."""

from __future__ import annotations

import os
from typing import Any

from siyu.shop import Orders, arriving, intent_records
from siyu.shop.arriving import LOOK_AFTER
from siyu.shop.jobs import pay_out
from siyu.shop.pauses import LEASE
from siyu.shop.payment import Intent, Taken, TestProvider
from siyu.shop.request import Move, Pay, Place, WantedLine
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

from .racing import Die, DyingDesk
from .shop_world import ShopWorld

REQUEST = (
    "before the intent is committed",
    "before the bank takes",
    "after the bank took",
    "before the payment is committed",
    "after the payment is committed",
)
JOB = (
    "before the bank is asked what became of it",
    "after the bank said what became of it",
    "before the end is committed",
    "before the bank gives back",
    "after the bank gave back",
)
PLACES = (*REQUEST, *JOB)
FATES = ("goes on", "lapses", "is cancelled", "is paid by another")
"""What becomes of the order meanwhile."""


def fate_of(round_: int) -> str:
    """Each place meets each fate within a few rounds; where money goes back the order does not go on."""
    turn = round_ + round_ // 20
    return FATES[1 + turn % 3] if PLACES[round_ % len(PLACES)] in JOB[3:] else FATES[turn % 4]


class DyingBank(TestProvider):
    """The test provider. Asked for money, its answer may be lost on the way; whoever asks it may die."""

    die: Die
    lost = False

    async def take(self, intent: Intent) -> Taken:
        """Take it."""
        self.die(REQUEST[1])
        taken = await super().take(intent)
        self.die(REQUEST[2])
        if self.lost:
            raise ConnectionError("the line is dead")
        return taken

    async def look(self, intent: Intent) -> Taken | None:
        """Say it."""
        self.die(JOB[0])
        found = await super().look(intent)
        self.die(JOB[1])
        return found

    async def close(self, intent: Intent) -> Taken | None:
        """Say it, for good."""
        self.die(JOB[0])
        found = await super().close(intent)
        self.die(JOB[1])
        return found

    async def give_back(self, taken: Taken, refund_id: str, amount_fen: int) -> None:
        """Give back."""
        self.die(JOB[3])
        await super().give_back(taken, refund_id, amount_fen)
        self.die(JOB[4])


class DyingOrders(DyingDesk, Orders):
    """A desk whose process dies before a payment is committed."""

    step = "payment"


def dying(die: Die) -> None:
    """Have this process (a child that ends with its round) die in the middle of the two transactions of a payment."""
    write_down, settle = intent_records.write_down, arriving.settle_in

    async def written(*given: Any) -> Any:
        known = await write_down(*given)
        die(REQUEST[0])
        return known

    async def settled(*given: Any) -> str:
        ended = await settle(*given)
        die(JOB[2])
        return ended

    intent_records.write_down = written  # type: ignore[assignment]  # of the same use
    arriving.settle_in = settled  # type: ignore[assignment]  # of the same use


async def attempt(job: dict[str, Any], round_: int, die: Die) -> None:
    """An order, paid once; what becomes of it meanwhile; and the jobs. Who comes second does not pay again."""
    db, events = await Database.open(job["dsn"], connections_max=2), await EventStore.open(job["events"])
    shop = ShopWorld(db, events)
    dying(die)
    os.dup2(2, 1)  # what is logged is no answer
    bank = DyingBank(db)
    bank.die = die
    number, fate = f"M-{round_}", fate_of(round_)
    async with db.driver() as connection:
        first = not await connection.fetchval("SELECT EXISTS (SELECT FROM shop_orders WHERE order_id = $1)", number)
    if first:
        await pay(shop, number, bank, die, lost=round_ % len(PLACES) >= len(REQUEST))
    if fate == "is paid by another":
        await shop.orders.pay(number, Pay(), f"{number}-other", "race")
    if fate == "is cancelled":
        await shop.orders.move("cancel", number, Move(), f"{number}-cancelled", "race")
    # Later, when claims of the dead are over; in the first place too, so that jobs die over what was left open.
    shop.later(seconds=(LOOK_AFTER if first else LOOK_AFTER + 2 * LEASE).total_seconds())
    if fate == "lapses":
        shop.later(hours=1)
    await shop.tend()
    await arriving.follow_up(db, shop.tools, {bank.name: bank}, shop.now)
    await pay_out(db, {bank.name: bank}, shop.now)
    await events.close()
    await db.close()


async def pay(shop: ShopWorld, number: str, bank: DyingBank, die: Die, *, lost: bool) -> None:
    """Make the order, ask the bank."""
    orders = DyingOrders(shop.db, shop.now, shop.tools)
    orders.die = die
    orders._providers = {bank.name: bank}
    bank.lost = lost
    place = Place(order_id=number, end="web", lines=(WantedLine("T1", 1),))
    await shop.orders.place(place, f"{number}-made", "race")
    try:
        await orders.pay(number, Pay(provider="test", payment_id=f"P-{number}"), f"{number}-paid", "race")
        die(REQUEST[4])
    except ConnectionError:
        return
