"""Real processes at one shop: the last units, refunds at the same time, and processes that die in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from siyu.coupons.template import Template
from siyu.shop import order_records
from siyu.shop.jobs import pay_out
from siyu.shop.pauses import LEASE
from siyu.shop.payment import providers
from siyu.shop.request import Pay, Place, WantedLine
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.rounds import CRASHES, RACES

from .racing import Racers, told
from .shop_world import ShopWorld
from .test_ledger_races import CHANCES, dsn_of

pytestmark = pytest.mark.proof


class Race:
    def __init__(self, world: ShopWorld, racers: Racers, job: dict[str, Any]) -> None:
        self.world, self.racers, self.job = world, racers, job

    async def run(self, **job: Any) -> dict[str, int]:
        """All processes at once; how often each answer came."""
        return dict(await self.racers.race(**self.job, **job))


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    running = Racers("tests.store.shop_racer")
    yield running
    running.close()


@pytest.fixture
async def race(
    db: Database, events: EventStore, postgres_dsn: str, clickhouse_url: str, racers: Racers, right_ledger: None
) -> Race:
    await events.create_all()
    job = {"dsn": await dsn_of(db, postgres_dsn), "events": clickhouse_url}
    return Race(await ShopWorld.open(db, events), racers, job)


async def test_ten_units_and_a_thousand_buyers(race: Race) -> None:
    for round_ in range(RACES):
        await race.world.stock("T1", 10)
        found = await race.run(kind="buy", sku="T1", name=f"A{round_}", requests=250)
        assert found == {"created": 10, "OUT_OF_STOCK": 990}
        units = 10 * (round_ + 1)
        assert await race.world.units("T1") == (units, 0, units, 0)


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
    for round_ in range(RACES):
        assert await refund_race(race, f"R{round_}") == (4 * 12_800, 4 * 12_800)


async def test_without_its_guards_more_is_given_back_than_was_paid(race: Race) -> None:
    for chance in range(CHANCES):
        if await refund_race(race, f"G{chance}", without=["version", "lock"]) != (4 * 12_800, 4 * 12_800):
            return
    raise AssertionError("nothing went wrong without the guards: what are they for?")


async def test_processes_that_die_leave_each_step_of_an_order_taken_or_not(race: Race) -> None:
    """kill -9 around every commit of order, payment and refund, and around the outbox; then it is asked again."""
    world = race.world
    who = await world.person("u1")
    await world.stock("T1", CRASHES)
    await world.template(Template(id="T", kind="amount", off_fen=2_800))
    for _ in range(CRASHES):
        await world.coupon("T", who)
    await world.earn(who, CRASHES)
    await race.racers.crashes(CRASHES, **race.job)
    world.later(seconds=LEASE.total_seconds())
    await pay_out(world.db, providers(world.db), world.now)
    assert await world.units("T1") == (CRASHES, 0, 0, CRASHES)
    assert await world.points(who) == (0, 0)
    async with world.db.driver() as connection:
        used = await connection.fetchval("SELECT count(*) FROM coupons WHERE state = 'redeemed'")
        money = await connection.fetch("SELECT kind, count(*), sum(amount_fen)::bigint FROM shop_payments GROUP BY 1")
        steps = await connection.fetch(
            "SELECT state, paid_fen, refunded_fen, count(*) FROM shop_orders GROUP BY 1, 2, 3"
        )
        kept = "SELECT refund <> '', count(*), sum(amount_fen)::bigint FROM shop_test_bank GROUP BY 1"
        bank = await connection.fetch(kept)
        states = await connection.fetch("SELECT state, count(*) FROM shop_payments GROUP BY 1")
    assert used == CRASHES
    assert [tuple(row) for row in states] == [("done", 2 * CRASHES)]
    assert {tuple(row) for row in bank} == {(False, CRASHES, 9_999 * CRASHES), (True, CRASHES, 5_000 * CRASHES)}
    paid = 10_000 - 1
    assert {tuple(row) for row in money} == {("payment", CRASHES, paid * CRASHES), ("refund", CRASHES, 5_000 * CRASHES)}
    assert [tuple(row) for row in steps] == [("paid", paid, 5_000, CRASHES)]
    names = await told(world.db, world.now)
    assert {name: count for name, count in names.items() if name.startswith(("order.", "coupon.re"))} == {
        "order.created": CRASHES, "order.paid": CRASHES, "order.refunded": CRASHES, "coupon.redeemed": CRASHES,
    }  # fmt: skip
