"""The points mall on real engines: one transaction of points, stock, limit and gift; what follows from an order."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from siyu.coupons.template import Template
from siyu.errors import Refused
from siyu.loyalty.request import Identifier
from siyu.shop import mall_records, redeeming
from siyu.shop.mall import Item, Redeem, RedemptionView
from siyu.shop.redeeming import Taking
from siyu.shop.request import GiveBack, Pay
from siyu.shop.stock import Told
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of
from siyu.store.replies import Asked, once

from .shop_world import ShopWorld


@pytest.fixture
async def world(db: Database, events: EventStore, right_ledger: None) -> ShopWorld:
    await events.create_all()
    return await ShopWorld.open(db, events)


async def offer(world: ShopWorld, item: Item, units: int | None = None) -> None:
    async with world.db.begin() as conn:
        connection = await driver_of(conn)
        await redeeming.put_item(connection, item, world.at)
        if units is not None:
            await redeeming.add_units(connection, world.tools, item.id, units, Told(uuid4(), world.at, "test", "open"))


async def take(world: ShopWorld, item: str, person: Identifier, key: str | None = None) -> RedemptionView:
    body = Redeem(person=person)
    number = uuid4()

    async def do(connection: Any) -> RedemptionView:
        return await redeeming.redeem(connection, Taking(item, body, number, "test"), world.tools, world.at)

    return await once(world.db, Asked(key, f"mall/{item}", body), RedemptionView, do, world.now)


async def refusal(world: ShopWorld, item: str, person: Identifier) -> str:
    with pytest.raises(Refused) as refused:
        await take(world, item, person)
    return refused.value.code


async def left(world: ShopWorld, item: Item) -> int | None:
    async with world.db.driver() as connection:
        return (await redeeming.left_of(connection, [item]))[item.id]


async def test_a_coupon_for_points_within_the_limits(world: ShopWorld) -> None:
    person, other = await world.person("U1"), await world.person("U2")
    await world.template(Template(id="A5", label_zh="减 5 元", kind="amount", off_fen=500))
    item = Item(id="five", label="5 元券", gives="coupon", coupon="A5", points=100, limited=True, per_person=2)
    await offer(world, item, units=3)
    assert await refusal(world, "five", person) == "INSUFFICIENT"
    await world.earn(person, 1_000)
    await world.earn(other, 1_000)
    first = await take(world, "five", person, "k")
    assert (first.state, len(first.gives["coupon"]) > 8) == ("done", True)
    assert await take(world, "five", person, "k") == first
    await take(world, "five", person)
    assert await refusal(world, "five", person) == "LIMIT_REACHED"
    await take(world, "five", other)
    assert await refusal(world, "five", other) == "OUT_OF_STOCK"
    assert (await world.points(person), await world.points(other)) == ((800, 0), (900, 0))
    assert await left(world, item) == 0
    assert [one["name"] for one in await world.told()].count("mall.redeemed") == 3


async def test_windows_and_audience(world: ShopWorld) -> None:
    person = await world.person("U1")
    await world.earn(person, 1_000)
    terms: dict[str, Any] = {"label": "x", "gives": "code", "points": 1}
    later = world.at.replace(hour=world.at.hour + 1)
    await offer(world, Item(id="soon", starts_at=later, **terms))
    await offer(world, Item(id="over", ends_at=world.at, **terms))
    await offer(world, Item(id="gold", audience={"person": "trait.city", "op": "eq", "value": "广州"}, **terms))
    await offer(world, Item(id="tier", tiers=("gold",), **terms))
    both = {"person": "trait.city", "op": "ne", "value": "广州"}
    await offer(world, Item(id="both", tiers=("gold", "silver"), audience=both, **terms))
    await offer(world, Item(id="none", **terms))
    wanted = {
        "tier": "NOT_ELIGIBLE",
        "soon": "NOT_STARTED",
        "over": "ENDED",
        "gold": "NOT_ELIGIBLE",
        "none": "OUT_OF_STOCK",
    }
    assert {item: await refusal(world, item, person) for item in wanted} == wanted
    with pytest.raises(Refused) as refused:
        await take(world, "gold", person, "again")
    (why,) = refused.value.details["why"]  # type: ignore[misc]  # a list
    assert refused.value.details["because"] == "condition" and "广州" in why["zh"] and why["en"] in str(refused.value)
    with pytest.raises(Refused) as kept:
        await take(world, "gold", person, "again")
    assert kept.value.details == refused.value.details
    with pytest.raises(Refused) as other_tier:
        await take(world, "both", person, "tier")
    (why,) = other_tier.value.details["why"]  # type: ignore[misc]  # a list; the city is right
    assert "会员等级" in why["zh"] and "gold" in why["zh"] and "silver" in why["en"]
    assert await world.points(person) == (1_000, 0)


async def test_a_code_is_given_once(world: ShopWorld) -> None:
    await offer(world, Item(id="vip", label="会员卡", gives="code", points=1))
    async with world.db.driver() as connection:
        assert await mall_records.add_codes(connection, "vip", [f"CODE-{n}" for n in range(5)]) == 5
    persons = [await world.person(f"U{n}") for n in range(8)]
    for person in persons:
        await world.earn(person, 10)
    answers = await asyncio.gather(*(take(world, "vip", person) for person in persons), return_exceptions=True)
    given = [one.gives["code"] for one in answers if isinstance(one, RedemptionView)]
    assert sorted(given) == [f"CODE-{n}" for n in range(5)]
    assert {one.code for one in answers if isinstance(one, Refused)} == {"OUT_OF_STOCK"}


async def test_one_person_at_many_tills_stays_within_the_limit(world: ShopWorld) -> None:
    person = await world.person("U1")
    await world.earn(person, 1_000)
    await offer(world, Item(id="one", label="一份", gives="code", points=1, per_person=1))
    async with world.db.driver() as connection:
        await mall_records.add_codes(connection, "one", [f"C{n}" for n in range(50)])
    answers = await asyncio.gather(*(take(world, "one", person) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(one, RedemptionView) for one in answers) == 1
    assert {one.code for one in answers if isinstance(one, Refused)} == {"LIMIT_REACHED"}
    assert await world.points(person) == (999, 0)


async def test_a_product_for_points_and_money_is_an_order(world: ShopWorld) -> None:
    person = await world.person("U1")
    await world.earn(person, 1_000)
    await world.stock("T1", 5)
    item = Item(
        id="tea", label="单丛", gives="product", sku="T1", points=400, money_fen=990, limited=True, per_person=1
    )
    await offer(world, item, units=2)
    held = await take(world, "tea", person)
    order = await world.orders.show(held.gives["order_id"])
    assert (held.state, order.payable_fen, order.list_fen) == ("held", 990, 12_800)
    assert (await world.points(person), await left(world, item)) == ((600, 400), 1)
    world.later(seconds=1_800)
    await world.tend()
    assert (await world.points(person), await left(world, item)) == ((1_000, 0), 2)
    assert await world.units("T1") == (5, 5, 0, 0)
    again = await take(world, "tea", person)
    await world.orders.pay(again.gives["order_id"], Pay(amount_fen=990), None, "test")
    assert (await world.points(person), await left(world, item)) == ((600, 0), 1)
    assert await refusal(world, "tea", person) == "LIMIT_REACHED"
    refunded = await world.orders.move("refund", again.gives["order_id"], GiveBack(), None, "test")
    assert refunded.refund is not None and (refunded.refund.amount_fen, refunded.refund.points) == (990, 400)
    assert (await world.points(person), await left(world, item)) == ((1_000, 0), 2)


async def test_a_product_for_points_alone_is_paid_at_once(world: ShopWorld) -> None:
    person = await world.person("U1")
    await world.earn(person, 1_000)
    await world.stock("T1", 1)
    await offer(world, Item(id="gift", label="单丛", gives="product", sku="T1", points=400))
    taken = await take(world, "gift", person)
    order = await world.orders.show(taken.gives["order_id"])
    assert (taken.state, order.state.value, order.paid_fen) == ("done", "paid", 0)
    assert await world.units("T1") == (1, 0, 0, 1)
    assert await refusal(world, "gift", person) == "OUT_OF_STOCK"
    assert await world.points(person) == (600, 0)
    refunded = await world.orders.move("refund", order.order_id, GiveBack(), None, "test")
    assert (refunded.state, await world.points(person)) == ("refunded", (1_000, 0))
    assert await world.units("T1") == (1, 1, 0, 0)
