"""Which day of the check-in cycle persons are on, as their calendar says it, as every room may read it.

The room of membership decides who checked in and writes it. `connection` is a raw asyncpg connection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from siyu.identity.members import Named
from siyu.profile import checkin_records as records
from siyu.rules.window import Setting, epoch_ms

CYCLE_DAY: Final = "checkin.cycle_day"
MONTH: Final = "month"


class _Cycle(msgspec.Struct, frozen=True):
    kind: str = "days"
    days: int = 7


class _Rules(msgspec.Struct, frozen=True):
    cycle: _Cycle = _Cycle()


class Asked(NamedTuple):
    """Somebody at an instant."""

    named: Named
    at: datetime


def day_of_cycle(kind: str, days: int, streak: int, today: date) -> int:
    """Which day of the cycle the last day of a streak is; 0 without a streak, of a cycle of days in a row."""
    if kind == MONTH:
        return today.day
    return (streak - 1) % days + 1 if streak else 0


def streak_on(days: Collection[date], day: date) -> int:
    """Days in a row up to `day`; 0 when it is none of them."""
    length = 0
    while day - timedelta(days=length) in days:
        length += 1
    return length


def streak_now(days: Collection[date], today: date) -> int:
    """Days in a row up to today, or up to yesterday while today is not over."""
    return streak_on(days, today) or streak_on(days, today - timedelta(days=1))


async def _cycle(connection: Any) -> _Cycle:
    text = await records.newest_rules(connection)
    return _Cycle() if text is None else msgspec.json.decode(text, type=_Rules).cycle


async def cycle_days(connection: Any, setting: Setting) -> int | dict[int, int]:
    """The day of the cycle that everybody is on, or person → day of those who are in a streak."""
    cycle, today = await _cycle(connection), setting.today
    if cycle.kind == MONTH:
        return day_of_cycle(cycle.kind, cycle.days, 0, today)
    found = await records.streaks(connection, today, setting.now)
    return {person: day_of_cycle(cycle.kind, cycle.days, streak, today) for person, streak in found.items()}


async def cycle_days_at(connection: Any, asked: Sequence[Asked], zone: ZoneInfo) -> list[int]:
    """The day of the cycle each was on at an instant of their own, with what had happened by then."""
    cycle = await _cycle(connection)
    known: defaultdict[int, list[tuple[date, datetime]]] = defaultdict(list)
    if cycle.kind != MONTH:
        anchors = {member.anchor for one in asked for member in one.named.members}
        for anchor, day, at in await records.days_of(connection, anchors):
            known[anchor].append((day, at))
    found = []
    for one in asked:
        days = {
            day
            for member in one.named.members
            for day, at in known[member.anchor]
            if at <= one.at and member.since_ms <= epoch_ms(at) < member.until_ms
        }
        today = one.at.astimezone(zone).date()
        found.append(day_of_cycle(cycle.kind, cycle.days, streak_now(days, today), today))
    return found
