"""Refunds of connected shops that name no buyer, and numbers that two shops share: whose points they take back."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from siyu.collect.event import Event
from siyu.collect.frame import Arrival, frames_of
from siyu.identity.link_records import WRITER_LOCK
from siyu.processor.records import open_partition
from siyu.shop.foreign import order_key
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of

from .membership_house import House

BUYER = "openid:a=9"


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    house = await House.build(db, events)
    yield house
    await house.stream.close()


async def standing(house: House, who: str = BUYER) -> tuple[int, int]:
    return await house.available("points", who), await house.available("growth", who)


async def paid(house: House, shop: str, who: str = BUYER, order: str = "77") -> None:
    await house.happen(
        "order.paid", who, value_fen=20_000, properties={"order_id": order, "shop": shop}, others=order_key(shop, order)
    )


async def back(house: House, shop: str, fen: int = 8_000, order: str = "77", refund: str = "R1") -> None:
    said = {"order_id": order, "shop": shop, "refund_id": refund}
    key = order_key(shop, order).split("\x1f")
    await house.happen("order.refunded", "=".join(key), value_fen=-fen, properties=said)


@pytest.mark.parametrize("steps", sorted(set(itertools.permutations("prs"))))
async def test_a_refund_without_a_buyer_is_of_who_paid_in_any_order(house: House, steps: tuple[str, ...]) -> None:
    for step in steps:
        await (paid(house, "a") if step == "p" else back(house, "a", refund=step))
    assert await standing(house) == (40, 40)


async def test_refunds_of_two_shops_with_the_same_numbers_are_two(house: House) -> None:
    other = "openid:b=3"
    await paid(house, "a")
    await paid(house, "b", other)
    await back(house, "a")
    await back(house, "b", 5_000)
    await back(house, "b", 5_000)
    assert (await standing(house), await standing(house, other)) == ((120, 120), (150, 150))


async def test_an_order_told_under_two_identifiers_of_one_person_is_paid_once(house: House) -> None:
    await house.happen("page", "u1", others="openid:a\x1f9")
    for who in ("u1", BUYER):
        await house.happen("order.paid", who, value_fen=20_000, properties={"order_id": "77"})
    assert await standing(house, "u1") == (200, 200)
    # With the shop or without it: the end that names none speaks of the same order.
    await paid(house, "a")
    await house.happen("order.received", "u1", properties={"order_id": "77"})
    assert await standing(house, "u1") == (200, 200)


async def test_one_person_has_orders_of_one_number_in_two_shops(house: House) -> None:
    await house.happen("page", "u1", others="openid:a\x1f9\x1eopenid:b\x1f3")
    for _ in range(2):
        await paid(house, "a")
        await paid(house, "b", "openid:b=3")
        await paid(house, "c", "openid:b=3")
        await back(house, "a")
        await back(house, "b")
    assert await standing(house, "u1") == (440, 440)
    await house.happen("order.cancelled", "openid:b=3", properties={"order_id": "77", "shop": "c"})
    assert await standing(house, "u1") == (240, 240)


async def test_points_come_when_the_parcels_of_both_shops_have(house: House) -> None:
    await house.happen("page", "u1", others="openid:a\x1f9\x1eopenid:b\x1f3")
    await paid(house, "a")
    await paid(house, "b", "openid:b=3")
    for shop, usable in (("a", 0), ("b", 400)):
        await house.happen("order.received", "u1", properties={"order_id": "77", "shop": shop})
        assert await house.available("points", pending=False) == usable


async def test_a_refund_that_the_buyer_and_the_shop_tell_is_one(house: House) -> None:
    await paid(house, "a")
    said = {"order_id": "77", "refund_id": "R1"}
    await back(house, "a")
    await house.happen("order.refunded", BUYER, value_fen=-8_000, properties=said)
    await house.happen("order.refunded", BUYER, value_fen=-8_000, properties=said | {"shop": "a"})
    assert await standing(house) == (120, 120)


async def test_what_is_stored_without_a_shop_stays_known(house: House) -> None:
    await paid(house, "a")
    await back(house, "a")
    async with house.db.begin() as conn:
        await (await driver_of(conn)).execute("UPDATE point_order_money SET shop = ''")
    await paid(house, "a")
    await back(house, "a")
    assert await standing(house) == (120, 120)
    await back(house, "a", 1_000, refund="R2")
    assert await standing(house) == (110, 110)


async def test_payment_and_refund_that_meet_in_two_partitions(house: House) -> None:
    """The payment is not committed yet when the refund is judged in another partition of the stream."""
    said = json.dumps({"order_id": "77", "shop": "a", "refund_id": "R1"})
    at_ms = int(house.now.timestamp() * 1000)
    refund = Event("r", "order.refunded", at_ms, order_key("a", "77"), value_fen=-8_000, properties=said)
    (frame,) = frames_of([Arrival([refund], [], "key1", "web", at_ms)], 1, 10**7)
    async with house.db.driver() as connection:
        await open_partition(connection, 1)
        await connection.execute(
            'INSERT INTO stream_frames (partition, "offset", events, body) VALUES (1, 1, 1, $1)', frame.body
        )
    other = house.worker_of(1)
    async with house.db.driver() as holding:
        await holding.execute("SELECT pg_advisory_lock($1)", WRITER_LOCK)
        payment = asyncio.create_task(paid(house, "a"))
        await waiting(holding, 1)
        back = asyncio.create_task(other.step(1))
        await waiting(holding, 2)
        await holding.execute("SELECT pg_advisory_unlock($1)", WRITER_LOCK)
    await asyncio.gather(payment, back)
    assert await standing(house) == (120, 120)


async def waiting(connection: Any, wanted: int) -> None:
    """Until so many transactions wait for a lock."""
    for _ in range(400):
        if await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") >= wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nobody waits")
