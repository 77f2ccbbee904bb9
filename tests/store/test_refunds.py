"""Money of refunds: booked at once, asked of the provider until it is given back, once; and what time brings."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from siyu.errors import Refused
from siyu.shop import payment_records
from siyu.shop.jobs import Days, move_on, pay_out
from siyu.shop.order_records import Filter, Payment, list_orders, payments_of, trouble
from siyu.shop.pauses import ATTEMPTS_MAX, FIRST_PAUSE, LEASE, pause
from siyu.shop.payment import BALKS, Intent, PaymentProvider, Taken, TestProvider, providers
from siyu.shop.request import GiveBack, Move, OrderView, Pay, Place, Retry, WantedLine, refunds
from siyu.shop.retrying import RefundNotFound, retry
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of

from .shop_world import ShopWorld


@pytest.fixture
async def world(db: Database, events: EventStore, right_ledger: None) -> ShopWorld:
    return await ShopWorld.open(db, events)


class Flaky:
    """A provider that is away for a while."""

    name = "test"
    moves = True

    def __init__(self, away: int) -> None:
        self.away = away
        self.gave: Counter[str] = Counter()

    async def take(self, intent: Intent) -> Taken:
        raise NotImplementedError

    async def look(self, intent: Intent) -> Taken | None:
        raise NotImplementedError

    async def close(self, intent: Intent) -> Taken | None:
        raise NotImplementedError

    async def give_back(self, taken: Taken, refund_id: str, amount_fen: int) -> None:
        if self.away:
            self.away -= 1
            raise ConnectionError("the line is dead")
        self.gave[refund_id] = amount_fen


async def paid(world: ShopWorld, number: str, provider: str = "test") -> OrderView:
    place = Place(order_id=number, end="web", lines=(WantedLine("X1", 2, 5_000),))
    await world.orders.place(place, None, "test")
    return await world.orders.pay(number, Pay(provider=provider), None, "test")


async def back(world: ShopWorld, number: str, amount_fen: int, refund_id: str) -> OrderView:
    return await world.orders.move("refund", number, GiveBack(amount_fen=amount_fen, refund_id=refund_id), None, "test")


async def shown(world: ShopWorld, number: str) -> list[tuple[str, int, str, str]]:
    order = await world.orders.show(number)
    async with world.db.driver() as connection:
        found = refunds(await payments_of(connection, order.number)) or []
    return [(one.id, one.amount_fen, one.state, one.because) for one in found]


async def out(world: ShopWorld, *others: PaymentProvider) -> int:
    there = providers(world.db) | {one.name: one for one in others}
    return await pay_out(world.db, there, world.now)


@pytest.mark.parametrize("provider", ["test", "external"])
async def test_a_refund_is_planned_with_its_booking_and_done_by_the_job(world: ShopWorld, provider: str) -> None:
    await paid(world, "A", provider)
    answer = await back(world, "A", 3_000, "r1")
    assert answer.refunds is not None
    assert [(one.id, one.state) for one in answer.refunds] == [("r1", "planned")]
    assert await out(world) == 1
    assert await out(world) == 0
    assert await shown(world, "A") == [("r1", 3_000, "done", "")]
    world.later(seconds=1)  # two refunds of one instant have no order
    await world.orders.move("cancel", "A", Move(), None, "test")
    assert await out(world) == 1
    assert [one[1:3] for one in await shown(world, "A")] == [(3_000, "done"), (7_000, "done")]


async def test_a_provider_that_is_away_is_asked_again_after_growing_pauses(world: ShopWorld) -> None:
    await paid(world, "A")
    await back(world, "A", 3_000, "r1")
    flaky = Flaky(away=3)
    for attempt in range(1, 4):
        assert await out(world, flaky) == 1
        assert await shown(world, "A") == [("r1", 3_000, "planned", "ConnectionError: the line is dead")]
        world.later(seconds=pause(attempt).total_seconds() - 1)
        assert await out(world, flaky) == 0, "not yet"
        world.later(seconds=1)
    assert await out(world, flaky) == 1
    assert await shown(world, "A") == [("r1", 3_000, "done", "")]
    assert list(flaky.gave.values()) == [3_000]
    assert [pause(one) / FIRST_PAUSE for one in (1, 2, 3)] == [1, 2, 4]


async def test_a_provider_that_stays_away_is_given_up_and_one_that_refuses_at_once(world: ShopWorld) -> None:
    await paid(world, "A")
    await back(world, "A", 3_000, "r1")
    for _ in range(ATTEMPTS_MAX):
        assert await out(world, Flaky(away=1)) == 1
        world.later(days=1)
    assert await shown(world, "A") == [("r1", 3_000, "failed", "ConnectionError: the line is dead")]
    await paid(world, "B")
    await back(world, "B", 4_000, "r2")
    async with world.db.driver() as connection:
        await connection.execute("UPDATE shop_test_bank SET amount_fen = 3999 WHERE order_id = 'B'")
    assert await out(world) == 1
    (found,) = await shown(world, "B")
    assert found[2] == "failed"
    assert found[3].startswith("REFUND_EXCEEDS_PAID")


async def test_the_test_bank_gives_each_refund_once_and_never_more_than_was_paid(world: ShopWorld) -> None:
    bank = TestProvider(world.db)
    taken = await bank.take(Intent("A", 1_000, "p1", None))
    assert await bank.take(Intent("A", 1_000, "p1", None)) == taken
    with pytest.raises(Refused, match="another order"):
        await bank.take(Intent("B", 1_000, "p1", None))
    for _ in range(2):
        await bank.give_back(taken, "r1", 600)
    for refund, amount, code in (
        ("r1", 500, "IDEMPOTENCY_CONFLICT"), ("r2", 401, "REFUND_EXCEEDS_PAID"), ("r2", 400, ""),
        ("r3", 1, "REFUND_EXCEEDS_PAID"),
    ):  # fmt: skip
        found = ""
        try:
            await bank.give_back(taken, refund, amount)
        except Refused as refused:
            found = refused.code
        assert found == code
    with pytest.raises(Refused) as unknown:
        await bank.give_back(Taken("test", "nobody's", 1), "r", 1)
    assert unknown.value.code == "PAYMENT_NOT_FOUND"


async def test_a_claim_is_one_workers_and_over_with_its_time(world: ShopWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    await paid(world, "A")
    await back(world, "A", 3_000, "r1")

    async def claim() -> list[Payment]:
        async with world.db.begin() as conn:
            return await payment_records.claim(await driver_of(conn), world.at, world.at + LEASE, 9)

    async def decide(one: Payment) -> bool:
        async with world.db.begin() as conn:
            return await payment_records.decide(await driver_of(conn), one, "done", "", None)

    (first,) = await claim()
    assert await claim() == []
    assert (await shown(world, "A"))[0][2] == "sending"
    world.later(seconds=LEASE.total_seconds())
    (second,) = await claim()
    assert not await decide(first), "its claim was over"
    assert await decide(second)
    assert await claim() == []
    # Without its time in the WHERE clause two have the same claim.
    await back(world, "A", 100, "r2")
    monkeypatch.setattr(
        payment_records,
        "_CLAIM",
        payment_records._CLAIM.replace(payment_records.CLAIM_GUARD, "AND $1::timestamptz IS NOT NULL"),
    )
    assert (len(await claim()), len(await claim())) == (1, 1)
    # Without the number of the attempt who was too slow decides all the same.
    (slow,) = await claim()
    await claim()
    monkeypatch.setattr(
        payment_records,
        "_DECIDE",
        payment_records._DECIDE.replace(payment_records.DECIDE_GUARD, "AND $5::int IS NOT NULL"),
    )
    assert await decide(slow)


async def test_a_payment_that_came_too_late_goes_back_and_another_ones_does_not(world: ShopWorld) -> None:
    await paid(world, "A")
    place = Place(order_id="B", end="web", lines=(WantedLine("X1", 2, 5_000),))
    await world.orders.place(place, None, "test")
    order = await world.orders.show("A")
    async with world.db.driver() as connection:
        (payment,) = await payments_of(connection, order.number)
    with pytest.raises(Refused, match="another order"):
        await world.orders.pay("B", Pay(provider="test", payment_id=payment.reference), None, "test")
    async with world.db.driver() as connection:
        assert await connection.fetchval("SELECT count(*) FROM shop_test_bank WHERE refund <> ''") == 0


async def test_what_failed_is_sent_again_when_asked_and_only_that(
    world: ShopWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def again(number: str, refund_id: str | None = None, key: str | None = None) -> list[str]:
        answer = await retry(world.db, number, Retry(refund_id=refund_id), key, world.now)
        return [one.state for one in answer.refunds or []]

    async def listed(money: str) -> list[str]:
        async with world.db.driver() as connection:
            counted = (await trouble(connection))[money]
            found = [one.order_id for one in await list_orders(connection, Filter(money=money), 9)]
        assert len(found) == counted
        return found

    place = Place(order_id="A", end="web", lines=(WantedLine("X1", 2, 5_000),))
    await world.orders.place(place, None, "test")
    await world.orders.pay("A", Pay(provider="test", card=BALKS), None, "test")
    await back(world, "A", 3_000, "r1")
    assert await listed("failed") == []
    assert await out(world) == 1
    declined = "REFUND_DECLINED: The bank of the card refused the refund."
    assert await shown(world, "A") == [("r1", 3_000, "failed", declined)]
    assert await listed("failed") == ["A"]
    await back(world, "A", 1_000, "r2")
    assert await out(world) == 1
    with pytest.raises(RefundNotFound):
        await again("A", "nobody's")
    assert await again("A", "r2") == ["failed", "done"]
    assert await again("A", "r1", "key") == ["planned", "done"]
    assert await shown(world, "A") == [("r1", 3_000, "planned", declined), ("r2", 1_000, "done", "")]
    assert await out(world) == 1
    assert await again("A", "r1", "key") == ["planned", "done"], "the reply of then"
    assert await again("A") == ["done", "done"]
    assert (await out(world), await listed("failed")) == (0, [])
    # One that a provider is away for has as many attempts again.
    await back(world, "A", 500, "r3")
    for _ in range(ATTEMPTS_MAX):
        await out(world, Flaky(away=1))
        world.later(days=1)
    assert await again("A") == ["done", "done", "planned"]
    for _ in range(3):
        await out(world, Flaky(away=1))
        world.later(days=1)
    assert await listed("stuck") == ["A"]
    assert await out(world) == 1
    assert await listed("stuck") == []
    # Without its state in the WHERE clause what is done is sent again.
    monkeypatch.setattr(payment_records, "_RETRY", payment_records._RETRY.replace(payment_records.RETRY_GUARD, ""))
    assert await again("A") == ["planned"] * 3


async def test_time_receives_and_completes(world: ShopWorld) -> None:
    days = Days(10, 15)
    for number in ("A", "B"):
        await paid(world, number)
        await world.orders.move("fulfil", number, Move(), None, "test")
    world.later(days=5)
    await back(world, "B", 100, "r")  # does not begin the days anew
    world.later(days=5, seconds=-1)
    assert await move_on(world.db, world.tools, days, world.now) == 0
    world.later(seconds=1)
    assert await move_on(world.db, world.tools, Days(0, 0), world.now) == 0
    assert await move_on(world.db, world.tools, days, world.now) == 2
    order = await world.orders.show("A")
    assert (order.state, order.steps[-1].name, order.steps[-1].by) == ("received", "order.received", "time")
    world.later(days=15)
    assert await move_on(world.db, world.tools, days, world.now) == 2
    assert (await world.orders.show("B")).state == "completed"
    names = Counter(one["name"] for one in await world.told())
    assert (names["order.received"], names["order.completed"]) == (2, 2)
    assert await move_on(world.db, world.tools, days, lambda: world.at + timedelta(days=99)) == 0
