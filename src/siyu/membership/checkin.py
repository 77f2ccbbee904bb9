"""Check-in: streaks of local days, cycles, and what each day brings. Pure.

Everything follows from the set of days on which somebody checked in, so that a day filled later (a late event, a
make-up card, another identifier of the same person) counts as if it had been there in time, and nothing is given twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

import msgspec

from siyu.errors import MalformedRequest
from siyu.profile.checkins import day_of_cycle

REWARDS_MAX: Final = 10
ITEMS_MAX: Final = 100
CHANCE: Final = "chance"
"""A chance in a lottery."""
MAKE_UP_CARD: Final = "makeup_card"

_Currency = Annotated[str, msgspec.Meta(min_length=1, max_length=50, pattern=r"^[a-z][a-z0-9_.-]*$")]
_Days = Annotated[int, msgspec.Meta(ge=1, le=3_660)]


class InvalidCheckinRules(MalformedRequest):
    """Rules of check-in that contradict themselves."""

    code = "INVALID_CHECKIN_RULES"
    status = 422


class Reward(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Units of a currency."""

    currency: _Currency
    amount: Annotated[int, msgspec.Meta(ge=1, le=10**9)]


_Rewards = Annotated[list[Reward], msgspec.Meta(min_length=1, max_length=REWARDS_MAX)]


class On(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What so many days bring."""

    days: _Days
    rewards: _Rewards


class Streak(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What so many days in a row bring, each time again or once per run of days."""

    days: _Days
    rewards: _Rewards
    repeat: bool = True


class CycleKind(StrEnum):
    """What the days of a cycle are counted in."""

    DAYS = "days"
    """Days in a row: after the last day the first one follows."""
    MONTH = "month"
    """The days of the calendar month."""


class Cycle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A cycle, and what its days bring."""

    kind: CycleKind = CycleKind.DAYS
    days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 7
    on: Annotated[list[On], msgspec.Meta(max_length=ITEMS_MAX)] = msgspec.field(default_factory=list)


class MakeUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a missed day is filled."""

    currency: _Currency = MAKE_UP_CARD
    cost: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 1
    days_back: Annotated[int, msgspec.Meta(ge=1, le=366)] = 7
    month_max: Annotated[int, msgspec.Meta(ge=0, le=31)] = 31
    """At most so many days of one calendar month."""
    rewarded: bool = True
    """Whether the filled day brings what its day brings; what a row of days brings, it always helps to."""


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What check-in brings."""

    active: bool = True
    daily: Annotated[list[Reward], msgspec.Meta(max_length=REWARDS_MAX)] = msgspec.field(default_factory=list)
    cycle: Cycle = msgspec.field(default_factory=Cycle)
    streaks: Annotated[list[Streak], msgspec.Meta(max_length=ITEMS_MAX)] = msgspec.field(default_factory=list)
    month: Annotated[list[On], msgspec.Meta(max_length=ITEMS_MAX)] = msgspec.field(default_factory=list)
    """So many days of one calendar month, in a row or not."""
    make_up: MakeUp | None = MakeUp()

    def currencies(self) -> set[str]:
        """All that is given or spent."""
        groups = [self.daily, *(one.rewards for one in self.cycle.on), *(one.rewards for one in self.streaks)]
        groups += [one.rewards for one in self.month]
        spent = {self.make_up.currency} if self.make_up else set()
        return {reward.currency for group in groups for reward in group} | spent


READY: Final = Rules(
    daily=[Reward(currency="points", amount=5)],
    streaks=[Streak(days=7, rewards=[Reward(currency=CHANCE, amount=1)])],
)
"""What every installation begins with."""


def checked(rules: Rules) -> Rules:
    """Itself. Raises InvalidCheckinRules."""
    limit = rules.cycle.days if rules.cycle.kind is CycleKind.DAYS else 31
    for place, one in enumerate(rules.cycle.on):
        if one.days > limit:
            raise InvalidCheckinRules(f"The cycle has {limit} days.", path=f"cycle.on[{place}].days")
    for name, numbers in (
        ("cycle.on", [one.days for one in rules.cycle.on]),
        ("streaks", [one.days for one in rules.streaks]),
        ("month", [one.days for one in rules.month]),
    ):
        if len(set(numbers)) < len(numbers):
            raise InvalidCheckinRules("A number of days stands there twice.", path=name)
    if any(one.days > 31 for one in rules.month):
        raise InvalidCheckinRules("A month has 31 days.", path="month")
    return rules


class Given(NamedTuple):
    """A reward that was given: by the check-in of which day, for what."""

    day: date
    item: str


class Grant(NamedTuple):
    """A reward to be given."""

    item: str
    rewards: Sequence[Reward]
    mark: date | None = None
    """The day that it is for, where that is not the day of the check-in."""


def paid_for(one: Given) -> date:
    """The day of a row that its reward is for: the one its item names (`streak/7/2026-06-07`), else that of the
    check-in which brought it."""
    mark = one.item.split("/", 2)[2:]
    return date.fromisoformat(mark[0]) if mark else one.day


def paid_in(given: Iterable[Given], item: str, first: date, last: date) -> list[date]:
    """The days of a row that something was given for."""
    mine = (one for one in given if one.item == item or one.item.startswith(f"{item}/"))
    return [day for day in map(paid_for, mine) if first <= day <= last]


def run_of(days: Collection[date], day: date) -> tuple[date, date]:
    """First and last of the days in a row around `day`, one of `days`."""
    first = last = day
    while first - timedelta(days=1) in days:
        first -= timedelta(days=1)
    while last + timedelta(days=1) in days:
        last += timedelta(days=1)
    return first, last


def cycle_day(cycle: Cycle, streak: int, day: date) -> int:
    """Which day of the cycle the last day of a streak is; 0 without a streak, of a cycle of days in a row."""
    return day_of_cycle(cycle.kind, cycle.days, streak, day)


def times(length: int, first: int, every: int | None) -> int:
    """How often a run of so many days has reached its day `first`, and every so many days after it."""
    if length < first:
        return 0
    return 1 if every is None else (length - first) // every + 1


def grants(
    rules: Rules, days: Collection[date], day: date, given: Iterable[Given], *, made_up: bool = False
) -> list[Grant]:
    """What the check-in of `day` brings, with it among `days`. `given`: what was given before."""
    if not rules.active:
        return []
    first, last = run_of(days, day)
    known = list(given)
    whole, left, right = (last - first).days + 1, (day - first).days, (last - day).days

    def earned(item: str, at: int, every: int | None) -> bool:
        more = times(whole, at, every) - times(left, at, every) - times(right, at, every)
        return more > 0 and times(whole, at, every) > len(paid_in(known, item, first, last))

    own = not made_up or (rules.make_up is not None and rules.make_up.rewarded)
    found: list[Grant] = []
    if own and rules.daily:
        found.append(Grant("daily", rules.daily))
    for on in rules.cycle.on if own else ():
        if rules.cycle.kind is CycleKind.MONTH:
            if day.day == on.days:
                found.append(Grant(f"cycle/{on.days}", on.rewards))
        elif earned(item := f"cycle/{on.days}", on.days, rules.cycle.days):
            found.append(Grant(item, on.rewards))
    for streak in rules.streaks:
        if earned(item := f"streak/{streak.days}", streak.days, streak.days if streak.repeat else None):
            found.append(Grant(item, streak.rewards))
    month = f"{day:%Y-%m}"
    count = sum((one.year, one.month) == (day.year, day.month) for one in days)
    told = {one.item for one in known}
    found += [
        Grant(item, on.rewards)
        for on in rules.month
        if count >= on.days and count - 1 < on.days and (item := f"month/{month}/{on.days}") not in told
    ]
    return found


_WORDS: Final = {
    "daily": ("每日签到", "Checked in"),
    "cycle": ("签到周期第 {n} 天", "Day {n} of the cycle"),
    "streak": ("连续签到 {n} 天", "{n} days in a row"),
    "month": ("本月累计签到 {n} 天", "{n} days this month"),
}


def words(item: str) -> tuple[str, str]:
    """What people read for what a reward was given for, Chinese and English."""
    kind, *parts = item.split("/")
    zh, en = _WORDS[kind]
    number = parts[-1] if kind == "month" else "".join(parts[:1])
    return zh.format(n=number), en.format(n=number)
