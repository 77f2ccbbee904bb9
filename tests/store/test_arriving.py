"""Money on its way in: booked or given back, never both, never neither, whoever dies, calls back or comes late."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from siyu.errors import Refused
from siyu.ledger import derived_key
from siyu.shop import intent_records, order_records
from siyu.shop.arriving import LOOK_AFTER, follow_up
from siyu.shop.jobs import pay_out
from siyu.shop.order_records import Payment
from siyu.shop.payment import DECLINED, Intent, Taken, TestProvider, providers
from siyu.shop.request import Move, OrderView, Pay, Place, WantedLine
from siyu.shop.retrying import with_money
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of
from tests.rounds import CRASHES

from .money_racer import PLACES
from .racing import Racers, told
from .shop_world import ShopWorld
from .test_ledger_races import dsn_of


@pytest.fixture
async def world(db: Database, events: EventStore, right_ledger: None) -> ShopWorld:
    world = await ShopWorld.open(db, events)
    await world.stock("T1", 10)
    return world


class Bank(TestProvider):
    """The test provider, with things that happen while it is asked."""

    lost = False
    away = False
    meeting: asyncio.Barrier | None = None
    """Nobody gets an answer before so many have asked."""

    async def take(self, intent: Intent) -> Taken:
        if self.meeting is not None:
            await self.meeting.wait()
        taken = await super().take(intent)
        if self.lost:
            raise ConnectionError("the line is dead")
        return taken

    async def look(self, intent: Intent) -> Taken | None:
        if self.away:
            raise ConnectionError("the line is dead")
        return await super().look(intent)


def bank_of(world: ShopWorld) -> Bank:
    bank = Bank(world.db)
    world.orders._providers = providers(world.db) | {"test": bank}
    return bank


async def place(world: ShopWorld, number: str, **more: Any) -> OrderView:
    return await world.orders.place(Place(order_id=number, end="web", lines=(WantedLine("T1", 1),), **more), None, "t")


async def pay(world: ShopWorld, number: str, payment_id: str | None = None, **more: Any) -> OrderView:
    return await world.orders.pay(number, Pay(provider="test", payment_id=payment_id, **more), None, "till")


async def shown(world: ShopWorld, number: str) -> OrderView:
    async with world.db.begin() as conn:
        connection = await driver_of(conn)
        found = await order_records.find_order(connection, number)
        assert found is not None
        return await with_money(connection, found)


async def tend(world: ShopWorld, bank: Bank | None = None) -> None:
    there = {"test": bank or Bank(world.db)}
    await asyncio.gather(*(follow_up(world.db, world.tools, there, world.now) for _ in range(2)))
    await pay_out(world.db, there, world.now)


async def bank_book(world: ShopWorld) -> list[tuple[str, bool, int]]:
    """(reference, whether it was given back, fen)"""
    async with world.db.driver() as connection:
        rows = await connection.fetch(
            "SELECT reference, refund <> '', amount_fen FROM shop_test_bank WHERE NOT closed ORDER BY 1, 2"
        )
    return [tuple(row) for row in rows]


async def states(world: ShopWorld) -> dict[str, str]:
    async with world.db.driver() as connection:
        return dict(await connection.fetch("SELECT reference, state FROM shop_intents"))


async def test_an_answer_that_was_lost_is_found_and_booked(world: ShopWorld) -> None:
    bank = bank_of(world)
    bank.lost = bank.away = True
    await place(world, "A")
    with pytest.raises(ConnectionError):
        await pay(world, "A", "p1")
    await tend(world, bank)
    assert (await shown(world, "A")).state == "created", "it is not looked for at once"
    world.later(seconds=LOOK_AFTER.total_seconds())
    await tend(world, bank)
    (unclear,) = (await shown(world, "A")).unclear or []
    assert (unclear.id, unclear.state, unclear.because) == ("p1", "open", "ConnectionError: the line is dead")
    bank.away = False
    world.later(seconds=60)
    await tend(world, bank)
    paid = await shown(world, "A")
    assert (paid.state, paid.paid_fen, paid.steps[-1].by, paid.steps[-1].ref) == ("paid", 12_800, "till", "p1")
    assert (paid.unclear, paid.returns, await states(world)) == (None, None, {"p1": "booked"})
    assert await world.units("T1") == (10, 9, 0, 1)
    assert await bank_book(world) == [("p1", False, 12_800)]


@pytest.mark.parametrize("fate", ["lapsed", "cancelled"])
async def test_money_that_came_for_an_order_that_ended_goes_back_once_and_is_told_of(
    world: ShopWorld, fate: str
) -> None:
    bank = bank_of(world)
    bank.lost = True
    await place(world, "A")
    with pytest.raises(ConnectionError):
        await pay(world, "A", "p1")
    if fate == "cancelled":
        await world.orders.move("cancel", "A", Move(), None, "test")
    world.later(hours=1)
    for _ in range(2):
        await tend(world)
        # A provider who calls back, late and again, changes nothing.
        async with world.db.driver() as connection:
            await intent_records.knock(connection, "test", "p1", world.at)
        world.later(hours=1)
    ended = await shown(world, "A")
    assert (ended.state, ended.paid_fen) == ("cancelled", 0)
    assert [(one.id, one.amount_fen, one.state) for one in ended.returns or []] == [("p1", 12_800, "done")]
    assert (ended.steps[-1].name, ended.steps[-1].note) == ("order.payment_returned", fate)
    assert await bank_book(world) == [("p1", False, 12_800), ("p1", True, 12_800)]
    events = [one for one in await world.told() if one["name"] == "order.payment_returned"]
    assert len(events) == 1
    assert await states(world) == {"p1": "returned"}
    assert await world.units("T1") == (10, 10, 0, 0)
    with pytest.raises(Refused) as refused:
        await pay(world, "A", "p1")
    assert refused.value.code == ("ENDED" if fate == "lapsed" else "ORDER_CANCELLED")


async def test_the_request_itself_gives_back_what_came_too_late(world: ShopWorld) -> None:
    class Slow(Bank):
        async def take(self, intent: Intent) -> Taken:
            taken = await super().take(intent)
            await world.orders.move("cancel", "A", Move(), None, "test")
            return taken

    await place(world, "A")
    world.orders._providers = {"test": Slow(world.db)}
    with pytest.raises(Refused) as refused:
        await pay(world, "A")
    assert refused.value.code == "ORDER_CANCELLED"
    (back,) = (await shown(world, "A")).returns or []
    assert (back.amount_fen, back.state) == (12_800, "planned")


async def test_of_two_payments_one_pays_and_the_other_goes_back(world: ShopWorld) -> None:
    # All three have seen the order unpaid; who comes after it was paid asks nobody for money.
    bank_of(world).meeting = asyncio.Barrier(3)
    await place(world, "A")
    answers = await asyncio.gather(*(pay(world, "A", number) for number in ("p1", "p2", "p1")))
    assert {one.state for one in answers} == {"paid"}
    await tend(world)
    paid = await shown(world, "A")
    (back,) = paid.returns or []
    assert paid.paid_fen == 12_800
    assert Counter((await states(world)).values()) == {"booked": 1, "returned": 1}
    assert [one for one in await bank_book(world) if one[1]] == [(back.id, True, 12_800)]
    assert paid.steps[-1].note == "already_paid"
    # What pays the order can be refunded as ever.
    refunded = await world.orders.move("cancel", "A", Move(), None, "test")
    assert refunded.refunded_fen == 12_800
    await tend(world)
    assert sum(fen for _, back, fen in await bank_book(world) if back) == 2 * 12_800


async def test_a_number_that_took_nothing_is_closed_with_the_order_and_takes_nothing_later(world: ShopWorld) -> None:
    bank = bank_of(world)
    order = await place(world, "A")
    async with world.db.begin() as conn:
        connection = await driver_of(conn)
        asking = intent_records.Asking(derived_key("i"), order.number, "test", "p1", 12_800, "till")
        assert await intent_records.write_down(connection, asking, world.at, world.at + LOOK_AFTER)
    world.later(minutes=1)
    await tend(world, bank)
    assert await states(world) == {"p1": "open"}, "who pays may come back"
    world.later(hours=1)
    await world.tend()
    await tend(world, bank)
    assert await states(world) == {"p1": "closed"}
    with pytest.raises(Refused) as refused:
        await bank.take(Intent("A", 12_800, "p1"))
    assert refused.value.code == "PAYMENT_DECLINED"
    assert await bank_book(world) == []


async def test_a_declined_payment_is_over_and_another_card_pays(world: ShopWorld) -> None:
    await place(world, "A")
    for card, code in ((DECLINED, "PAYMENT_DECLINED"), (DECLINED, "PAYMENT_DECLINED"), ("4242424242424242", "")):
        found = ""
        try:
            await pay(world, "A", card=card)
        except Refused as refused:
            found = refused.code
        assert found == code
    assert set((await states(world)).values()) == {"booked"}
    # Of two who ask under one number, one declined and one not, nothing is given up.
    await place(world, "B")
    answers = await asyncio.gather(
        pay(world, "B", card=DECLINED), pay(world, "B", card="4242424242424242"), return_exceptions=True
    )
    world.later(minutes=1)
    await tend(world)
    assert (await shown(world, "B")).state == "paid", answers
    await place(world, "C")
    with pytest.raises(Refused, match="another order"):
        await pay(world, "C", next(iter(await states(world))))


async def test_a_payment_is_booked_or_returned_by_a_key_of_the_database(world: ShopWorld) -> None:
    order = await place(world, "A")
    await pay(world, "A", "p1")
    async with world.db.begin() as conn:
        back = Payment(derived_key("b"), order.number, "return", "test", "p1", 12_800, world.at, "[]", "lapsed")
        assert not await order_records.add_payment(await driver_of(conn), back)


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    running = Racers("tests.store.money_racer", processes=1)
    yield running
    running.close()


@pytest.mark.proof
async def test_whoever_dies_money_is_booked_or_goes_back(
    db: Database, events: EventStore, postgres_dsn: str, clickhouse_url: str, racers: Racers, right_ledger: None
) -> None:
    """kill -9 around the bank and around every commit, of requests and of jobs; the order goes on, lapses, is cancelled
    or paid by another."""
    rounds = CRASHES
    assert rounds >= len(PLACES)
    await events.create_all()
    world = await ShopWorld.open(db, events)
    await world.stock("T1", rounds)
    await racers.crashes(rounds, dsn=await dsn_of(db, postgres_dsn), events=clickhouse_url)
    world.later(days=8)
    await world.tend()
    await tend(world)
    async with db.driver() as connection:
        rows = await connection.fetch(
            """SELECT o.order_id, o.state, o.paid_fen,
                 coalesce(sum(b.amount_fen) FILTER (WHERE b.refund = ''), 0)::bigint AS taken,
                 coalesce(sum(b.amount_fen) FILTER (WHERE b.refund <> ''), 0)::bigint AS given,
                 (SELECT count(*) FROM shop_payments p WHERE p.number = o.number AND p.kind = 'payment'
                    AND p.provider = 'test') AS booked,
                 (SELECT count(*) FROM shop_payments p WHERE p.number = o.number AND p.kind <> 'payment'
                    AND p.state = 'done' AND p.provider = 'test') AS back
               FROM shop_orders o LEFT JOIN shop_test_bank b USING (order_id) GROUP BY o.number"""
        )
        left = await connection.fetchval("SELECT count(*) FROM shop_intents WHERE state = 'open'")
    assert (len(rows), left) == (rounds, 0)
    for order_id, state, _, taken, given, booked, back in rows:
        if state == "paid":
            assert (taken - given) == (12_800 if booked else 0), order_id
        else:
            assert (state, taken, booked + back) in {
                ("cancelled", given, 2 * bool(taken)), ("cancelled", given, bool(taken)),
            }, order_id  # fmt: skip
            assert taken == given, order_id
    assert {row["state"] for row in rows} == {"paid", "cancelled"}
    assert any(row["given"] for row in rows)
    names = await told(db, world.now)
    returns = sum(row["back"] for row in rows if not row["booked"])
    assert names["order.payment_returned"] == returns > 0
