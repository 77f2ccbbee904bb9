"""Orders of our own shop that an end tells of once more: the money is the shop's to tell."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from siyu.coupons.pricing import Pricing
from siyu.ids import identifier_key
from siyu.loyalty.request import Identifier
from siyu.shop import Orders
from siyu.shop.placing import Tools
from siyu.shop.request import GiveBack, Pay, Place, WantedLine
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

from .membership_house import SECRET, ZONE, House


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    house = await House.build(db, events)
    await house.happen("page", "u1")
    yield house
    await house.stream.close()


async def bought(house: House, order_id: str) -> Orders:
    """An order of 100 yuan in our own shop, by u1."""
    orders = Orders(house.db, lambda: house.now, Tools(Pricing(house.events, house.ledger, ZONE, SECRET, 100), 1_800))
    person = Identifier("user_id", "u1")
    line = WantedLine("free", 1, 10_000)
    await orders.place(Place(order_id=order_id, end="web", person=person, lines=(line,)), None, "api")
    await orders.pay(order_id, Pay(amount_fen=10_000, provider="test"), None, "api")
    await house.look()
    return orders


async def test_a_refund_of_our_own_order_that_an_end_tells_again_takes_once(house: House) -> None:
    orders = await bought(house, "O1")
    assert (await house.available("points"), await house.available("growth")) == (100, 100)
    await house.happen("order.paid", value_fen=10_000, properties={"order_id": "O1", "payment_id": "wx1"})
    assert (await house.available("points"), await house.available("growth")) == (100, 100)
    # The end hears of it first; what it says of the money is what the shop says a moment later.
    await house.refund(3_000, "O1")
    await orders.move("refund", "O1", GiveBack(amount_fen=3_000), None, "api")
    await house.look()
    assert (await house.available("points"), await house.available("growth")) == (70, 70)
    await house.refund(3_000, "O1")
    await house.happen("Order Refunded", value_fen=-3_000, properties={"orderId": "O1", "refund_id": "r9"})
    await house.happen("order.cancelled", properties={"order_id": "O1"})
    assert (await house.available("points"), await house.available("growth")) == (70, 70)


async def test_an_order_of_ours_that_an_end_tells_again_counts_once_in_every_figure(house: House) -> None:
    orders = await bought(house, "O1")
    await house.happen("PayOrder", value_fen=10_000, properties={"order_id": "O1", "payment_id": "wx1"}, end="app")
    await house.look()
    assert await house.tier() == "普通"
    assert await figures(house) == (10_000, 10_000, 1)
    assert await kept(house) == (1, 10_000)
    await house.refund(3_000, "O1")
    await orders.move("refund", "O1", GiveBack(amount_fen=3_000), None, "api")
    await house.happen("order.cancelled", properties={"order_id": "O1"})
    await house.look()
    assert await figures(house) == (7_000, 10_000, 1)
    assert await kept(house) == (2, 7_000)
    echoes = await house.told("order.echoed")
    assert [one["echo_of"] for one in echoes] == ["PayOrder", "order.refunded", "order.cancelled"]
    assert echoes[0]["payment_id"] == "wx1"
    # Somebody else's order of the same number is no echo, and neither is the own order of another shop.
    await house.pay(5_000, "u2", order="O1")
    await house.happen("order.paid", value_fen=2_000, properties={"order_id": "O1", "shop": "mall"})
    assert await figures(house) == (14_000, 17_000, 3)


async def test_an_echo_in_the_batch_that_first_ties_its_teller_to_the_buyer(house: House) -> None:
    await bought(house, "O1")
    openid = "openid:wx1=o-1"
    said = {"order_id": "O1"}
    await house.happen("PayOrder", openid, value_fen=10_000, properties=said, others=identifier_key("user_id", "u1"))
    assert await figures(house) == (10_000, 10_000, 1)


async def figures(house: House) -> tuple[int, ...]:
    """Of everybody: money net, money paid, payments."""
    paid = await house.events.rows(
        "SELECT sumIf(value_fen, name IN ('order.paid', 'PayOrder', 'order.refunded')),"
        " sumIf(value_fen, name IN ('order.paid', 'PayOrder')), countIf(name IN ('order.paid', 'PayOrder')) FROM events"
    )
    return tuple(int(number) for number in paid[0])


async def kept(house: House) -> tuple[int, int]:
    """The money that RFM and dimensions go by: rows and sum."""
    async with house.db.driver() as connection:
        row = await connection.fetchrow("SELECT count(*), sum(value_fen)::bigint FROM purchases")
    return row[0], row[1]


async def test_two_refunds_in_part_of_a_foreign_order_are_two(house: House) -> None:
    await house.pay(10_000, order="F1")
    await house.refund(3_000, "F1")
    await house.refund(3_000, "F1")
    assert await house.available("points") == 40


async def test_a_foreign_order_of_the_same_number_that_somebody_else_bought_is_another_one(house: House) -> None:
    await bought(house, "O1")
    await house.pay(5_000, "u2", order="O1")
    await house.refund(1_000, "O1", "u2")
    assert await house.available("points", "u2") == 40
