"""Money of foreign orders that several ends tell, each under its own event id: once in every figure."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from siyu.errors import EngineUnavailable
from siyu.ids import identifier_key
from siyu.shop.rights_records import forget
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

from .membership_house import House

PAID = ("order.paid", "Order Completed", "PayOrder")
MONEY = f"name IN {(*PAID, 'order.refunded', 'Order Refunded', 'order.voided')}"
SITE: dict[str, Any] = {"source": "site", "end": "web"}
HOOK: dict[str, Any] = {"source": "mall", "end": "shop"}


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    house = await House.build(db, events)
    await house.happen("page", "u1")
    yield house
    await house.stream.close()


async def figures(house: House) -> tuple[int, int, int, int]:
    """Money net and payments, as questions see them; money and rows that RFM and dimensions go by."""
    ((net, paid),) = await house.events.rows(f"SELECT sumIf(value_fen, {MONEY}), countIf(name IN {PAID}) FROM events")
    async with house.db.driver() as connection:
        row = await connection.fetchrow(
            "SELECT coalesce(sum(value_fen), 0)::bigint, count(*) FILTER (WHERE value_fen > 0) FROM purchases"
        )
    return int(net), int(paid), row[0], row[1]


async def site_pays(house: House, order: str = "O1", user: str = "u1", fen: int = 10_000, **said: Any) -> None:
    await house.happen("Order Completed", user, value_fen=fen, properties={"orderId": order} | said, **SITE)


async def hook_pays(house: House, order: str = "O1", user: str = "u1", fen: int = 10_000, **said: Any) -> None:
    said = {"order_id": order, "shop": "mall"} | said
    await house.happen("order.paid", user, value_fen=fen, properties=said, **HOOK)


@pytest.mark.parametrize("order", itertools.permutations((site_pays, hook_pays)))
async def test_a_payment_that_the_site_and_the_shop_tell_is_one(house: House, order: tuple[Any, ...]) -> None:
    for pays in order:
        await pays(house)
    await house.look()
    assert await figures(house) == (10_000, 1, 10_000, 1)
    assert (await house.available("points"), await house.available("growth")) == (100, 100)
    (echo,) = await house.told("order.echoed")
    first = (await house.events.rows(f"SELECT event_id, name FROM events WHERE name IN {PAID}"))[0]
    assert echo["first_event_id"] == first[0]
    assert {echo["echo_of"], first[1]} == {"order.paid", "Order Completed"}


async def test_what_tells_payments_apart(house: House) -> None:
    await house.happen("page", "u2")
    await site_pays(house, "lines", fen=3_000)
    await site_pays(house, "lines", fen=7_000)  # one end, two rows of an order
    assert await figures(house) == (10_000, 2, 10_000, 2)
    await hook_pays(house, "lines", fen=10_000)
    assert await figures(house) == (10_000, 2, 10_000, 2)
    await hook_pays(house, "parts", fen=1_000, payment_id="p1")
    await hook_pays(house, "parts", fen=1_000, payment_id="p2")
    await hook_pays(house, "parts", fen=1_000, payment_id="p1")
    await site_pays(house, "parts", fen=2_000)
    assert await figures(house) == (12_000, 4, 12_000, 4)
    await hook_pays(house, "shops", fen=500)
    await house.happen(
        "order.paid", value_fen=500, properties={"order_id": "shops", "shop": "other"}, source="other", end="shop"
    )
    assert (await figures(house))[:2] == (13_000, 6)
    await site_pays(house, "whose", fen=500)
    await hook_pays(house, "whose", "u2", fen=500)
    assert (await figures(house))[:2] == (14_000, 8)
    await site_pays(house, "free", fen=0)
    await hook_pays(house, "free", fen=0)
    assert (await figures(house))[:2] == (14_000, 9)


async def test_under_another_identifier_of_the_same_person(house: House) -> None:
    await house.happen("page", "phone=+8613800138000")
    await house.merge("u1", "phone=+8613800138000")
    await site_pays(house)
    await hook_pays(house, user="phone=+8613800138000")
    assert await figures(house) == (10_000, 1, 10_000, 1)


async def test_in_the_batch_that_first_ties_the_buyer_to_their_phone(house: House) -> None:
    phone = identifier_key("phone", "+8613800138000")
    said = {"order_id": "O1"}
    await house.send("Order Completed", value_fen=10_000, properties=said, others=phone, **SITE)
    await house.send("order.paid", "phone=+8613800138000", value_fen=10_000, properties=said | {"shop": "mall"}, **HOOK)
    await house.worker.step(1)
    assert await figures(house) == (10_000, 1, 10_000, 1)


async def test_refunds_are_told_apart_by_their_number(house: House) -> None:
    await site_pays(house)
    for told in (SITE, HOOK):
        said = {"order_id": "O1", "refund_id": "r1"}
        await house.happen("Order Refunded", value_fen=-3_000, properties=said, **told)
    assert (await figures(house))[0] == 7_000
    assert await house.available("points") == 70
    for _ in range(2):
        await house.happen("Order Refunded", value_fen=-1_000, properties={"order_id": "O1"}, **SITE)
    assert (await figures(house))[0] == 5_000


async def test_in_one_batch_and_in_a_batch_that_is_repeated(house: House) -> None:
    await house.send("Order Completed", value_fen=10_000, properties={"order_id": "O1"}, **SITE)
    await house.send("order.paid", value_fen=10_000, properties={"order_id": "O1", "shop": "mall"}, **HOOK)
    store = house.worker._events

    class Broken:
        """Cut off before or after the insert."""

        def __init__(self, after: bool) -> None:
            self.after = after

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def insert(self, *args: Any, **kwargs: Any) -> None:
            if self.after:
                await store.insert(*args, **kwargs)
            raise EngineUnavailable("cut off", engine="clickhouse")

    for after in (False, True):
        house.worker._events = Broken(after)  # type: ignore[assignment]
        with pytest.raises(EngineUnavailable):
            await house.worker.step(1)
        house.worker.reset()
    house.worker = house.worker_of(0)
    await house.worker.step(1)
    assert await figures(house) == (10_000, 1, 10_000, 1)
    assert len(await house.told("order.echoed")) == 1


@pytest.mark.parametrize("order", itertools.permutations(range(4)))
async def test_a_cancelled_order_that_two_ends_tell_counts_nothing(house: House, order: tuple[int, ...]) -> None:
    """In every order: the site's payment and the shop's, then a cancellation of each."""
    for step in order:
        if step == 0:
            await site_pays(house)
        elif step == 1:
            await hook_pays(house)
        elif step == 2:
            await house.happen("order.cancelled", properties={"order_id": "O1", "shop": "mall"}, **HOOK)
        else:
            await house.happen("Order Cancelled", properties={"order_id": "O1"}, **SITE)
        await house.hear()
    await house.look()
    assert (await figures(house))[0] == 0
    assert (await figures(house))[2] == 0


@pytest.mark.parametrize("seed", range(10))
async def test_refunded_in_part_and_cancelled_by_two_ends_in_some_order(house: House, seed: int) -> None:
    chance = random.Random(seed)
    mall = {"order_id": "O1", "shop": "mall"}
    steps: list[Callable[[], Awaitable[None]]] = [
        lambda: site_pays(house),
        lambda: hook_pays(house),
        lambda: house.happen("order.refunded", value_fen=-4_000, properties=mall, **HOOK),
        lambda: house.happen("order.refunded", value_fen=-1_000, properties=mall | {"refund_id": "r1"}, **HOOK),
        lambda: house.happen(
            "Order Refunded", value_fen=-1_000, properties={"orderId": "O1", "refund_id": "r1"}, **SITE
        ),
        lambda: house.happen("order.cancelled", properties=mall, **HOOK),
        lambda: house.happen("Order Cancelled", properties={"order_id": "O1"}, **SITE),
    ]
    chance.shuffle(steps)
    for step in steps:
        await step()
        if chance.random() < 0.5:
            await house.hear()
    await house.hear()
    assert ((await figures(house))[0], (await figures(house))[2]) == (0, 0)


@pytest.mark.parametrize("site_first", [True, False])
async def test_a_cancellation_of_the_shop_alone_takes_off_what_counted(house: House, site_first: bool) -> None:
    pays = (site_pays, hook_pays) if site_first else (hook_pays, site_pays)
    for one in pays:
        await one(house)
    said = {"order_id": "O1", "shop": "mall", "refund_id": "r1"}
    await house.happen("order.refunded", value_fen=-4_000, properties=said, **HOOK)
    await house.happen("order.cancelled", properties={"order_id": "O1", "shop": "mall"}, **HOOK)
    await house.hear()
    await house.look()
    assert (await figures(house))[0] == 0
    assert [one["refund_fen"] for one in await house.told("order.voided")] == [6_000]
    async with house.db.driver() as connection:
        listed = await connection.fetch("SELECT source, state, paid_fen FROM shop_orders ORDER BY source")
    assert [tuple(row) for row in listed] == [("events", "paid", 10_000), ("mall", "cancelled", 10_000)]


async def test_numbers_that_no_text_can_hold_stop_nothing(house: House) -> None:
    for event_id in ("a\x00b", "a\x00c"):
        await house.happen(
            "order.paid", event_id=event_id, value_fen=100, properties={"order_id": "O\x001", "payment_id": "\x00p"}
        )
    assert (await figures(house))[:2] == (100, 1)


async def test_an_erased_person_leaves_no_claim(house: House) -> None:
    await hook_pays(house)
    async with house.db.driver() as connection:
        assert await connection.fetchval("SELECT count(*) FROM shop_claims") == 1
        anchors = [row[0] for row in await connection.fetch("SELECT id FROM identifiers")]
        assert (await forget(connection, anchors))["shop_claims"] == 1
    async with house.db.driver() as connection:
        assert await connection.fetchval("SELECT count(*) FROM shop_claims") == 0
