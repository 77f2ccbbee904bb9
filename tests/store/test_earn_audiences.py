"""Earn rules that mean some persons only: who they were when the event came decides, also in a quote."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from siyu.collect.event import Effects
from siyu.coupons.earns import earns_of
from siyu.coupons.facts import judged
from siyu.coupons.owner import Owner, find_owner
from siyu.coupons.pricing import Pricing, Turn
from siyu.coupons.template import COUPON_WORDS
from siyu.errors import NotFound
from siyu.loyalty.earning import EarnRule, Once
from siyu.loyalty.estimate import House as EstimateHouse
from siyu.loyalty.estimate import estimate
from siyu.loyalty.explain import Explained, explain
from siyu.loyalty.explain import House as Place
from siyu.loyalty.react import store_rule
from siyu.loyalty.request import Identifier
from siyu.membership.ladder import Ladder, Tier
from siyu.rules.condition import InvalidCondition
from siyu.rules.parse import parse_rule
from siyu.rules.rule import InvalidRule
from siyu.store.clickhouse import EventStore, QueryTooExpensive
from siyu.store.postgres import Database, driver_of
from tests.store.membership_house import SECRET, ZONE, House

SPENT = {"metric": "sum", "event": "order.paid", "net": True, "op": "gte", "value": 100_000}
ORDERS = {"metric": "count", "event": "order.paid"}


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    house = await House.build(db, events)
    yield house
    await house.stream.close()


def rule(number: str, audience: dict[str, Any] | None, **more: Any) -> EarnRule:
    told: dict[str, Any] = {"id": number, "event": "order.paid", "label_zh": "规", "label_en": "rule", "points": 10}
    return EarnRule(**(told | more), audience=audience)


async def store(house: House, *rules: EarnRule) -> None:
    """Without the order rule of every installation; before the first event, so that the processor sees them."""
    off = EarnRule(id="order", version=2, event="order.paid", label_zh="消费", label_en="Orders", active=False)
    async with house.db.begin() as conn:
        connection = await driver_of(conn)
        for one in (off, *rules):
            await store_rule(connection, house.ledger, one, house.now)


async def given(house: House) -> Counter[str]:
    """Points by the rule that gave them."""
    async with house.db.driver() as connection:
        rows = await connection.fetch(
            "SELECT t.by, sum(l.amount - l.reversed)::bigint"
            " FROM ledger_transfers t JOIN ledger_legs l ON l.transfer = t.id WHERE t.kind = 'earn' GROUP BY 1"
        )
    return Counter(
        {row[0].removeprefix("rule/"): int(row[1]) for row in rows if row[0] not in ("rule/growth", "checkin")}
    )


@asynccontextmanager
async def asking(house: House) -> AsyncIterator[tuple[Turn, Owner]]:
    async with house.db.begin() as conn:
        turn = Turn(await driver_of(conn), Pricing(house.events, house.ledger, ZONE, SECRET), house.now)
        yield turn, await find_owner(turn.connection, Identifier(kind="user_id", value="u1"), SECRET, house.now)


async def quoted(house: House, fen: int) -> int:
    async with asking(house) as (turn, owner):
        return (await earns_of(turn, owner, fen, 100, "web")).points


async def test_tier_and_birthday_and_what_was_done_before(house: House) -> None:
    await store(
        house,
        rule("birthday", {"all": [
            {"person": "tier", "op": "eq", "value": "黄金"}, {"person": "birthday_in_days", "op": "eq", "value": 0},
        ]}, points=0, points_per_yuan=1, subject=("order_id",), take_back_on=("order.refunded",)),
        rule("second", ORDERS | {"op": "eq", "value": 1}),
        rule("regular", {"person": "dim.orders", "op": "gte", "value": 2}, points=3),
        rule("tagged", {"has_tag": "猫"}, event="checkin", points=5, once_per=Once.DAY),
    )  # fmt: skip
    await house.set_ladder(Ladder(tiers=[Tier(name="普通"), Tier(name="黄金", rule=SPENT)]))
    await house.happen("page", effects=Effects(set={"birthday": "1990-06-02"}))
    assert await quoted(house, 100_000) == 0
    await house.pay(100_000, order="A")  # the first order; no tier, no birthday
    assert await given(house) == {}
    await house.wait(days=1)
    assert await house.tier() == "黄金"
    assert await quoted(house, 5_000) == 50 + 10
    await house.pay(5_000, order="B")
    assert await given(house) == {"birthday": 50, "second": 10}
    await house.pay(7_000, order="A2", ago=timedelta(days=1, hours=1))  # a late one: of the day before, before all
    assert await given(house) == {"birthday": 50, "second": 10}
    await house.wait(minutes=1)
    assert await quoted(house, 1_000) == 10 + 3
    await house.refund(5_000, "B")
    assert await given(house) == {"birthday": 0, "second": 10}
    await house.happen("checkin")
    await house.happen("page", effects=Effects(tags_add=["猫/布偶"]))
    await house.happen("checkin")
    assert (await given(house))["tagged"] == 5


async def test_the_first_event_of_a_new_person_counts_them_as_new(house: House) -> None:
    await store(
        house,
        rule("newcomer", {"person": "first_seen", "op": "within", "value": {"n": 7, "unit": "day"}}, event="checkin"),
    )
    await house.happen("checkin")
    house.now += timedelta(days=6)
    await house.happen("checkin")
    house.now += timedelta(days=2)
    await house.happen("checkin")
    assert await given(house) == {"newcomer": 20}


async def test_what_was_merged_is_one_persons_history(house: House) -> None:
    await store(house, rule("third", ORDERS | {"op": "gte", "value": 2}))
    await house.pay(1_000, "u1")
    await house.pay(1_000, "u2")
    assert await given(house) == {}
    await house.merge("u1", "u2")
    house.now += timedelta(minutes=1)
    await house.pay(1_000, "u2")
    assert await given(house) == {"third": 10}


async def test_conditions_of_prices_know_tier_growth_and_dimensions(house: House) -> None:
    await house.set_ladder(Ladder(tiers=[Tier(name="普通"), Tier(name="黄金", rule=SPENT)]))
    wanted = {
        "tier": {"person": "tier", "op": "eq", "value": "黄金"},
        "growth": {"person": "growth", "op": "gte", "value": 1_000},
        "dimension": {"person": "dim.orders", "op": "eq", "value": 1},
    }
    await house.pay(50_000, "u2")
    await house.pay(100_000)
    await house.look()
    async with asking(house) as (turn, owner):
        rules = {key: parse_rule(one, COUPON_WORDS) for key, one in wanted.items()}
        assert (await judged(turn, owner, rules))[0] == set(wanted)


async def test_an_audience_that_cannot_be_is_refused_with_its_place(house: House) -> None:
    for audience, path in (
        ({"person": "nose", "op": "eq", "value": 1}, "audience.person"),
        (ORDERS | {"op": "crosses", "value": 1}, "audience.op"),
        (ORDERS | {"op": "eq", "value": 1, "where": {"@context.a": {}}}, "audience.where.@context.a"),
    ):
        with pytest.raises((InvalidRule, InvalidCondition)) as refused:
            await store(house, rule("wrong", audience))
        assert refused.value.details["path"] == path


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({}, 0),
        ({"total": 0}, 4_000),
        ({"refund_fen": "0"}, 4_000),
        ({"refund_amount": "none", "total": "￥0.00元"}, 4_000),
        ({"total": "none"}, 0),
        ({"refund_fen": 0, "total": 7}, 4_000),
        ({"refund_fen": 7, "total": 0}, 0),
        ({"products": [{"sku": "gift", "price": "0.00"}]}, 4_000),
        ({"products": [{"sku": "gift", "price": 0}, {"sku": "tea"}]}, 0),
        ({"items": [{"item_id": "gift", "unit_price": 0}, {"commodity_id": "cup", "present_price": "0"}]}, 4_000),
    ],
)
async def test_a_refund_that_names_no_money_takes_nothing_in_an_estimate_either(
    house: House, said: dict[str, Any], kept: int
) -> None:
    back = ("order.refunded", "order.cancelled")
    one = rule("yuan", None, points=0, points_per_yuan=100, subject=("order_id",), take_back_on=back)
    await store(house, one)
    await house.pay(4_000, "u1", order="O1")
    await house.happen("order.refunded", properties={"order_id": "O1"} | said)
    found = await estimate(EstimateHouse(house.db, house.events, ZONE), one, 30, house.now)
    assert (found.points, (await given(house))["yuan"]) == (kept, kept)


async def test_an_estimate_is_what_the_rule_gives(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule is estimated of the events for which it gave."""
    second = ORDERS | {"op": "eq", "value": 1}
    per_yuan = {"points": 0, "points_per_yuan": 2, "subject": ("order_id",), "take_back_on": ("order.refunded",)}
    rules = [
        rule("all", None, where={"property": "@value_fen", "op": "gte", "value": 2_000}),
        rule("second", second),
        rule("yuan", None, **per_yuan),
        rule("yuan-second", second, **per_yuan),
        rule("daily", None, once_per=Once.DAY),
        rule("life", None, once_per=Once.PERSON),
        rule("order", None, version=2, once_per=Once.SUBJECT, subject=("order_id",)),
    ]
    async with house.db.begin() as conn:
        connection = await driver_of(conn)
        for one in rules:
            await store_rule(connection, house.ledger, one, house.now)
    for user, fen in (("u1", 1_999), ("u1", 3_050), ("u2", 5_000), ("u2", 700), ("u1", 4_000)):
        house.now += timedelta(hours=9)
        await house.pay(fen, user)
    await house.pay(3_050, "u1", order="O1")  # told again by another end
    await house.refund(1_000, "O1")
    gave = await given(house)
    place = EstimateHouse(house.db, house.events, ZONE)
    for one in rules:
        found = await estimate(place, one, 30, house.now)
        assert (found.points, found.exact) == (gave[one.id], True), one.id
    found = await estimate(place, rules[1], 30, house.now)
    assert (found.events, found.persons, found.points, found.asked, found.of) == (2, 2, 20, 6, 6)
    found = await estimate(place, rules[0], 1, house.now + timedelta(days=30))
    assert (found.events, found.persons, found.points) == (0, 0, 0)
    monkeypatch.setattr("siyu.loyalty.estimate.JUDGED_MAX", 4)
    found = await estimate(place, rules[1], 30, house.now)
    assert (found.exact, found.asked, found.of) == (False, 4, 6)
    everybody = await estimate(place, rule("any", {"not": {"has_tag": "猫"}}), 30, house.now)
    assert (everybody.exact, everybody.events, everybody.persons, everybody.points) == (False, 6, 2, 60)
    monkeypatch.setattr("siyu.loyalty.estimate.SECONDS_MAX", 0)
    with pytest.raises(QueryTooExpensive):
        await estimate(place, rules[1], 30, house.now)


async def test_why_an_event_gave_nothing_is_said_for_each_condition(house: House) -> None:
    audience = {
        "all": [
            ORDERS | {"op": "gte", "value": 1},
            {"any": [{"has_tag": "猫"}, {"not": {"person": "lifecycle", "op": "eq", "value": "new"}}]},
        ]
    }
    big = {"property": "@value_fen", "op": "gte", "value": 2_000}
    await store(
        house,
        rule("cats", audience, where=big, once_per=Once.PERSON, within_days=3),
        rule("yuan", None, points=0, points_per_yuan=1, subject=("order_id",)),
    )
    await house.happen("page")

    async def told(number: str, event_id: str | None = None) -> Explained:
        async with house.db.driver() as connection:
            return await explain(
                Place(connection, house.events, ZONE), number, await house.named(), event_id, house.now
            )

    def held(found: Explained) -> list[tuple[str, int, bool, Any]]:
        return [(one.what, one.depth, one.held, one.seen) for one in found.conditions if one.what != "age"]

    nobody = await told("cats")
    assert (nobody.event_id, nobody.given, held(nobody)[:2]) == (
        None, 0, [("active", 0, True, None), ("event", 0, False, None)]
    )  # fmt: skip
    await house.pay(5_000)
    first = await told("cats")
    assert first.given == 0
    assert held(first) == [
        ("active", 0, True, None), ("event", 0, True, "order.paid"), ("where", 0, True, None),
        ("audience", 0, False, 0), ("audience", 0, False, None), ("audience", 1, False, None),
        ("audience", 1, False, "new"), ("once", 0, True, None),
    ]  # fmt: skip
    assert all(one.zh and one.en and one.zh != one.en for one in first.conditions)
    yuan = await told("yuan", first.event_id)
    assert yuan.given == 50
    assert [one for one in held(yuan) if one[0] == "amount"] == [("amount", 0, True, 5_000)]
    await house.happen("page", effects=Effects(tags_add=["猫/布偶"]))
    house.now += timedelta(hours=1)
    await house.pay(2_000)
    second = await told("cats")
    assert (second.given, {one.held for one in second.conditions}) == (10, {True, False})
    assert [one.held for one in second.conditions if one.what == "audience"] == [True, True, True, False]
    assert [one.seen for one in second.conditions if one.what == "audience"][:3] == [1, None, ["猫/布偶"]]
    house.now += timedelta(hours=1)
    await house.pay(1_999)
    third = await told("cats")
    assert (third.given, [one.what for one in third.conditions if not one.held and not one.depth]) == (
        0, ["where", "once"]
    )  # fmt: skip
    assert third.conditions[-1].seen == f"event/key1/{second.event_id}"
    assert [one.held for one in third.conditions if one.what == "age"] == [True]
    for number, event_id in (("none", None), ("cats", "none"), ("cats", "")):
        with pytest.raises(NotFound):
            await told(number, event_id)
