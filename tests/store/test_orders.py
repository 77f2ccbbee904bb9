"""Orders on real engines: the way of an order, stock, retries, refusals, and what the stream hears of it."""

from __future__ import annotations

import asyncio
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from siyu.coupons.actions import quote
from siyu.coupons.owner import find_owner
from siyu.coupons.request import QuoteRequest
from siyu.coupons.template import PriceRule, Template
from siyu.errors import Conflict, IdempotencyConflict, Refused, WrongValue
from siyu.ledger.records import lock_holders
from siyu.shop import order_records, product_records
from siyu.shop.placing import WrongOrder
from siyu.shop.request import BackLine, GiveBack, Move, Pay, Place, WantedLine
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of

from .shop_world import PRODUCTS, SECRET, ShopWorld

ZONE = ZoneInfo("Asia/Shanghai")


@pytest.fixture
async def world(db: Database, events: EventStore, right_ledger: None) -> ShopWorld:
    await events.create_all()
    return await ShopWorld.open(db, events)


def lines(*wanted: tuple[str, int, int | None]) -> tuple[WantedLine, ...]:
    return tuple(WantedLine(sku, qty, price) for sku, qty, price in wanted)


def order(number: str, *wanted: tuple[str, int, int | None], **more: Any) -> Place:
    return Place(order_id=number, end="web", lines=lines(*wanted), **more)


async def test_the_way_of_an_order(world: ShopWorld) -> None:
    await world.stock("T1", 5)
    person = await world.person("U1")
    made = await world.orders.place(order("O1", ("T1", 2, None), ("free", 1, 700), person=person), "k1", "api")
    assert (made.state, made.list_fen, made.payable_fen) == ("created", 2 * 12_800 + 700, 2 * 12_800 + 700)
    assert await world.units("T1") == (5, 3, 2, 0)
    paid = await world.orders.pay("O1", Pay(amount_fen=made.payable_fen, provider="test"), "k2", "api")
    assert (paid.state, paid.paid_fen, paid.kept_fen) == ("paid", made.payable_fen, made.payable_fen)
    assert await world.units("T1") == (5, 3, 0, 2)
    assert await world.orders.pay("O1", Pay(amount_fen=made.payable_fen, provider="test"), "k2", "api") == paid
    assert (await world.orders.pay("O1", Pay(), None, "api")).state == "paid"
    for verb, state in (("fulfil", "fulfilled"), ("receive", "received"), ("complete", "completed")):
        assert (await world.orders.move(verb, "O1", Move(), None, "api")).state == state
        assert (await world.orders.move(verb, "O1", Move(), None, "api")).state == state
    back = GiveBack(lines=(BackLine("T1", 1),), refund_id="R1")
    refunded = await world.orders.move("refund", "O1", back, "k3", "api")
    assert refunded.refund is not None and refunded.refund.amount_fen == 12_800
    assert await world.units("T1") == (5, 4, 0, 1)
    assert (await world.orders.move("refund", "O1", back, None, "api")).refunded_fen == 12_800
    rest = await world.orders.move("refund", "O1", GiveBack(), None, "api")
    assert (rest.state, rest.kept_fen) == ("refunded", 0)
    assert await world.units("T1") == (5, 5, 0, 0)
    told = await world.told()
    assert [(one["name"], one["value_fen"]) for one in told] == [
        ("order.created", 0), ("order.paid", 26_300), ("order.fulfilled", 0), ("order.received", 0),
        ("order.completed", 0), ("order.refunded", -12_800), ("order.refunded", -13_500),
    ]  # fmt: skip
    assert {one["anchor"] for one in told} == {"user_id\x1fU1"}
    assert len({one["event_id"] for one in told}) == 7


async def quoted(world: ShopWorld, end: str, *told: dict[str, Any]) -> list[int]:
    request = msgspec.convert({"end": end, "lines": told}, QuoteRequest)
    async with world.db.transaction() as connection:
        found = await quote(connection, world.tools.pricing, request, world.at)
    return [line.list_fen for line in found.lines]


async def test_a_quote_without_a_price_is_of_the_list(world: ShopWorld) -> None:
    line = {"sku": "T1", "qty": 2}
    assert await quoted(world, "web", line, line | {"price_fen": 5}) == [2 * 12_800, 10]
    assert await quoted(world, "app", line) == [2 * 11_800]
    with pytest.raises(WrongValue, match="needs a price_fen") as wrong:
        await quoted(world, "web", {"sku": "free", "qty": 1})
    assert wrong.value.details["path"] == "lines"


async def test_a_quote_has_no_list_price_of_what_is_not_sold_any_more(world: ShopWorld) -> None:
    gone = msgspec.structs.replace(PRODUCTS[0], on_sale=False, version=2)
    async with world.db.transaction() as connection:
        assert await product_records.put_product(connection, gone, world.at)
    with pytest.raises(Refused, match="not sold any more") as ended:
        await quoted(world, "web", {"sku": "T1", "qty": 1})
    assert ended.value.code == "ENDED"
    assert await quoted(world, "web", {"sku": "T1", "qty": 1, "price_fen": 700}) == [700]


async def test_the_same_key_has_the_same_answer_also_when_it_was_refused(world: ShopWorld) -> None:
    await world.stock("T1", 1)
    assert (await world.orders.place(order("O1", ("T1", 1, None)), "a", "api")).order_id == "O1"
    with pytest.raises(Refused) as short:
        await world.orders.place(order("O2", ("T1", 1, None)), "b", "api")
    assert (short.value.code, short.value.details["there"]) == ("OUT_OF_STOCK", 0)
    await world.stock("T1", 5)
    with pytest.raises(Refused) as again:
        await world.orders.place(order("O2", ("T1", 1, None)), "b", "api")
    assert again.value.code == "OUT_OF_STOCK"
    with pytest.raises(IdempotencyConflict):
        await world.orders.place(order("O3", ("T1", 1, None)), "b", "api")
    assert (await world.orders.place(order("O2", ("T1", 1, None)), "c", "api")).state == "created"
    assert (await world.orders.place(order("O2", ("T1", 1, None)), None, "api")).order_id == "O2"
    with pytest.raises(Refused) as other:
        await world.orders.place(order("O2", ("T1", 2, None)), None, "api")
    assert other.value.code == "DUPLICATE"
    with pytest.raises(WrongOrder):
        await world.orders.place(order("O4", ("unknown", 1, None)), "d", "api")
    assert (await world.orders.place(order("O4", ("unknown", 1, 5)), "d", "api")).list_fen == 5


async def test_the_price_list_is_asked(world: ShopWorld) -> None:
    await world.stock("T1", 5)
    with pytest.raises(Refused) as changed:
        await world.orders.place(order("O1", ("T1", 1, 9_900)), None, "api")
    assert (changed.value.code, changed.value.details["price_fen"]) == ("PRICE_CHANGED", 12_800)
    place = Place(order_id="O1", end="app", lines=lines(("T1", 1, 11_800)))
    assert (await world.orders.place(place, None, "api")).payable_fen == 11_800


async def test_an_unpaid_order_lapses_and_frees_what_it_held(world: ShopWorld) -> None:
    await world.stock("T1", 1)
    await world.orders.place(order("O1", ("T1", 1, None), pay_within_s=300), None, "api")
    world.later(seconds=299)
    with pytest.raises(Refused):
        await world.orders.place(order("O2", ("T1", 1, None)), None, "api")
    world.later(seconds=1)
    with pytest.raises(Refused) as late:
        await world.orders.pay("O1", Pay(provider="test"), None, "api")
    assert late.value.code == "ENDED"
    assert (await world.orders.place(order("O3", ("T1", 1, None)), None, "api")).state == "created"
    await world.tend()
    lapsed = await world.orders.show("O1")
    assert (lapsed.state.value, lapsed.lapsed) == ("cancelled", True)
    assert await world.units("T1") == (1, 0, 1, 0)
    with pytest.raises(Refused) as code:
        await world.orders.pay("O1", Pay(provider="test"), None, "api")
    assert code.value.code == "ENDED"


async def test_steps_out_of_turn_are_refused_with_their_reason(world: ShopWorld) -> None:
    await world.stock("T1", 9)

    async def code(call: Any) -> str:
        with pytest.raises(Conflict) as refused:
            await call
        return refused.value.code

    await world.orders.place(order("O1", ("T1", 2, None)), None, "api")
    for verb, wanted in (("fulfil", "NOT_PAID"), ("receive", "NOT_FULFILLED"), ("complete", "NOT_RECEIVED")):
        assert await code(world.orders.move(verb, "O1", Move(), None, "api")) == wanted
    assert await code(world.orders.move("refund", "O1", GiveBack(), None, "api")) == "NOT_PAID"
    declined = Pay(provider="test", card="4000000000000002")
    assert await code(world.orders.pay("O1", declined, "no", "api")) == "PAYMENT_DECLINED"
    assert await code(world.orders.pay("O1", declined, "no", "api")) == "PAYMENT_DECLINED"
    assert await code(world.orders.pay("O1", Pay(amount_fen=1), None, "api")) == "AMOUNT_MISMATCH"
    await world.orders.pay("O1", Pay(provider="test"), None, "api")
    too_much = GiveBack(amount_fen=25_601)
    assert await code(world.orders.move("refund", "O1", too_much, None, "api")) == "REFUND_EXCEEDS_PAID"
    cancelled = await world.orders.move("cancel", "O1", Move(note="changed my mind"), None, "api")
    assert (cancelled.state, cancelled.kept_fen) == ("cancelled", 0)
    assert await world.units("T1") == (9, 9, 0, 0)
    assert await code(world.orders.pay("O1", Pay(), None, "api")) == "ORDER_CANCELLED"
    await world.orders.place(order("O2", ("T1", 2, None)), None, "api")
    await world.orders.pay("O2", Pay(), None, "api")
    await world.orders.move("fulfil", "O2", Move(), None, "api")
    assert await code(world.orders.move("cancel", "O2", Move(), None, "api")) == "ALREADY_FULFILLED"
    # What went back wholly is over: nothing is left to be cancelled.
    await world.orders.place(order("O3", ("T1", 2, None)), None, "api")
    await world.orders.pay("O3", Pay(), None, "api")
    await world.orders.move("refund", "O3", GiveBack(), None, "api")
    assert await code(world.orders.move("cancel", "O3", Move(), None, "api")) == "ORDER_REFUNDED"
    assert [one["name"] for one in await world.told()].count("order.cancelled") == 1


async def test_the_last_item_has_one_buyer(world: ShopWorld) -> None:
    await world.stock("T1", 10)
    answers = await asyncio.gather(
        *(world.orders.place(order(f"O{n}", ("T1", 1, None)), f"k{n % 60}-{n}", "api") for n in range(100)),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, Exception) for one in answers) == 10
    assert {one.code for one in answers if isinstance(one, Refused)} == {"OUT_OF_STOCK"}
    assert await world.units("T1") == (10, 0, 10, 0)


async def test_the_same_order_asked_for_at_once_is_one(world: ShopWorld) -> None:
    await world.stock("T1", 10)
    answers = await asyncio.gather(*(world.orders.place(order("O1", ("T1", 1, None)), None, "api") for _ in range(20)))
    assert {one.number for one in answers} == {answers[0].number}
    payments = await asyncio.gather(*(world.orders.pay("O1", Pay(provider="test"), None, "api") for _ in range(20)))
    assert {one.paid_fen for one in payments} == {12_800}
    assert await world.units("T1") == (10, 9, 0, 1)
    async with world.db.driver() as connection:
        assert len(await order_records.payments_of(connection, answers[0].number)) == 1


async def test_points_and_a_coupon_pay_a_part_and_go_back_with_it(world: ShopWorld) -> None:
    """Discounts are shared over the lines; a refund in part brings its share of money and points; the rest the rest."""
    await world.stock("T1", 9)
    await world.stock("C1", 9)
    person = await world.person("U1")
    await world.template(Template(id="N88", label_zh="88 折", kind="percent_pay", pay_percent=88, per_user=1))
    code = await world.coupon("N88", person)
    await world.earn(person, 1_000)
    wanted = order("O1", ("T1", 2, None), ("C1", 1, None), person=person, coupons=(code,), points=1_000)
    made = await world.orders.place(wanted, "k", "api")
    listed = 2 * 12_800 + 8_901
    off = listed - listed * 88 // 100
    assert (made.list_fen, made.payable_fen) == (listed, listed - off - 1_000)
    assert sum(line.payable_fen for line in made.lines) == made.payable_fen
    assert sum(one.amount_fen for one in made.discounts) == off + 1_000
    assert await world.points(person) == (0, 1_000)
    assert await world.orders.place(wanted, "k", "api") == made
    with pytest.raises(Refused) as used:
        await world.orders.place(order("O2", ("T1", 1, None), person=person, coupons=(code,)), None, "api")
    assert (used.value.code, str(used.value)) == ("LOCKED", "It is set aside for another purchase.")
    assert await world.units("T1") == (9, 7, 2, 0), "a refused order holds nothing"
    await world.orders.pay("O1", Pay(amount_fen=made.payable_fen), None, "api")
    assert await world.points(person) == (0, 0)
    first = await world.orders.move("refund", "O1", GiveBack(lines=(BackLine("T1"),)), None, "api")
    assert first.refund is not None and first.refund.amount_fen == made.lines[0].payable_fen // 2
    assert 0 < first.refund.points < 1_000
    assert await world.points(person) == (first.refund.points, 0)
    rest = await world.orders.move("refund", "O1", GiveBack(), None, "api")
    assert rest.refund is not None and rest.state == "refunded"
    assert rest.refund.amount_fen + first.refund.amount_fen == made.payable_fen
    assert await world.points(person) == (1_000, 0)
    assert await world.units("T1") == (9, 9, 0, 0)
    again = order("O3", ("T1", 1, None), person=person, coupons=(code,))
    assert (await world.orders.place(again, None, "api")).payable_fen == 12_800 * 88 // 100


async def test_a_cancelled_or_lapsed_order_frees_coupon_and_points(world: ShopWorld) -> None:
    await world.stock("T1", 9)
    person = await world.person("U1")
    await world.template(Template(id="A5", label_zh="减 5 元", kind="amount", off_fen=500, per_user=1))
    code = await world.coupon("A5", person)
    await world.earn(person, 300)
    for number, ends in (("O1", "cancel"), ("O2", "lapse"), ("O3", "")):
        made = order(number, ("T1", 1, None), person=person, coupons=(code,), points=300)
        assert (await world.orders.place(made, None, "api")).payable_fen == 12_800 - 500 - 300
        assert await world.points(person) == (0, 300)
        if ends == "cancel":
            await world.orders.move("cancel", number, Move(), None, "api")
        elif ends == "lapse":
            world.later(seconds=1_800)
            await world.tend()
        assert await world.points(person) == ((300, 0) if ends else (0, 300))
    assert await world.units("T1") == (9, 8, 1, 0)


async def test_the_first_order_discount_is_held_by_the_pending_order(world: ShopWorld) -> None:
    """SC17: two orders at once, one discount."""
    await world.stock("T1", 9)
    person = await world.person("U1")
    await world.price_rule(
        PriceRule(id="first", off_fen=5_000, condition={"person": "first_paid_order", "op": "eq", "value": True},
                  stack="exclusive")
    )  # fmt: skip
    answers = await asyncio.gather(
        *(world.orders.place(order(f"O{n}", ("T1", 1, None), person=person), None, "api") for n in range(2))
    )
    assert sorted(one.payable_fen for one in answers) == [7_800, 12_800]
    held = next(one for one in answers if one.payable_fen == 7_800)
    await world.orders.move("cancel", held.order_id, Move(), None, "api")


@pytest.mark.parametrize("asked", ["refund", "place"])
async def test_a_group_waits_for_accounts_before_it_holds_any(world: ShopWorld, asked: str) -> None:
    """Whoever earns points for both in the order of their accounts meanwhile is not in the way of a group that comes to
    the second person first: that would be a deadlock, which PostgreSQL ends after a second."""
    first, second = await world.person("U1"), await world.person("U2")
    for person in (first, second):
        await world.earn(person, 1_000)
    paying: dict[str, Any] = {"O1": first, "O2": second}
    if asked == "refund":
        for number, person in paying.items():
            await world.orders.place(order(number, ("free", 1, 700), person=person, points=100), None, "api")
            await world.orders.pay(number, Pay(), None, "api")
    holders = []
    async with world.db.driver() as connection:
        for person in (first, second):
            holders.append((await find_owner(connection, person, SECRET, world.at)).holders)

    def ask(number: str) -> Any:
        if asked == "refund":
            return world.orders.move("refund", number, GiveBack(), None, "api")
        return world.orders.place(order(number, ("free", 1, 700), person=paying[number], points=100), None, "api")

    async with world.db.begin() as conn:
        connection = await driver_of(conn)
        await lock_holders(connection, holders[0])
        group = asyncio.gather(ask("O2"), ask("O1"))
        for _ in range(500):
            await asyncio.sleep(0.02)
            if await _is_waited_for(world.db):
                break
        await connection.execute("SET LOCAL lock_timeout = '300ms'")
        await lock_holders(connection, holders[1])
    for done in await group:
        assert done.state == ("refunded" if asked == "refund" else "created")


async def _is_waited_for(db: Database) -> bool:
    async with db.driver() as connection:
        return bool(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
        )
