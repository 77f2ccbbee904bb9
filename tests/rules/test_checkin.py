"""Check-in: streaks, cycles and rewards against a slow reference that walks through the days."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.membership.checkin import (
    Cycle,
    CycleKind,
    Given,
    InvalidCheckinRules,
    MakeUp,
    On,
    Reward,
    Rules,
    Streak,
    checked,
    cycle_day,
    grants,
    words,
)
from siyu.membership.checkin_owed import Known, Live, live, owed
from siyu.profile.checkins import streak_now, streak_on

START = date(2024, 2, 20)
"""A leap year: the 29 February is one of the days."""
POINT = [Reward(currency="points", amount=1)]


def reference_streaks(days: set[date]) -> dict[date, int]:
    """Days in a row up to each day, walking from the first to the last."""
    streaks: dict[date, int] = {}
    day = min(days)
    while day <= max(days):
        streaks[day] = streaks.get(day - timedelta(days=1), 0) + 1 if day in days else 0
        day += timedelta(days=1)
    return streaks


def reference_rewards(rules: Rules, days: set[date]) -> Counter[str]:
    """What somebody has after all these days, each checked in on in its time."""
    found: Counter[str] = Counter()
    months: Counter[str] = Counter()
    for day, streak in reference_streaks(days).items():
        if not streak:
            continue
        found["daily"] += 1
        for on in rules.cycle.on:
            place = (streak - 1) % rules.cycle.days + 1 if rules.cycle.kind is CycleKind.DAYS else day.day
            found[f"cycle/{on.days}"] += place == on.days
        for one in rules.streaks:
            found[f"streak/{one.days}"] += streak % one.days == 0 if one.repeat else streak == one.days
        months[f"{day:%Y-%m}"] += 1
        for on in rules.month:
            found[f"month/{day:%Y-%m}/{on.days}"] += months[f"{day:%Y-%m}"] == on.days
    return +found


def played(rules: Rules, order: list[date]) -> Counter[str]:
    """What somebody has who fills the days in this order."""
    days: set[date] = set()
    known: list[Given] = []
    for day in order:
        days.add(day)
        known += [Given(day, grant.item) for grant in grants(rules, days, day, known)]
    return Counter(one.item for one in known)


DAYS = st.sets(st.integers(0, 60), min_size=1, max_size=45).map(lambda ns: {START + timedelta(days=n) for n in ns})
ON = st.lists(st.integers(1, 7), unique=True, max_size=3).map(lambda ns: [On(days=n, rewards=POINT) for n in ns])
RULES = st.builds(
    lambda kind, on, streaks, month: Rules(
        daily=POINT, cycle=Cycle(kind=kind, days=7, on=on), streaks=streaks, month=month
    ),
    st.sampled_from(list(CycleKind)),
    ON,
    st.dictionaries(st.integers(1, 10), st.booleans(), max_size=3).map(
        lambda found: [Streak(days=days, repeat=repeat, rewards=POINT) for days, repeat in found.items()]
    ),
    st.lists(st.integers(1, 31), unique=True, max_size=2).map(lambda ns: [On(days=n, rewards=POINT) for n in ns]),
)


@given(RULES, DAYS)
def test_days_in_their_order_bring_what_the_reference_says(rules: Rules, days: set[date]) -> None:
    assert played(rules, sorted(days)) == reference_rewards(rules, days)


@given(RULES, DAYS, st.randoms(use_true_random=False))
def test_days_filled_in_any_order_bring_no_more_and_the_streaks_the_same(
    rules: Rules, days: set[date], random: object
) -> None:
    order = sorted(days)
    random.shuffle(order)  # type: ignore[attr-defined]  # a Random
    expected, found = reference_rewards(rules, days), played(rules, order)
    repeated = {f"streak/{one.days}" for one in rules.streaks if one.repeat} | {"daily"}
    for item in repeated | {item for item in expected if item.startswith("month/")}:
        assert found[item] == expected[item], item
    if rules.cycle.kind is CycleKind.MONTH:
        assert all(found[f"cycle/{on.days}"] == expected[f"cycle/{on.days}"] for on in rules.cycle.on)


@given(DAYS, st.integers(0, 62))
def test_streaks_are_those_of_the_reference(days: set[date], offset: int) -> None:
    streaks, today = reference_streaks(days), START + timedelta(days=offset)
    assert {day: streak_on(days, day) for day in streaks} == streaks
    yesterday = streaks.get(today - timedelta(days=1), 0)
    assert streak_now(days, today) == (streaks.get(today, 0) or yesterday)


def test_the_cycle_begins_again_and_february_has_its_29th() -> None:
    days = {date(2024, 2, 26) + timedelta(days=n) for n in range(9)}
    cycle = Cycle(days=7)
    assert [cycle_day(cycle, streak_on(days, day), day) for day in sorted(days)] == [1, 2, 3, 4, 5, 6, 7, 1, 2]
    assert streak_on(days, date(2024, 3, 1)) == 5
    month = Cycle(kind=CycleKind.MONTH)
    assert cycle_day(month, 5, date(2024, 2, 29)) == 29


def test_a_made_up_day_may_bring_nothing_of_its_own_and_still_helps_the_row() -> None:
    rules = Rules(daily=POINT, streaks=[Streak(days=3, rewards=POINT)], make_up=MakeUp(rewarded=False), cycle=Cycle())
    days = {START, START + timedelta(days=1), START + timedelta(days=2)}
    assert [one.item for one in grants(rules, days, START + timedelta(days=1), (), made_up=True)] == ["streak/3"]


def test_new_rules_do_not_pay_for_days_that_are_over() -> None:
    days = {START + timedelta(days=n) for n in range(21)}
    rules = Rules(streaks=[Streak(days=3, rewards=POINT)])
    assert [one.item for one in grants(rules, days, START + timedelta(days=20), ())] == ["streak/3"]
    assert grants(rules, days | {START + timedelta(days=21)}, START + timedelta(days=21), ()) == []


def with_what_is_owed(terms: Live, days: set[date], known: list[Given], day: date) -> list[Given]:
    """After a check-in that finds these days and rewards."""
    days = days | {day}
    found = [*known, *(Given(day, one.item) for one in grants(terms.rules, days, day, known))]
    return [*found, *(Given(day, one.item) for one in owed(terms, Known(days, found, ())))]


def counted(known: list[Given]) -> Counter[str]:
    """How often each thing was given; whatever day of a row it was for."""
    return Counter(one.item if one.item.startswith("month/") else "/".join(one.item.split("/")[:2]) for one in known)


@given(RULES, DAYS, st.randoms(use_true_random=False))
def test_days_that_a_merge_joins_bring_what_one_person_would_have_and_never_something_twice(
    rules: Rules, days: set[date], random: object
) -> None:
    terms = live([(rules, None)])
    mine = {day for day in sorted(days) if random.random() < 0.5}  # type: ignore[attr-defined]  # a Random
    known: list[Given] = []
    for part in (mine, days - mine):
        own: list[Given] = []
        for place, day in enumerate(sorted(part)):
            own += [Given(day, one.item) for one in grants(rules, set(sorted(part)[: place + 1]), day, own)]
        known += own
    known = list(dict.fromkeys(known))
    next_day = max(days) + timedelta(days=1)
    alone, expected = counted(known), reference_rewards(rules, days | {next_day})
    after = with_what_is_owed(terms, days, known, next_day)
    found = counted(after)
    for item in expected:
        assert found[item] >= expected[item], item
        if not alone[item]:
            assert found[item] == expected[item], item
    assert owed(terms, Known(days | {next_day}, after, ())) == []
    later = with_what_is_owed(terms, days | {next_day}, after, next_day + timedelta(days=7))
    assert owed(terms, Known({*days, next_day, next_day + timedelta(days=7)}, later, ())) == []


@given(RULES, DAYS)
def test_who_checked_in_in_time_is_owed_nothing(rules: Rules, days: set[date]) -> None:
    known: list[Given] = []
    for place, day in enumerate(sorted(days)):
        known += [Given(day, one.item) for one in grants(rules, set(sorted(days)[: place + 1]), day, known)]
        assert owed(live([(rules, None)]), Known(sorted(days)[: place + 1], known, ())) == []


def test_promises_are_owed_from_the_day_after_they_were_made() -> None:
    three, seven = Streak(days=3, rewards=POINT), Streak(days=7, rewards=POINT)
    both, one, off = Rules(streaks=[three, seven]), Rules(streaks=[seven]), Rules(streaks=[seven], active=False)
    second, fourth = START + timedelta(days=1), START + timedelta(days=3)
    days = {START + timedelta(days=n) for n in range(8)}

    def items(*versions: tuple[Rules, date | None]) -> list[str]:
        return [grant.item for grant in owed(live(versions), Known(days, (), ()))]

    seventh = f"streak/7/{START + timedelta(days=6)}"
    assert items((one, None)) == [seventh]
    assert items((both, second), (one, None)) == [f"streak/3/{START + timedelta(days=n)}" for n in (2, 5)] + [seventh]
    assert items((both, fourth), (one, None)) == [f"streak/3/{START + timedelta(days=5)}", seventh]
    assert items((one, START + timedelta(days=6)), (off, None)) == []
    assert items((one, START + timedelta(days=5)), (off, None)) == [seventh]
    assert items((off, START)) == []


def test_a_filled_day_that_brings_nothing_is_owed_nothing_for_its_cycle() -> None:
    days = {START + timedelta(days=n) for n in range(4)}
    rules = Rules(cycle=Cycle(on=[On(days=3, rewards=POINT)]), make_up=MakeUp(rewarded=False))
    assert owed(live([(rules, None)]), Known(days, (), {START + timedelta(days=1)})) == []
    assert [one.mark for one in owed(live([(rules, None)]), Known(days, (), ()))] == [START + timedelta(days=2)]


def test_what_is_owed_has_the_words_of_its_kind() -> None:
    assert words("streak/7/2026-06-07") == words("streak/7") == ("连续签到 7 天", "7 days in a row")
    assert words("month/2026-06/20") == ("本月累计签到 20 天", "20 days this month")


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        (Rules(cycle=Cycle(days=7, on=[On(days=8, rewards=POINT)])), "cycle.on[0].days"),
        (Rules(streaks=[Streak(days=7, rewards=POINT), Streak(days=7, rewards=POINT)]), "streaks"),
        (Rules(month=[On(days=32, rewards=POINT)]), "month"),
    ],
)
def test_rules_that_contradict_themselves_are_refused(rules: Rules, path: str) -> None:
    with pytest.raises(InvalidCheckinRules) as error:
        checked(rules)
    assert error.value.details["path"] == path
