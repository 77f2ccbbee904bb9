"""Check-ins as people and programs are shown them. Pure."""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from siyu.membership.checkin import words
from siyu.membership.checkin_records import RewardRow


class RewardShown(msgspec.Struct, frozen=True):
    """What a check-in gave, and for what."""

    currency: str
    amount: int
    zh: str
    en: str


class CheckedIn(msgspec.Struct, frozen=True):
    """A check-in."""

    person_id: str
    day: date
    at: datetime
    end: str
    how: str
    """`call`, `event` or `make_up`."""
    streak: int
    """Days in a row up to this day."""
    cycle_day: int
    total: int
    """All days ever."""
    month_total: int
    rewards: list[RewardShown]


class DayShown(msgspec.Struct, frozen=True):
    """A day of the calendar with a check-in."""

    day: date
    at: datetime
    end: str
    how: str
    rewards: list[RewardShown]


class MakeUpShown(msgspec.Struct, frozen=True):
    """What filling a missed day costs, and which days can be filled."""

    currency: str
    cost: int
    available: int
    days: list[date]


class Calendar(msgspec.Struct, frozen=True):
    """A person's check-ins in a month."""

    person_id: str
    month: str
    today: date
    checked_today: bool
    streak: int
    cycle_day: int
    total: int
    month_total: int
    days: list[DayShown]
    next_rewards: list[RewardShown]
    """What the next check-in brings."""
    make_up: MakeUpShown | None


def reward_shown(row: RewardRow) -> RewardShown:
    """A reward with its words."""
    return RewardShown(row.currency, row.amount, *words(row.item))
