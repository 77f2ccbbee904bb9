"""Tiers end to end: events through the processor, standings kept by event, by time, by who is who, and by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from siyu.errors import SiyuError
from siyu.ids import identifier_key
from siyu.loyalty.actions import Points
from siyu.loyalty.request import Earn, Identifier
from siyu.membership import cards, tiers
from siyu.membership.ladder import (
    Benefit,
    BenefitKind,
    Downgrade,
    Ladder,
    Period,
    PeriodKind,
    Tier,
    Unit,
    Validity,
)
from siyu.membership.tiers import Hand, NotFixed, Override, TierNotFound
from siyu.rules.rule import InvalidRule
from siyu.segments import actions as segments
from siyu.segments.actions import Wanted
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of

from .membership_house import SECRET, ZONE, House

SPENT: dict[str, Any] = {"metric": "sum", "event": "order.paid", "of": "@value_fen", "net": True, "op": "gte"}
LOGINS = {"metric": "distinct", "event": "user.login", "of": "@day", "op": "gte", "value": 10}


def ladder(**terms: Any) -> Ladder:
    return Ladder(
        tiers=[
            Tier(name="普通"),
            Tier(name="白银", en="Silver", rule={"any": [SPENT | {"value": 20_000}, LOGINS]}),
            Tier(name="黄金", en="Gold", rule=SPENT | {"value": 100_000}),
        ],
        **terms,
    )


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    house = await House.build(db, events)
    yield house
    await house.exact()
    await house.stream.close()


async def test_the_ready_tiers_carry_a_brand_from_its_first_day(house: House) -> None:
    """SC31: spend of 200 yuan, or logins on 10 local days."""
    await house.pay(19_999, "u1", end="mini_program")
    assert await house.tier("u1") == "普通"
    await house.look()
    shown = await house.shown("u1")
    assert (shown.tier, shown.why.cause) == ("普通", "beginning")
    assert shown.next is not None
    assert (shown.next.tier, shown.next.zh, shown.next.en) == ("白银", "还差 0.01 元到白银", "0.01 yuan to Silver")
    await house.wait(days=1)
    await house.pay(1, "u1", end="store")
    await house.look()
    assert await house.tier("u1") == "白银"
    shown = await house.shown("u1")
    assert (shown.since, shown.why.cause, shown.why.event) == (
        house.now, "reached", {"event_id": "e2", "name": "order.paid", "at_ms": int(house.now.timestamp() * 1000)},
    )  # fmt: skip
    assert [(figure.value, figure.holds) for figure in shown.why.figures] == [(20_000, True), (0, False)]
    for day in range(1, 11):
        await house.happen("user.login", "u2")
        await house.happen("user.login", "u3" if day == 10 else "u2")
        await house.look()
        assert await house.tier("u2") == ("白银" if day == 10 else "普通")
        await house.wait(days=1)
    assert [await house.tier(user) for user in ("u2", "u3")] == ["白银", "普通"]
    told = [(one["from"], one["tier"], one["cause"]) for one in await house.told("tier.changed")]
    assert told == [("普通", "白银", "reached")] * 2


async def test_a_refund_takes_the_tier_at_once_without_grace(house: House) -> None:
    await house.set_ladder(ladder())
    await house.pay(100_000, order="A")
    await house.look()
    assert await house.tier() == "黄金"
    await house.refund(1, "A")
    await house.look()
    assert await house.tier() == "白银"
    await house.refund(99_999, "A")
    await house.look()
    assert await house.tier() == "普通"
    causes = [one["cause"] for one in await house.told("tier.changed")]
    assert causes == ["reached", "fell", "fell"]


async def test_grace_keeps_a_tier_for_its_days(house: House) -> None:
    await house.set_ladder(ladder(grace_days=7))
    await house.pay(20_000, order="A")
    await house.look()
    await house.refund(20_000, "A")
    await house.look()
    fell = house.now
    shown = await house.shown()
    assert (shown.tier, shown.grace_until, shown.why.cause) == ("白银", fell + timedelta(days=7), "grace")
    house.now = fell + timedelta(days=7) - timedelta(milliseconds=1)
    await house.look()
    assert await house.tier() == "白银"
    house.now = fell + timedelta(days=7)
    await house.look()
    shown = await house.shown()
    assert (shown.tier, shown.since, shown.why.cause) == ("普通", fell + timedelta(days=7), "grace_over")


async def test_grace_ends_without_a_fall_when_the_figures_come_back(house: House) -> None:
    await house.set_ladder(ladder(grace_days=7))
    await house.pay(20_000, order="A")
    await house.refund(20_000, "A")
    await house.look()
    assert await house.tier() == "普通"
    await house.pay(20_000, order="B")
    await house.look()
    await house.refund(20_000, "B")
    await house.look()
    assert (await house.shown()).grace_until is not None
    await house.wait(days=2)
    await house.pay(20_000, order="C")
    await house.look()
    assert ((await house.shown()).tier, (await house.shown()).grace_until) == ("白银", None)
    await house.wait(days=30)
    assert await house.tier() == "白银"


async def test_a_calendar_year_ends_at_the_brands_midnight(house: House) -> None:
    await house.set_ladder(ladder(period=Period(kind=PeriodKind.CALENDAR, unit=Unit.YEAR)))
    await house.pay(20_000)
    await house.look()
    assert await house.tier() == "白银"
    midnight = datetime(2026, 12, 31, 16, tzinfo=UTC)
    house.now = midnight - timedelta(seconds=1)
    await house.look()
    assert await house.tier() == "白银"
    house.now = midnight
    await house.look()
    assert await house.tier() == "普通"


async def test_half_years_and_rolling_days_are_periods(house: House) -> None:
    await house.set_ladder(ladder(period=Period(kind=PeriodKind.CALENDAR, unit=Unit.HALF)))
    await house.pay(20_000)
    await house.look()
    assert await house.tier() == "白银"
    house.now = datetime(2026, 6, 30, 16, tzinfo=UTC)
    await house.look()
    assert await house.tier() == "普通"
    await house.set_ladder(ladder(period=Period(kind=PeriodKind.ROLLING, days=60)))
    assert await house.tier() == "白银"
    house.now = datetime(2026, 6, 1, 4, tzinfo=UTC) + timedelta(days=60)
    await house.look()
    assert await house.tier() == "普通"


async def test_figures_since_the_tier_began(house: House) -> None:
    """What brought silver does not count for gold again."""
    await house.set_ladder(ladder(period=Period(kind=PeriodKind.TIER), downgrade=Downgrade.NEVER))
    await house.pay(90_000)
    await house.wait(milliseconds=1)
    assert await house.tier() == "白银"
    await house.pay(90_000)
    await house.look()
    shown = await house.shown()
    assert shown.next is not None
    assert (shown.tier, shown.next.zh) == ("白银", "还差 100 元到黄金")
    await house.pay(10_000)
    await house.look()
    assert await house.tier() == "黄金"


async def test_validity_keeps_to_the_end_of_a_period_and_is_renewed(house: House) -> None:
    terms = {
        "period": Period(kind=PeriodKind.CALENDAR, unit=Unit.YEAR),
        "validity": Validity(months=12, to_end_of=Unit.YEAR),
        "downgrade": Downgrade.ONE,
    }
    await house.set_ladder(ladder(**terms))
    await house.pay(100_000)
    await house.look()
    shown = await house.shown()
    assert (shown.tier, shown.until) == ("黄金", datetime(2027, 12, 31, 16, tzinfo=UTC))
    house.now = datetime(2027, 5, 1, tzinfo=UTC)
    await house.pay(100_000)
    await house.look()
    assert (await house.shown()).until == datetime(2028, 12, 31, 16, tzinfo=UTC)
    house.now = datetime(2029, 1, 5, tzinfo=UTC)
    await house.look()
    shown = await house.shown()
    assert (shown.tier, shown.since, shown.why.cause) == (
        "白银", datetime(2028, 12, 31, 16, tzinfo=UTC), "validity_over",
    )  # fmt: skip


async def test_by_hand_with_a_reason_until_it_ends(house: House) -> None:
    await house.pay(20_000)
    await house.look()
    until = house.now + timedelta(days=3)

    async def fix(**fields: Any) -> None:
        async with house.db.begin() as conn:
            asked: dict[str, Any] = {"tier": "黄金", "reason": "朋友", "by": "eve", "until": until} | fields
            wanted = Override(**asked)
            await tiers.fix(await driver_of(conn), house.uid(), wanted, house.now, ZONE)

    with pytest.raises(TierNotFound):
        await fix(tier="钻石")
    with pytest.raises(SiyuError):
        await fix(until=house.now)
    await fix()
    shown = await house.shown()
    assert (shown.tier, shown.why.cause, shown.why.reason, shown.why.by) == ("黄金", "by_hand", "朋友", "eve")
    await house.look()
    assert await house.tier() == "黄金"
    house.now = until
    await house.look()
    shown = await house.shown()
    assert (shown.tier, shown.why.cause, shown.fixed) == ("白银", "hand_off", None)
    await fix(tier="普通", until=None)
    await house.look()
    assert await house.tier() == "普通"

    async def release() -> None:
        async with house.db.begin() as conn:
            hand = Hand("eve", "genug", house.now, ZONE)
            await tiers.unfix(await driver_of(conn), house.uid(), hand)

    await release()
    assert await house.tier() == "白银"
    with pytest.raises(NotFixed):
        await release()
    await house.look()
    told = [(one["from"], one["tier"]) for one in await house.told("tier.changed")]
    assert told == [("普通", "白银"), ("白银", "黄金"), ("黄金", "白银"), ("白银", "普通"), ("普通", "白银")]


async def test_merging_adds_up_and_undoing_gives_each_their_own(house: House) -> None:
    await house.set_ladder(ladder(grace_days=30))
    await house.pay(60_000, "u1")
    await house.pay(50_000, "u2")
    await house.pay(1_000, "u3")
    await house.look()
    before = {user: await house.shown(user) for user in ("u1", "u2")}
    assert [one.tier for one in before.values()] == ["白银", "白银"]
    await house.wait(days=1)
    await house.merge("u1", "u2")
    assert await house.tier("u1") == await house.tier("u2") == "黄金"
    await house.wait(days=1)
    await house.undo()
    after = {user: await house.shown(user) for user in ("u1", "u2")}
    # No grace for what was never their own.
    assert {user: (one.tier, one.since, one.grace_until) for user, one in after.items()} == {
        user: (one.tier, one.since, one.grace_until) for user, one in before.items()
    }
    changed = [(one["from"], one["tier"]) for one in await house.told("tier.changed")]
    assert changed == [("普通", "白银"), ("普通", "白银"), ("白银", "黄金")]


async def test_who_logs_in_keeps_what_the_visitor_reached(house: House) -> None:
    await house.pay(20_000, "anonymous_id=a1")
    await house.look()
    since = (await house.shown("anonymous_id=a1")).since
    await house.wait(days=1)
    await house.happen("page", "u1", others=identifier_key("anonymous_id", "a1"))
    await house.look()
    shown = await house.shown("u1")
    assert (shown.tier, shown.since) == ("白银", since)
    assert len(await house.told("tier.changed")) == 1


async def test_growth_counts_whoever_gave_it(house: House) -> None:
    await house.set_ladder(
        Ladder(tiers=[Tier(name="普通"), Tier(name="白银", rule={"person": "growth", "op": "gte", "value": 100})])
    )
    await house.pay(9_900)
    await house.look()
    shown = await house.shown()
    assert (shown.tier, shown.next and shown.next.zh) == ("普通", "还差 1 成长值到白银")
    points = Points(house.db, lambda: house.now, ZONE, SECRET)
    gift = Earn(person=Identifier(kind="user_id", value="u1"), points=1, currency="growth")
    await points.ask(gift, "k1", "test")
    await house.look()
    assert await house.tier() == "白银"


async def test_segments_follow_the_tier(house: House) -> None:
    rule = {"person": "tier", "op": "eq", "value": "白银"}
    await segments.create(house.db, Wanted("silver", "白银会员", rule), house.now, "test")
    await house.pay(20_000, order="A")
    await house.look()
    assert "silver" in (await house.portrait()).segments
    await house.refund(1, "A")
    await house.look()
    assert "silver" not in (await house.portrait()).segments


async def test_points_are_multiplied_by_the_tier_of_their_time(house: House) -> None:
    more = [Benefit(kind=BenefitKind.POINTS, percent=150)]
    await house.set_ladder(
        Ladder(tiers=[Tier(name="普通"), Tier(name="白银", rule=SPENT | {"value": 10_000}, benefits=more)])
    )
    await house.pay(10_000, order="A")
    await house.look()
    assert await house.available("points") == 100
    await house.wait(seconds=1)
    await house.pay(3_300, order="B")
    assert await house.available("points") == 100 + 49
    await house.refund(1_100, "B")
    assert await house.available("points") == 100 + 33
    await house.refund(10_000, "A")
    await house.look()
    assert await house.tier() == "普通"
    assert await house.available("points") == 33  # of B what it was when B was paid
    assert (await house.available("growth")) == 22
    shown = await house.shown()
    assert shown.benefits == []


async def test_a_card_leads_to_the_person(house: House) -> None:
    await house.pay(20_000)
    async with house.db.begin() as conn:
        card = await cards.issue(await driver_of(conn), house.uid(), house.now)
    await house.look()
    assert (await house.portrait(f"member_card={card.number}")).person_id == card.person_id
    assert (await cards.show(house.db, house.uid())).number == card.number
    async with house.db.begin() as conn:
        assert (await cards.issue(await driver_of(conn), house.uid(), house.now)).number == card.number


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"tiers": [Tier(name="a"), Tier(name="a", rule=LOGINS)]}, "tiers"),
        ({"tiers": [Tier(name="a", rule=LOGINS)]}, "tiers[0].rule"),
        ({"tiers": [Tier(name="a"), Tier(name="b")]}, "tiers[1].rule"),
        ({"tiers": [Tier(name="a"), Tier(name="b", rule={"segment": "vip"})]}, "tiers[1].rule"),
        ({"tiers": [Tier(name="a"), Tier(name="b", rule=LOGINS | {"value": "x"})]}, "tiers[1].rule.value"),
        ({"downgrade": Downgrade.ONE}, "downgrade"),
        ({"period": Period(kind=PeriodKind.CALENDAR)}, "period.unit"),
        ({"period": Period(kind=PeriodKind.ROLLING)}, "period.days"),
        ({"period": Period(kind=PeriodKind.TIER)}, "period"),
    ],
)
async def test_a_ladder_that_contradicts_itself_is_refused(house: House, change: Any, path: str) -> None:
    wanted = {"tiers": ladder().tiers} | change
    with pytest.raises(InvalidRule) as error:
        await house.set_ladder(Ladder(**wanted))
    assert error.value.details["path"] == path
