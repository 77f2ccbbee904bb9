"""Coupons on real engines: quotes, limits, locks, what time and refunds bring."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
import pytest

from siyu.coupons import actions, managing, template_records
from siyu.coupons.jobs import end_what_is_over
from siyu.coupons.request import Part, QuoteRequest, Redeem
from siyu.coupons.rights import coupons_file, scrub_coupons
from siyu.coupons.till import Till
from siyu.errors import Contended, PersonNotFound, Refused, SiyuError
from siyu.identity.actions import retract
from siyu.identity.outbox import send_waiting
from siyu.profile.rights import Order, erase
from siyu.profile.rights_records import Record
from siyu.store import replies
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of
from tests.coupon_world import Brand, rule, template, user

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


async def test_a_refusal_names_the_conditions_that_do_not_hold(brand: Brand) -> None:
    await brand.people("U1")
    city = {"person": "trait.city", "op": "eq", "value": "广州"}
    await brand.template(template("CITY", off_fen=100, audience={"all": [city, FIRST]}))
    with pytest.raises(Refused) as refused:
        await brand.give("CITY", "U1")
    (why,) = refused.value.details["why"]  # type: ignore[misc]  # a list; the first order holds
    assert (refused.value.code, refused.value.details["because"]) == ("NOT_ELIGIBLE", "condition")
    assert "广州" in why["zh"] and "首单" not in why["zh"] and why["en"] in str(refused.value)
    await brand.template(N88)
    await brand.commit((await brand.order("U1", "O1"))[1].id)
    with pytest.raises(Refused) as again:
        await brand.give("N88", "U1")
    assert "首单" in again.value.details["why"][0]["zh"]  # type: ignore[index]  # a list


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


async def test_a_budget_counts_while_it_is_locked_and_comes_back(brand: Brand) -> None:
    await brand.people("U1")
    await brand.template(template("B", budget_fen=3000))
    for _ in range(3):
        await brand.give("B", "U1")
    held = await brand.lock("U1", coupon="B")
    assert await refusal(brand.lock("U1", coupon="B")) == "BUDGET_EXHAUSTED"
    assert [one.code for one in (await brand.quote("U1", coupons=["B"])).refused] == ["BUDGET_EXHAUSTED"]
    brand.later(seconds=600)
    assert (await brand.quote("U1", coupons=["B"])).payable_fen == 8_000, "its time is over: free on touch"
    with pytest.raises(Refused) as ended:
        await brand.commit(held.id)
    assert ended.value.code == "ENDED"
    held = await brand.lock("U1", coupon="B")
    await brand.commit(held.id)
    assert await refusal(brand.template(template("B", budget_fen=1999))) == "BUDGET_EXHAUSTED"
    await brand.template(template("B", budget_fen=4000))
    await brand.rollback(held.id)
    await brand.commit((await brand.lock("U1", coupon="B")).id)
    await brand.commit((await brand.lock("U1", coupon="B")).id)
    assert await refusal(brand.lock("U1", coupon="B")) == "BUDGET_EXHAUSTED"


async def test_points_go_back_to_their_lots_in_part_and_whole(brand: Brand) -> None:
    await brand.people("U1")
    soon = (brand.now + timedelta(days=2)).isoformat()
    await brand.earn("U1", 30, expires_at=soon)
    await brand.earn("U1", 100)
    await brand.template(template("ANY", return_on="any_refund"))
    await brand.template(template("FULL"))
    await brand.template(template("NEVER", return_on="never"))
    codes = [(await brand.give(name, "U1")).code for name in ("ANY", "FULL", "NEVER")]
    found, held = await brand.order("U1", "O1", 20_000, coupons=codes, points=50)
    assert (found.payable_fen, found.points) == (20_000 - 6_000 - 50, 50)
    await brand.commit(held.id)
    assert await lots(brand) == [0, 80]
    await brand.rollback(held.id, Part(points=10))
    assert await lots(brand) == [0, 90], "the last taken goes back first"
    assert await states(brand) == {"ANY": "given", "FULL": "redeemed", "NEVER": "redeemed"}
    assert await refusal(brand.rollback(held.id, Part(points=41))) == "AMOUNT_OUT_OF_RANGE"
    assert (await brand.rollback(held.id)).state == "rolled_back"
    assert await lots(brand) == [30, 100]
    assert await states(brand) == {"ANY": "given", "FULL": "given", "NEVER": "redeemed"}
    assert (await brand.rollback(held.id)).points_back == 50, "again is nothing more"


async def lots(brand: Brand) -> list[int]:
    """What is left of the lots, those that end first first."""
    async with brand.db.driver() as connection:
        rows = await connection.fetch("SELECT remaining FROM ledger_lots ORDER BY expires_at, id")
    return [row[0] for row in rows]


async def states(brand: Brand, who: str = "U1") -> dict[str, str]:
    return {one.template: one.state for one in await brand.coupons(who)}


async def test_what_becomes_of_time(brand: Brand) -> None:
    await brand.people("U1")
    await brand.template(template("S", starts_at="2026-06-02T00:00:00+08:00", ends_at="2026-06-03T00:00:00+08:00"))
    assert await refusal(brand.give("S", "U1")) == "NOT_STARTED"
    await brand.template(template("D", valid="days", valid_days=1, per_user_per_day=2))
    await brand.give("D", "U1")
    await brand.give("D", "U1")
    assert await refusal(brand.give("D", "U1")) == "LIMIT_REACHED"
    held = await brand.lock("U1", ttl_s=7 * 86_400, coupon="D")
    brand.later(hours=14)  # 00:00 in Shanghai
    await brand.give("S", "U1")
    await brand.give("D", "U1")
    brand.later(hours=10)
    assert await end_what_is_over(brand.db, lambda: brand.now) == 1, "the one that is not held"
    assert Counter(one.state for one in await brand.coupons("U1") if one.template == "D") == Counter(
        locked=1, expired=1, given=1
    )
    assert (await brand.commit(held.id)).state == "committed", "what was set aside in time can be used"
    brand.later(hours=14)
    assert await refusal(brand.give("S", "U1")) == "ENDED"
    assert await refusal(brand.lock("U1", coupon="S")) == "COUPON_EXPIRED"


async def test_what_happened_is_said_once(brand: Brand) -> None:
    await brand.people("U1")
    await brand.template(template("A"))
    await brand.give("A", "U1", way="claimed")
    held = await brand.lock("U1", coupon="A")
    await brand.commit(held.id)
    await brand.rollback(held.id)
    await brand.release((await brand.lock("U1", coupon="A")).id)
    await brand.commit((await brand.lock("U1", coupon="A")).id)
    await send_waiting(brand.db, brand.stream, lambda: brand.now)
    assert await send_waiting(brand.db, brand.stream, lambda: brand.now) == 0
    while await brand.worker.step(0.01):
        pass
    rows = await brand.events.rows("SELECT name, properties FROM events WHERE startsWith(name, 'coupon.')")
    names = sorted(name.partition(".")[2] for name, _ in rows)
    assert names == ["claimed", "locked", "locked", "locked", "redeemed", "redeemed", "released", "returned"]
    code = (await brand.coupons("U1"))[0].code.replace("-", "")
    assert all(code not in properties for _, properties in rows)


async def test_a_person_of_two_members(brand: Brand) -> None:
    """Limits and coupons are the person's, before and after a merge, and an undo leaves each their own."""
    await brand.people("U1", "openid:mp=o1")
    await brand.template(template("ONE", per_user=1))
    await brand.give("ONE", "openid:mp=o1")
    await brand.happen("login", "U1", "openid:mp=o1")
    assert await refusal(brand.give("ONE", "U1")) == "LIMIT_REACHED"
    await brand.commit((await brand.lock("U1", coupon="ONE")).id)
    assert [one.state for one in await brand.coupons("openid:mp=o1")] == ["redeemed"]
    async with brand.db.driver() as connection:
        link = await connection.fetchval("SELECT link_id FROM links")
    await retract(brand.db, brand.events, link, "wrong", brand.now, members_max=200)
    assert [one.state for one in await brand.coupons("openid:mp=o1")] == ["redeemed"]
    assert await brand.coupons("U1") == []
    await brand.give("ONE", "U1")


async def test_a_person_known_by_a_phone_alone_has_one_wallet(brand: Brand) -> None:
    await brand.people("phone=+8613800138000")
    await brand.template(template("ONE", per_user=1))
    await brand.give("ONE", "phone=+8613800138000")
    assert await refusal(brand.give("ONE", "phone=+8613800138000")) == "LIMIT_REACHED"
    brand.later(days=1)
    assert len(await brand.coupons("phone=+8613800138000")) == 1


async def test_an_archive_and_an_erasure(brand: Brand) -> None:
    await brand.people("U1", "U2")
    await brand.rule(rule("first", off_fen=100, condition=FIRST))
    await brand.template(template("A"))
    for who in ("U1", "U2"):
        coupon = await brand.give("A", who)
        _, held = await brand.order(who, f"O-{who}", coupons=[coupon.code])
        await brand.commit(held.id)
        await brand.give("A", who)
    async with brand.db.driver() as connection:
        person = await connection.fetchval("SELECT uid FROM identifiers WHERE value = 'U1' AND kind = 'user_id'")
        name, content = await coupons_file(connection, person, brand.now)
    assert (name, len(content["coupons"]), len(content["locks"])) == ("coupons.json", 2, 1)
    assert [one["source"] for one in content["discounts"]] == ["price_rule/first", "coupon/A"]
    order = Order(Record(uuid4(), [], brand.now, "test"), "asked", (scrub_coupons,), 200)
    receipt = await erase(brand.db, brand.events, person, order)
    found = {name: receipt.rows[name] for name in ("coupons", "coupon_locks", "coupon_lock_parts")}
    assert found == {"coupons": 2, "coupon_locks": 1, "coupon_lock_parts": 2}
    assert receipt.rows["price_rule_entitlements"] == 1
    async with brand.db.driver() as connection:
        for table in ("coupons", "coupon_locks", "coupon_holders"):
            anchors = await connection.fetch(f"SELECT DISTINCT anchor FROM {table}")
            assert len(anchors) == 1, f"only the other person is left in {table}"
        assert await connection.fetchval("SELECT issued FROM coupon_totals") == 4
    with pytest.raises(PersonNotFound):
        await brand.give("A", "U1")


async def test_a_rule_that_counts_events_and_one_that_does_not(brand: Brand) -> None:
    await brand.happen("page", "U1", properties='{"sku": "S1"}')
    await brand.happen("page", "U2")
    seen = {"metric": "count", "event": "page", "where": {"sku": "S1"}, "op": "gte", "value": 1}
    await brand.rule(rule("seen", off_fen=300, condition=seen))
    assert (await brand.quote("U1")).payable_fen == 9_700
    assert (await brand.quote("U2")).payable_fen == 10_000
    await brand.rule(
        rule("seen", off_fen=300, condition={"person": "identities", "op": "contains", "value": "user_id"})
    )
    brand.pricing = brand.pricing._replace(events=cast(Any, None))
    assert (await brand.quote("U2")).payable_fen == 9_700, "without asking the events"


async def test_codes_of_a_large_pool_are_found_again(brand: Brand) -> None:
    await brand.people("U1")
    await brand.template(template("P"))
    async with brand.db.begin() as transaction:
        connection = await driver_of(transaction)
        await managing.open_pool(connection, "P", "one", brand.now)
        await managing.fill(connection, "one", "P", managing.fresh_codes(brand.pricing, 20_000))
        rows = await template_records.pool_page(connection, "one", 0, 20_000)
    codes = [brand.pricing.vault.open(code, sealed) for _, code, sealed, _ in rows]
    assert len(set(codes)) == 20_000
    assert await refusal(brand.lock("U1", coupon=codes[7], points=1)) == "INSUFFICIENT"
    held = await brand.lock("U1", coupon=codes[7])
    assert (await brand.commit(held.id)).state == "committed"
    assert len({one.code for one in await brand.coupons("U1")}) == 1


async def test_many_at_the_till_at_once(brand: Brand) -> None:
    """A group answers each as it would have been answered alone."""
    await brand.people("U1", "U2")
    await brand.template(template("T"))
    await brand.template(template("APP", scope={"ends": ["app"]}))
    await brand.template(template("B", budget_fen=2000))
    await brand.template(template("DAY", valid="same_local_day"))
    mine, other, app, rich, poor, late = [
        (await brand.give(name, who)).code
        for name, who in (("T", "U1"), ("T", "U2"), ("APP", "U1"), ("B", "U1"), ("B", "U1"), ("DAY", "U1"))
    ]
    held = (await brand.give("T", "U1")).code
    lock = await brand.lock("U1", ttl_s=86_400, coupon=held)
    brand.later(hours=14)
    till = Till(brand.db, lambda: brand.now, brand.pricing)

    async def use(code: str, key: str | None = None, who: str | None = None) -> str:
        told = {"code": code} | ({} if who is None else {"person": user(who)})
        try:
            return (await till.redeem(msgspec.convert(told, Redeem), key)).state
        except SiyuError as error:
            return error.code

    asked = [
        use(mine), use(mine), use(other, who="U1"), use(other, "k", "U2"), use(app), use(late), use(held),
        use("NO SUCH"), use(rich, "b1"), use(poor, who="nobody"),
    ]  # fmt: skip
    found = await asyncio.gather(*asked)
    assert sorted(found[:2]) == ["COUPON_USED", "committed"]
    assert found[2:] == [
        "COUPON_NOT_YOURS", "committed", "CHANNEL_NOT_ALLOWED", "COUPON_EXPIRED", "LOCKED", "COUPON_NOT_FOUND",
        "committed", "PERSON_NOT_FOUND",
    ]  # fmt: skip
    assert list(await asyncio.gather(use(other, "k", "U2"), use(rich, "b1"), use(other, "k"))) == [
        "committed", "committed", "IDEMPOTENCY_CONFLICT",
    ]  # fmt: skip
    assert await use(poor) == "BUDGET_EXHAUSTED"
    brand.later(hours=10)
    assert await use(held) == "committed", "the lock is over"
    with pytest.raises(Refused):
        await brand.commit(lock.id)
    assert Counter(one.state for one in await brand.coupons("U1"))["redeemed"] == 3
    async with brand.db.driver() as connection:
        used = await connection.fetchval("SELECT id FROM coupon_locks WHERE state = 'committed' ORDER BY at LIMIT 1")
    assert (await brand.rollback(used)).state == "rolled_back"


async def test_a_group_of_one_till_and_another_till_meet(brand: Brand) -> None:
    await brand.people("U1")
    await brand.template(template("T"))
    codes = [(await brand.give("T", "U1")).code for _ in range(20)]
    tills = [Till(brand.db, lambda: brand.now, brand.pricing) for _ in range(3)]

    async def use(till: Till, code: str) -> str:
        try:
            return (await till.redeem(Redeem(code=code), None)).state
        except SiyuError as error:
            return error.code

    found = Counter(await asyncio.gather(*(use(till, code) for code in codes for till in tills)))
    assert found == Counter(committed=20, COUPON_USED=40)


@pytest.mark.parametrize("guarded", [True, False])
async def test_one_key_at_several_tills_uses_one_coupon(
    brand: Brand, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """Each till has looked for the keys before any of them wrote. Without the guard every one of them goes through."""
    await brand.people("U1")
    await brand.template(template("T"))
    tills = [Till(brand.db, lambda: brand.now, brand.pricing) for _ in range(3)]
    codes = {till: [(await brand.give("T", "U1")).code for _ in range(5)] for till in tills}
    meeting, looked, look = asyncio.Barrier(len(tills)), itertools.count(), replies.kept_under

    async def look_and_meet(connection: Any, keys: Collection[UUID]) -> dict[UUID, replies.Kept]:
        found = await look(connection, keys)
        if next(looked) < len(tills):
            await meeting.wait()
        return found

    async def unguarded(connection: Any, answers: Collection[Any], now: datetime) -> None:
        with suppress(Contended):
            await add(connection, answers, now)

    add = replies.add
    monkeypatch.setattr(replies, "kept_under", look_and_meet)
    if not guarded:
        monkeypatch.setattr(replies, "add", unguarded)

    async def use(till: Till, number: int) -> str:
        try:
            return (await till.redeem(Redeem(code=codes[till][number]), f"key-{number}")).state
        except SiyuError as error:
            return error.code

    found = Counter(await asyncio.gather(*(use(till, number) for till in tills for number in range(5))))
    used = Counter(one.state for one in await brand.coupons("U1"))["redeemed"]
    assert (used == 5) is guarded
    assert (found == Counter(committed=5, IDEMPOTENCY_CONFLICT=10)) is guarded


async def test_what_is_no_answer_leaves_its_key_free(brand: Brand) -> None:
    await brand.people("U1")
    await brand.template(template("T"))
    till = Till(brand.db, lambda: brand.now, brand.pricing)
    code = (await brand.give("T", "U1")).code
    for _ in range(2):
        with pytest.raises(PersonNotFound):
            await till.redeem(msgspec.convert({"code": code, "person": user("nobody")}, Redeem), "k")
    first = await till.redeem(Redeem(code=code), "k")
    assert await till.redeem(Redeem(code=code), "k") == first


async def test_a_quote_says_why_each_price_rule_of_its_lines_does_not_apply(brand: Brand) -> None:
    await brand.people("U1")
    city = {"person": "trait.city", "op": "eq", "value": "广州"}
    for one in (
        rule("ended", percent_pay=50, ends_at=brand.now.isoformat()),
        rule("soon", percent_pay=50, starts_at=(brand.now + timedelta(seconds=1)).isoformat()),
        rule("city", percent_pay=50, condition={"all": [city, FIRST]}),
        rule("once", percent_pay=95, once_per_person=True, group="g", priority=1),
        rule("app", percent_pay=50, scope={"ends": ["app"]}),
        rule("more", percent_pay=50, min_spend_fen=10_001),
        rule("budget", off_fen=2, budget_fen=1),
        rule("lesser", percent_pay=99, group="g"),
        rule("set", price_fen=10_000, scope={"skus": ["S1"]}),
        rule("other", percent_pay=50, scope={"skus": ["S2"]}),
        rule("stopped", percent_pay=50, active=False),
    ):
        await brand.rule(one)
    found = await brand.quote("U1")
    said = {one.what.removeprefix("price_rule/"): (one.code, one.because) for one in found.refused}
    refused = {
        "ended": ("ENDED", ""),
        "soon": ("NOT_STARTED", ""),
        "city": ("NOT_ELIGIBLE", "condition"),
        "app": ("CHANNEL_NOT_ALLOWED", "end"),
        "more": ("NOT_ELIGIBLE", "min_spend"),
        "budget": ("BUDGET_EXHAUSTED", ""),
        "lesser": ("NOT_STACKABLE", "price_rule/once"),
        "set": ("NOT_ELIGIBLE", "price"),
    }
    assert (found.payable_fen, said) == (9_500, refused)
    (why,) = next(one.why for one in found.refused if one.what == "price_rule/city")
    assert "广州" in why.zh and "首单" not in why.zh and "广州" in why.en, "only the condition that does not hold"
    nobody = {one.what: (one.code, one.because) for one in (await brand.quote(None)).refused}
    assert nobody["price_rule/city"] == nobody["price_rule/once"] == ("NOT_ELIGIBLE", "person")
    made, _ = await brand.order("U1", "O1")
    assert (made.payable_fen, made.refused) == (9_500, ()), "an order is refused for what it asked for alone"
    again = {one.what: one.code for one in (await brand.quote("U1")).refused}
    assert again["price_rule/once"] == "LIMIT_REACHED"
    before = await statements(brand)
    for n in range(40):
        await brand.rule(rule(f"more{n}", percent_pay=50, condition=city))
    assert await statements(brand) == before > 3, "a rule more is no statement more"
    assert len((await brand.quote("U1")).refused) == len(again) + 40


async def statements(brand: Brand) -> int:
    """How many a quote takes."""
    asked: list[str] = []
    async with brand.db.begin() as transaction:
        connection = await driver_of(transaction)
        with connection.query_logger(lambda one: asked.append(one.query)):
            request = msgspec.convert(
                {"lines": [{"sku": "S1", "qty": 1, "price_fen": 10_000}], "end": "web", "person": user("U1")},
                QuoteRequest,
            )
            await actions.quote(connection, brand.pricing, request, brand.now)
    return len(asked)
