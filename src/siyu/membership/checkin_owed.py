"""What days in a row owe to somebody who did not have them in a row when they checked in: a merge joined them. Pure.

A check-in brings what its own day completes (`checkin.grants`). Days that come together without a check-in, because two
members turn out to be one person, complete rows and months too; the next check-in brings what is owed for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from siyu.membership.checkin import CycleKind, Given, Grant, Reward, Rules, paid_in, run_of

_Promise = tuple[str, int, int | None]
"""An item, the day of a row at which it is due first, and after how many more days again."""


class Live(NamedTuple):
    """Rules of check-in, and since when each promise stands."""

    rules: Rules
    since: Mapping[_Promise, date]
    """Promise → the day on which it was made; not named: with the first rules of all."""


class Known(NamedTuple):
    """What is known of one person."""

    days: Collection[date]
    given: Sequence[Given]
    filled: Collection[date]
    """Days that make-up cards filled."""


def promises(rules: Rules) -> Iterator[tuple[_Promise, Sequence[Reward]]]:
    """What rows of days and months bring."""
    if rules.cycle.kind is CycleKind.DAYS:
        for on in rules.cycle.on:
            yield (f"cycle/{on.days}", on.days, rules.cycle.days), on.rewards
    for streak in rules.streaks:
        yield (f"streak/{streak.days}", streak.days, streak.days if streak.repeat else None), streak.rewards
    for on in rules.month:
        yield (f"month/{on.days}", on.days, None), on.rewards


def live(versions: Sequence[tuple[Rules, date | None]]) -> Live:
    """The rules that count, of versions with the days on which they were made, newest first (None: from the beginning).

    A promise is as old as the first version from which on it was always made. Of versions that are not told nothing is
    known: the oldest one told counts as the first to make its promises."""
    (rules, made), *older = versions
    standing = {promise: made for promise, _ in promises(rules)} if rules.active else {}
    open_ones = set(standing)
    for former, day in older:
        open_ones &= {promise for promise, _ in promises(former)} if former.active else set()
        standing |= dict.fromkeys(open_ones, day)
    return Live(rules, {promise: day for promise, day in standing.items() if day is not None})


def owed(terms: Live, known: Known) -> list[Grant]:
    """What is owed for days that are over, each with the day that it is for. `known.given`: with all that the check-in
    itself brings. Promises count from the day after the one on which they were made."""
    if not terms.rules.active:
        return []
    found = []
    rows = list(_rows(known.days))
    for promise, rewards in promises(terms.rules):
        item, first, every = promise
        since = terms.since.get(promise, date.min)
        if item.startswith("month/"):
            found += _months(known, first, since, rewards)
            continue
        filled = known.filled if item.startswith("cycle/") and not _rewarded(terms.rules) else ()
        given = [one for one in known.given if one.item.startswith(item)]
        for start, last in rows:
            if marks := _marks(start, last, first, every):
                for mark in _unpaid(marks, paid_in(given, item, start, last)):
                    if mark > since and not any(start <= day <= mark for day in filled):
                        found.append(Grant(f"{item}/{mark}", rewards, mark))
    return found


def _rewarded(rules: Rules) -> bool:
    return rules.make_up is not None and rules.make_up.rewarded


def _rows(days: Collection[date]) -> Iterator[tuple[date, date]]:
    """First and last of all days in a row."""
    for day in sorted(days):
        if day - timedelta(days=1) not in days:
            yield run_of(days, day)


def _marks(start: date, last: date, first: int, every: int | None) -> list[date]:
    """The days of a row at which something is due."""
    length = (last - start).days + 1
    if every is None:
        return [start + timedelta(days=first - 1)] if length >= first else []
    return [start + timedelta(days=place - 1) for place in range(first, length + 1, every)]


def _unpaid(marks: Sequence[date], days: Sequence[date]) -> list[date]:
    """The marks of a row that nothing was given for. A reward is for the mark of its own day, else (a day that was
    filled, two who each had been given) for the latest one that is left."""
    left = [mark for mark in marks if mark not in days]
    others = len(days) - (len(marks) - len(left))
    return left[: max(0, len(left) - others)]


def _months(known: Known, first: int, since: date, rewards: Sequence[Reward]) -> list[Grant]:
    """What is owed for so many days of a month."""
    months: dict[str, list[date]] = {}
    for day in sorted(known.days):
        months.setdefault(f"{day:%Y-%m}", []).append(day)
    told = {one.item for one in known.given}
    return [
        Grant(item, rewards, days[first - 1])
        for month, days in months.items()
        if len(days) >= first and days[first - 1] > since and (item := f"month/{month}/{first}") not in told
    ]
