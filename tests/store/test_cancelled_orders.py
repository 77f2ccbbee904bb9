"""Foreign orders that are cancelled after they were paid count nothing in figures of money, in whatever order told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from siyu.processor.records import plan
from siyu.processor.voiding import void_once
from siyu.profile.rights_records import ERASURE_LOCK
from siyu.shop.react import listen_once
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

from .membership_house import House

NET = "SELECT sum(value_fen) FROM events WHERE name IN ('order.paid', 'order.refunded', 'order.voided')"


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    house = await House.build(db, events)
    await house.happen("page", "u1")
    yield house
    await house.stream.close()


async def net(house: House) -> int:
    return int((await house.events.rows(NET))[0][0])


async def spent(house: House) -> int:
    """What RFM and dimensions go by."""
    async with house.db.driver() as connection:
        found: int = await connection.fetchval("SELECT coalesce(sum(value_fen), 0)::bigint FROM purchases")
    return found


async def tell(house: House, step: str, order: str, **more: Any) -> None:
    said = {"order_id": order, "shop": "mall"} | more
    if step == "paid":
        await house.happen("order.paid", value_fen=12_000, properties=said)
    elif step == "cancelled":
        await house.happen("Order Cancelled", properties=said)
    else:
        await house.happen("order.refunded", value_fen=-5_000, properties=said | {"refund_id": step})


async def test_a_paid_order_that_is_cancelled_lowers_the_tier_and_net_figures(house: House) -> None:
    await tell(house, "paid", "F0")
    await tell(house, "paid", "F1")
    await house.look()
    assert await house.tier() == "白银"
    await tell(house, "cancelled", "F1")
    await house.hear()
    await house.look()
    assert (await house.tier(), await net(house), await spent(house)) == ("普通", 12_000, 12_000)
    told = await house.told("order.voided")
    assert told == [{"order_id": "F1", "refund_fen": 12_000, "shop": "mall"}]
    assert (await house.available("points"), await house.available("growth")) == (120, 120)
    # What comes late: its refund, the whole story again, and nothing more is told.
    await tell(house, "r1", "F1")
    await tell(house, "cancelled", "F1")
    await house.hear()
    await house.look()
    assert (await net(house), await spent(house), len(await house.told("order.voided"))) == (12_000, 12_000, 1)
    assert len(await house.told("order.refunded")) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_in_whatever_order_and_however_often_steps_are_told(house: House, seed: int) -> None:
    chance = random.Random(seed)
    await tell(house, "paid", "kept")
    steps = [(step, f"F{n}") for n in range(4) for step in ("paid", "cancelled", *["r1", "r2"][: n % 3])]
    steps += [step for step in steps if step[0] == "cancelled" and chance.random() < 0.5]
    chance.shuffle(steps)
    for step, order in steps:
        await tell(house, step, order)
        if chance.random() < 0.4:
            await house.hear()
    await house.hear()
    assert (await net(house), await spent(house)) == (12_000, 12_000)


async def test_an_order_that_was_not_paid_or_wholly_refunded_leaves_nothing_to_tell(house: House) -> None:
    await tell(house, "cancelled", "F1")
    await house.hear()
    await tell(house, "r1", "F2")
    await tell(house, "paid", "F2")
    await house.happen(
        "order.refunded", value_fen=-7_000, properties={"order_id": "F2", "shop": "mall", "refund_id": "r9"}
    )
    await tell(house, "cancelled", "F2")
    await house.hear()
    assert (await house.told("order.voided"), await net(house)) == ([], 0)


async def test_a_refund_that_says_no_amount_gives_back_all_that_is_left(house: House) -> None:
    """Segment's full refund is `Order Refunded` with the order's number alone."""
    await tell(house, "paid", "F0")
    await tell(house, "paid", "F1")
    await tell(house, "r1", "F1")
    back = {"order_id": "F1", "shop": "mall"}
    await house.happen("Order Refunded", properties=back)
    await house.hear()
    await house.look()
    assert await house.told("order.voided") == [{"order_id": "F1", "refund_fen": 7_000, "shop": "mall"}]
    assert (await net(house), await spent(house), await house.tier()) == (12_000, 12_000, "普通")
    assert (await house.available("points"), await house.available("growth")) == (120, 120)
    # The same with its amount, and once more without: it went back already.
    await tell(house, "r2", "F1")
    await house.happen("Order Refunded", properties=back)
    await house.hear()
    assert (await net(house), len(await house.told("order.voided"))) == (12_000, 1)


async def test_goods_that_come_back_without_money_take_nothing(house: House) -> None:
    await tell(house, "paid", "F1")
    await house.happen("Order Refunded", properties={"order_id": "F1", "shop": "mall", "total": 0})
    await house.hear()
    assert (await house.told("order.voided"), await net(house)) == ([], 12_000)
    assert (await house.available("points"), await house.available("growth")) == (120, 120)
    async with house.db.driver() as connection:
        orders = await connection.fetch("SELECT state, paid_fen, refunded_fen FROM shop_orders")
    assert [tuple(one) for one in orders] == [("paid", 12_000, 0)]


async def test_while_a_batch_was_begun_and_left_nothing_is_told(house: House) -> None:
    await tell(house, "paid", "F1")
    await tell(house, "cancelled", "F1")
    async with house.db.driver() as connection:
        done = await connection.fetchval("SELECT done_offset FROM stream_positions")
        assert await plan(connection, 0, done, done + 1, "gone")
    assert await void_once(house.db, lambda: house.now) == 0
    await house.hear()
    assert await house.told("order.voided") == []


async def test_a_batch_in_work_ends_before_a_rest_is_told(house: House) -> None:
    await tell(house, "paid", "F1")
    await tell(house, "cancelled", "F1")
    while await listen_once(house.db, lambda: house.now):
        pass
    async with house.db.driver() as batch:
        await batch.execute("SELECT pg_advisory_lock_shared($1)", ERASURE_LOCK)
        telling = asyncio.create_task(void_once(house.db, lambda: house.now))
        await asyncio.sleep(0.5)
        assert not telling.done()
        await batch.execute("SELECT pg_advisory_unlock_shared($1)", ERASURE_LOCK)
    assert await telling == 1


async def test_a_refund_of_somebody_elses_order_of_that_number_keeps_its_money(house: House) -> None:
    await tell(house, "paid", "F1")
    await tell(house, "cancelled", "F1")
    await house.hear()
    await house.happen("page", "u2")
    said = {"order_id": "F1", "shop": "mall", "refund_id": "x"}
    await house.happen("order.refunded", "u2", value_fen=-1_000, properties=said)
    assert await net(house) == -1_000
