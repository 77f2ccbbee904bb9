"""Coupons on real engines: quotes, limits, locks, what time and refunds bring."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from siyu.errors import Refused
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.coupon_world import Brand, rule, template

N88 = template("N88", "percent_pay", pay_percent=88, valid="same_local_day", per_user=1, new_user_only=True)
FIRST = {"person": "first_paid_order", "op": "eq", "value": True}


@pytest.fixture
async def brand(db: Database, events: EventStore, right_ledger: None) -> AsyncIterator[Brand]:
    """An empty brand; its ledger is right at the end."""
    made = await Brand.open(db, events)
    yield made
    await made.close()


async def refusal(asked: object) -> str:
    """The code with which something is refused."""
    with pytest.raises(Refused) as refused:
        await asked  # type: ignore[misc]  # an awaitable
    return refused.value.code


async def test_a_coupon_of_today(brand: Brand) -> None:
    await brand.people("U1")
    await brand.template(N88)
    given = await brand.give("N88", "U1")
    assert await refusal(brand.give("N88", "U1")) == "LIMIT_REACHED"
    brand.later(hours=13, minutes=59, seconds=59)
    found = await brand.quote("U1", coupons=[given.code])
    assert (found.list_fen, found.payable_fen, found.refused) == (10_000, 8_800, ())
    brand.later(seconds=1)
    found = await brand.quote("U1", coupons=["N88"])
    assert (found.payable_fen, [one.code for one in found.refused]) == (10_000, ["COUPON_EXPIRED"])


async def test_first_order_and_its_entitlement(brand: Brand) -> None:
    await brand.happen("page", "U1", "openid:mp=o1")
    await brand.people("U2")
    mini = {"person": "identities", "op": "contains", "value": "openid:mp"}
    await brand.rule(
        rule("web50", off_fen=5000, min_spend_fen=5000, scope={"ends": ["web"]}, stack="exclusive",
             condition={"all": [mini, FIRST]})
    )  # fmt: skip
    assert (await brand.quote("U1", 20_000)).payable_fen == 15_000
    assert (await brand.quote("U2", 20_000)).payable_fen == 20_000
    assert (await brand.quote("U1", 20_000, end="app")).payable_fen == 20_000
    first, held = await brand.order("U1", "O1", 20_000)
    second, _ = await brand.order("U1", "O2", 20_000)
    assert (first.payable_fen, second.payable_fen) == (15_000, 20_000)
    assert (await brand.quote("U1", 20_000)).payable_fen == 20_000
    await brand.commit(held.id)
    assert (await brand.quote("U1", 20_000)).payable_fen == 20_000


async def test_a_lock_of_coupon_and_points(brand: Brand) -> None:
    await brand.people("U1", "U2")
    await brand.template(template("A20", budget_fen=2000))
    await brand.earn("U1", 500)
    coupon = await brand.give("A20", "U1")
    assert await refusal(brand.lock("U2", coupon=coupon.code)) == "COUPON_NOT_YOURS"
    assert await refusal(brand.lock("U1", coupon=coupon.code, points=501)) == "INSUFFICIENT"
    held = await brand.lock("U1", coupon=coupon.code, points=500)
    assert await refusal(brand.lock("U1", coupon=coupon.code)) == "LOCKED"
    assert await refusal(brand.lock("U1", points=1)) == "INSUFFICIENT"
    brand.later(seconds=600)
    assert await refusal(brand.commit(held.id)) == "ENDED"
    held = await brand.lock("U1", coupon="A20", points=500)
    assert (await brand.commit(held.id)).state == "committed"
    assert await refusal(brand.lock("U1", coupon=coupon.code)) == "COUPON_USED"
    await brand.rollback(held.id)
    again = await brand.lock("U1", coupon=coupon.code, points=500)
    assert (await brand.release(again.id)).state == "released"
