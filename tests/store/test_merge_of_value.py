"""Two members turn out to be one person, and then not: value adds up meanwhile, and each keeps their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from siyu.coupons import giving, locks, managing, read
from siyu.coupons.pricing import Pricing
from siyu.coupons.request import LockRequest
from siyu.coupons.template import Template
from siyu.errors import Refused
from siyu.loyalty.actions import Points
from siyu.loyalty.request import Earn, Identifier, Spend
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of

from .membership_house import SECRET, ZONE, House
from .test_tiers import ladder

ONE, OTHER = Identifier("user_id", "u1"), Identifier("user_id", "u2")


@pytest.fixture
async def house(db: Database, events: EventStore, right_ledger: None) -> AsyncIterator[House]:
    house = await House.build(db, events)
    yield house
    await house.stream.close()


async def test_points_coupons_and_tiers_of_two_members_are_merged_and_parted(house: House) -> None:
    pricing = Pricing(house.events, house.ledger, ZONE, SECRET)
    points = Points(house.db, lambda: house.now, ZONE, SECRET)

    async def do(work: Any, *words: Any, **more: Any) -> Any:
        async with house.db.begin() as conn:
            return await work(await driver_of(conn), pricing, *words, **more)

    async def coupons(who: Identifier) -> list[str]:
        async with house.db.driver() as connection:
            return sorted(one.state for one in await read.coupons_of(connection, pricing, who, house.now))

    await house.set_ladder(ladder(grace_days=30))
    await house.pay(60_000, "u1")
    await house.pay(50_000, "u2")
    await house.wait(days=8)  # points of orders are usable
    await do(managing.put_template, Template(id="T", kind="amount", off_fen=500, per_user=2), house.now)
    for who in (ONE, OTHER):
        await do(giving.give, "T", who, house.now, way="issued")
        await points.ask(Earn(person=who, points=40), None, "test")
    before = {user: (await house.shown(user)).tier for user in ("u1", "u2")}
    assert before == {"u1": "白银", "u2": "白银"}
    assert (await house.available("points", "u1"), await house.available("points", "u2")) == (640, 540)

    await house.merge("u1", "u2")
    assert await house.tier("u1") == await house.tier("u2") == "黄金"
    assert await house.available("points", "u1") == await house.available("points", "u2") == 1_180
    assert await coupons(ONE) == await coupons(OTHER) == ["given", "given"]
    with pytest.raises(Refused) as refused:
        await do(giving.give, "T", ONE, house.now, way="issued")
    assert refused.value.code == "LIMIT_REACHED", "two of a person, whichever member has them"
    await points.ask(Spend(person=OTHER, points=1_000), None, "test")
    held = await do(locks.lock, LockRequest(person=ONE, coupon="T", ttl_s=60), house.now)
    await do(locks.commit, held.id, house.now)
    assert await coupons(OTHER) == ["given", "redeemed"]
    assert await house.available("points", "u1") == 180

    await house.undo()
    assert {user: await house.tier(user) for user in ("u1", "u2")} == before
    left = [await house.available("points", user) for user in ("u1", "u2")]
    assert sum(left) == 180
    assert all(0 <= there <= had for there, had in zip(left, (640, 540), strict=True)), "nobody has what they never had"
    assert sorted([*await coupons(ONE), *await coupons(OTHER)]) == ["given", "redeemed"]
    assert len(await coupons(ONE)) == len(await coupons(OTHER)) == 1
    await do(giving.give, "T", ONE, house.now, way="issued")
    await house.exact()
