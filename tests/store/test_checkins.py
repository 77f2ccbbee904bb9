"""Check-in end to end: by call and by event, once a day whichever way, with streaks, make-up cards, merged persons."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from siyu.errors import MalformedRequest, Refused
from siyu.ids import identifier_key
from siyu.loyalty.actions import Points
from siyu.loyalty.earning import EarnRule
from siyu.loyalty.react import store_rule
from siyu.loyalty.request import Earn, Identifier
from siyu.membership import checkin_records, checkins
from siyu.membership.checkin import CHANCE, MAKE_UP_CARD, Cycle, CycleKind, MakeUp, On, Reward, Rules, Streak
from siyu.membership.checkin_shown import Calendar, CheckedIn
from siyu.membership.checkins import Asking
from siyu.profile import checkins as profile_checkins
from siyu.profile.checkins import cycle_days, cycle_days_at
from siyu.rules.window import Setting
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of
from siyu.store.replies import Asked, once
from tests.rounds import CRASHES

from .membership_house import SECRET, ZONE, House
from .racing import PROCESSES, Racers, told
from .test_ledger_races import dsn_of

ROUNDS = 50
CHANCES = 30
"""Without a guard something goes wrong when processes meet, which one race may not see."""


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    house = await House.build(db, events)
    await house.happen("page", "u1")
    yield house
    await house.stream.close()


def asking(house: House, user: str = "u1", end: str = "app") -> Asking:
    kind, _, value = user.rpartition("=")
    return Asking(Identifier(kind=kind or "user_id", value=value), end, house.now, SECRET)


async def check_in(house: House, user: str = "u1", key: str | None = None, end: str = "app") -> CheckedIn:
    async def do(connection: Any) -> CheckedIn:
        return await checkins.check_in(connection, house.ledger, asking(house, user, end))

    return await once(house.db, Asked(key, "check_in", [user, end]), CheckedIn, do, lambda: house.now)


async def make_up(house: House, day: date, user: str = "u1") -> CheckedIn:
    async def do(connection: Any) -> CheckedIn:
        return await checkins.make_up(connection, house.ledger, asking(house, user), day, None)

    return await once(house.db, Asked(None, "make_up", [user, day]), CheckedIn, do, lambda: house.now)


async def calendar(house: House, user: str = "u1") -> Calendar:
    async with house.db.begin() as conn:
        today = checkins.local_day(house.now, ZONE)
        return await checkins.calendar(await driver_of(conn), house.ledger, house.uid(user), today, house.now)


async def set_rules(house: House, rules: Rules) -> None:
    async with house.db.begin() as conn:
        await checkins.put_rules(await driver_of(conn), house.ledger, rules, house.now, "test")


async def refusal(waiting: Any) -> str:
    with pytest.raises(Refused) as error:
        await waiting
    return error.value.code


async def test_seven_days_bring_one_chance(house: House) -> None:
    """SC15: U1 checks in on seven days at two ends, U2 misses one."""
    for day in range(8):
        if day < 7:
            done = await check_in(house, "u1", end="app" if day % 2 else "mini_program")
            assert (done.streak, done.cycle_day, done.total) == (day + 1, day % 7 + 1, day + 1)
            assert [one.currency for one in done.rewards] == ["points", *([CHANCE] if day == 6 else [])]
        if day != 3:
            await house.happen("checkin", "u2", end="app")
        await house.wait(days=1)
    assert [await house.available(CHANCE, user) for user in ("u1", "u2")] == [1, 0]
    assert [await house.available("points", user) for user in ("u1", "u2")] == [35, 35]
    shown = await calendar(house, "u2")
    assert (shown.streak, shown.total, [day.how for day in shown.days]) == (4, 7, ["event"] * 7)
    names = await house.events.rows("SELECT end, count() FROM events WHERE name = 'checkin' GROUP BY end ORDER BY end")
    assert [tuple(row) for row in names] == [("app", 3 + 7), ("mini_program", 4)]


async def cycle_day_of(house: House, user: str = "u1") -> int:
    """What rules see, of one and of everybody, which is what the person's calendar says."""
    named = await house.named(user)
    async with house.db.driver() as connection:
        (one,) = await cycle_days_at(connection, [profile_checkins.Asked(named, house.now)], ZONE)
        found = await cycle_days(connection, Setting(house.now, ZONE))
    everybody = found if isinstance(found, int) else found.get(named.person, 0)
    shown = (await calendar(house, user)).cycle_day
    assert one == everybody == shown
    return shown


async def test_rules_see_the_day_of_the_cycle_that_the_calendar_shows(house: House) -> None:
    await house.happen("page", "u2")
    seen = []
    for day in range(10):
        if day not in (3, 4):
            await check_in(house)
        if day in (3, 4):
            await check_in(house, "u2")
        seen.append((await cycle_day_of(house), await cycle_day_of(house, "u2")))
        house.now += timedelta(days=1)
    assert [one for one, _ in seen] == [1, 2, 3, 3, 0, 1, 2, 3, 4, 5]
    assert [two for _, two in seen] == [0, 0, 0, 1, 2, 2, 0, 0, 0, 0]
    # Together they checked in on ten days in a row: the third of the second round of seven, yesterday.
    await house.merge("u1", "u2")
    assert await cycle_day_of(house, "u2") == 3
    await set_rules(house, Rules(cycle=Cycle(days=4)))
    assert await cycle_day_of(house) == 2
    await set_rules(house, Rules(cycle=Cycle(kind=CycleKind.MONTH)))
    assert await cycle_day_of(house) == house.now.astimezone(ZONE).day


async def test_an_earn_rule_asks_with_the_check_in_of_its_own_event(db: Database, events: EventStore) -> None:
    """Of the third day in a row, told by an event: the rule sees three, not two."""
    house = await House.build(db, events)
    rule = EarnRule(
        id="third", event="checkin", label_zh="第三天", label_en="Third day", points=1_000,
        audience={"person": "checkin.cycle_day", "op": "eq", "value": 3},
    )  # fmt: skip
    async with house.db.begin() as conn:
        await store_rule(await driver_of(conn), house.ledger, rule, house.now)
    points = []
    for _ in range(4):
        await house.happen("checkin", "u1", end="app")
        points.append(await house.available("points"))
        await house.wait(days=1)
    assert points == [5, 10, 1_015, 1_020]
    await house.stream.close()


async def test_once_a_day_whichever_way_it_comes(house: House) -> None:
    first = await check_in(house, key="k1")
    assert await check_in(house, key="k1") == first
    assert await refusal(check_in(house, key="k2")) == "ALREADY_CHECKED_IN"
    assert await refusal(check_in(house, key="k2")) == "ALREADY_CHECKED_IN"
    await house.happen("CheckIn", "u1", end="web")
    await house.happen("checkin", "u1", end="store")
    await house.look()
    assert (await house.available("points"), (await calendar(house)).total) == (5, 1)
    midnight = datetime(2026, 6, 1, 16, tzinfo=UTC)
    house.now = midnight - timedelta(milliseconds=1)
    assert await refusal(check_in(house)) == "ALREADY_CHECKED_IN"
    house.now = midnight
    assert (await check_in(house)).streak == 2
    house.now -= timedelta(hours=3)  # the clock steps back over midnight
    assert await refusal(check_in(house)) == "ALREADY_CHECKED_IN"
    assert await house.available("points") == 10


async def test_a_late_event_fills_its_own_day(house: House) -> None:
    for day in range(7):
        if day != 2:
            await check_in(house)
        await house.wait(days=1)
    assert ((await calendar(house)).streak, await house.available(CHANCE)) == (4, 0)
    await house.happen("checkin", "u1", ago=timedelta(days=5))
    await house.happen("checkin", "u1", ago=timedelta(days=5, hours=1))
    await house.happen("checkin", "u1", ago=-timedelta(days=1))  # of tomorrow: no day yet
    shown = await calendar(house)
    assert (shown.streak, shown.total, await house.available(CHANCE)) == (7, 7, 1)


async def test_a_make_up_card_fills_a_missed_day(house: House) -> None:
    await set_rules(
        house,
        Rules(
            daily=[Reward(currency="growth", amount=2)],
            streaks=[Streak(days=3, rewards=[Reward(currency=CHANCE, amount=1)])],
            month=[On(days=3, rewards=[Reward(currency="points", amount=30)])],
            make_up=MakeUp(days_back=3, month_max=1),
        ),
    )
    await check_in(house)
    missed = checkins.local_day(house.now, ZONE) + timedelta(days=1)
    await house.wait(days=2)
    await check_in(house)
    assert await refusal(make_up(house, missed)) == "INSUFFICIENT"
    assert (await calendar(house)).total == 2
    points = Points(house.db, lambda: house.now, ZONE, SECRET)
    card = Earn(person=Identifier(kind="user_id", value="u1"), points=2, currency=MAKE_UP_CARD)
    await points.ask(card, None, "test")
    shown = await calendar(house)
    assert shown.make_up is not None
    assert (shown.make_up.available, shown.make_up.days) == (
        2, [missed - timedelta(days=2), missed],
    )  # fmt: skip
    done = await make_up(house, missed)
    assert (done.streak, done.how, sorted(one.currency for one in done.rewards)) == (
        2, "make_up", [CHANCE, "growth", "points"],
    )  # fmt: skip
    assert (await calendar(house)).streak == 3
    assert await refusal(make_up(house, missed)) == "ALREADY_CHECKED_IN"
    assert await refusal(make_up(house, missed - timedelta(days=3))) == "ENDED"
    with pytest.raises(MalformedRequest):
        await make_up(house, checkins.local_day(house.now, ZONE))
    assert [await house.available(code) for code in (MAKE_UP_CARD, CHANCE, "growth", "points")] == [1, 1, 6, 30]
    await house.wait(days=2)
    assert await refusal(make_up(house, missed + timedelta(days=2))) == "LIMIT_REACHED"
    assert await house.available(MAKE_UP_CARD) == 1
    await house.look()
    told = [one["how"] for one in await house.told("checkin")]
    assert sorted(told) == ["call", "call", "make_up"]
    await set_rules(house, Rules(make_up=None))
    assert await refusal(make_up(house, missed + timedelta(days=2))) == "NOT_ELIGIBLE"
    await set_rules(house, Rules(active=False))
    assert await refusal(check_in(house)) == "ENDED"


async def test_merged_persons_share_their_days_from_then_on(house: House) -> None:
    await house.happen("page", "u2")
    await check_in(house, "u1")
    await check_in(house, "u2")
    await house.wait(days=1)
    await check_in(house, "u2")
    await house.wait(days=1)
    await house.merge("u1", "u2")
    assert (await calendar(house, "u1")).total == (await calendar(house, "u2")).total == 2
    assert await house.available("points") == 15
    done = await check_in(house, "u1")
    assert (done.streak, done.total) == (3, 3)
    assert await refusal(check_in(house, "u2")) == "ALREADY_CHECKED_IN"
    await house.happen("checkin", "u2", end="web")
    assert await house.available("points") == 20
    await house.undo()
    totals = {user: (await calendar(house, user)).total for user in ("u1", "u2")}
    assert sorted(totals.values()) == [2, 2]
    assert await house.available("points", "u1") + await house.available("points", "u2") == 20


async def test_seven_days_that_a_merge_puts_in_a_row_bring_their_chance_once(house: House) -> None:
    """At two ends by turns, seven days in a row; on the eighth it turns out to be one person."""
    await house.happen("page", "u2")
    for day in range(7):
        await check_in(house, "u2" if day % 2 else "u1")
        await house.wait(days=1)
    await house.merge("u1", "u2")
    assert await house.available(CHANCE) == 0
    assert CHANCE in [one.currency for one in (await calendar(house)).next_rewards]
    done = await check_in(house)
    assert (done.streak, [(one.currency, one.zh) for one in done.rewards]) == (
        8, [("points", "每日签到"), (CHANCE, "连续签到 7 天")],
    )  # fmt: skip
    for _ in range(6):
        await house.wait(days=1)
        await check_in(house)
    # The eighth to the fourteenth day are the second seven.
    assert (await house.available(CHANCE), await house.available("points")) == (2, 70)
    await house.undo()
    assert await house.available(CHANCE, "u1") + await house.available(CHANCE, "u2") == 2
    await house.merge("u1", "u2")
    await house.wait(days=1)
    await check_in(house, "u2")
    assert await house.available(CHANCE) == 2


async def test_a_row_that_ended_before_the_merge_is_owed_too(house: House) -> None:
    """And what each had been given counts: two who both had seven days are owed nothing more."""
    await house.happen("page", "u2")
    for day in range(7):
        await check_in(house, "u2" if day % 2 else "u1")
        await house.wait(days=1)
    await house.wait(days=3)
    await house.merge("u1", "u2")
    await house.happen("checkin", "u2", end="app")
    assert await house.available(CHANCE) == 1
    await house.happen("page", "u3")
    await house.happen("page", "u4")
    for _ in range(7):
        await house.wait(days=1)
        await check_in(house, "u3")
        await check_in(house, "u4")
    await house.merge("u3", "u4")
    await house.wait(days=1)
    await check_in(house, "u3")
    assert await house.available(CHANCE, "u3") == 2


async def test_a_reward_of_two_currencies_is_one_reward(house: House) -> None:
    both = [Reward(currency=CHANCE, amount=1), Reward(currency="growth", amount=3)]
    await set_rules(house, Rules(streaks=[Streak(days=2, rewards=both)]))
    for _ in range(6):
        await check_in(house)
        await house.wait(days=1)
    assert (await house.available(CHANCE), await house.available("growth")) == (3, 9)


async def test_who_logs_in_brings_the_days_of_the_visitor(house: House) -> None:
    await house.happen("checkin", "anonymous_id=a1")
    await house.happen("page", "u9", others=identifier_key("anonymous_id", "a1"))
    await house.look()
    assert await refusal(check_in(house, "u9")) == "ALREADY_CHECKED_IN"
    await house.wait(days=1)
    assert (await check_in(house, "u9")).streak == 2


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    running = Racers("tests.store.checkin_racer")
    yield running
    running.close()


@pytest.mark.proof
async def test_a_double_click_is_one_check_in(house: House, racers: Racers, postgres_dsn: str) -> None:
    """Fifty days; on each, four processes check the person in at once, under two identifiers."""
    await house.happen("page", "u1", others=identifier_key("phone", "+8613800000001"))
    await house.look()
    persons = [("user_id", "u1"), ("phone", "13800000001")]
    job: dict[str, Any] = {"dsn": await dsn_of(house.db, postgres_dsn), "rounds": ROUNDS, "persons": persons}
    result = await racers.race(now=house.now.isoformat(), **job)
    assert result == Counter(done=ROUNDS, ALREADY_CHECKED_IN=(PROCESSES - 1) * ROUNDS)
    house.now += timedelta(days=ROUNDS)
    assert await house.available("points") == 5 * ROUNDS
    assert await house.available(CHANCE) == ROUNDS // 7
    without_lock = await racers.race(now=house.now.isoformat(), without=["lock"], **job)
    assert without_lock == result  # the key decides, and who lost tries again


@pytest.mark.proof
async def test_every_guard_of_a_double_click_is_needed(house: House, racers: Racers, postgres_dsn: str) -> None:
    job: dict[str, Any] = {"dsn": await dsn_of(house.db, postgres_dsn), "rounds": ROUNDS}
    async with house.db.driver() as connection:
        await connection.execute("ALTER TABLE checkins DROP CONSTRAINT pk_checkins")
        await connection.execute("ALTER TABLE checkin_rewards DROP CONSTRAINT pk_checkin_rewards")
    guards = ["lock", "key"]
    for _ in range(CHANCES):
        result = await racers.race(persons=[("user_id", "u1")], now=house.now.isoformat(), without=guards, **job)
        house.now += timedelta(days=ROUNDS)
        if result["done"] > ROUNDS:
            break
    else:
        pytest.fail("nothing went wrong without the lock and the key of check-ins")
    days = (await calendar(house)).total
    assert await house.available("points") == 5 * days  # the ledger gives once for a day all the same
    for _ in range(CHANCES):
        result = await racers.race(
            persons=[("user_id", "u1")], now=house.now.isoformat(), without=[*guards, "reward"], **job
        )
        house.now += timedelta(days=ROUNDS)
        if await house.available("points") > 5 * (await calendar(house)).total:
            break
    else:
        pytest.fail("nothing went wrong without the keys of rewards")


@pytest.mark.proof
async def test_killed_while_checking_in_and_asked_again(house: House, racers: Racers, postgres_dsn: str) -> None:
    """Each day a process dies: around the commit, around the sending of the event; a second one asks again."""
    dsn = await dsn_of(house.db, postgres_dsn)
    await racers.crashes(CRASHES, dsn=dsn, now=house.now.isoformat(), person=("user_id", "u1"))
    house.now += timedelta(days=CRASHES - 1)
    assert (await calendar(house)).streak == CRASHES
    assert await house.available("points") == 5 * CRASHES
    assert await house.available(CHANCE) == CRASHES // 7
    assert (await told(house.db, lambda: house.now))["checkin"] == CRASHES


async def test_a_batch_of_history_takes_few_locks(db: Database) -> None:
    """One lock each for 50,000 identifiers is more than PostgreSQL's table holds: the stream stood still."""
    async with db.driver() as first, db.driver() as second, first.transaction():
        await checkin_records.lock(first, range(1, 50_001))
        held = await first.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        assert held == checkin_records.LOCKS_MAX
        await second.execute("SET lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            async with second.transaction():
                await checkin_records.lock(second, [49_999])
