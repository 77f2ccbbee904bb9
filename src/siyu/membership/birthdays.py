"""Birthday presents: points that a tier gives once a year, on the local day of the birthday.

Exactly once by the key of the grant, which is the year and the identifier it is earned under; whoever got it under
another of the person's identifiers does not get it again, nor does who changes the birthday within the year.

What fell due while nobody looked is made up for: days since the last look, at most CATCH_UP_DAYS back, by what was so
when they ended. A day is finished by a look on a later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np

from siyu.identity.members import Named, named_by_anchor
from siyu.ledger import Command, Ledger, derived_key
from siyu.ledger.read_records import holders_from, used_keys
from siyu.ledger.records import lock_holders
from siyu.loyalty.actions import settle
from siyu.loyalty.posting import Stamp, earning
from siyu.loyalty.wallet import Wallets, anchor_of, passing_anchors, wallets
from siyu.membership import tier_records
from siyu.membership.ladder import READY, Benefit
from siyu.profile import attributes
from siyu.profile.attributes import Column
from siyu.profile.tiers import tiers_at
from siyu.rules.window import Setting, epoch_ms
from siyu.store.postgres import Database, driver_of

BY: Final = "birthday"
CATCH_UP_DAYS: Final = 7
"""So long after the day a present still comes: a server is down for a week of holidays with nobody to mend it."""
_DAYS: Final = "birthday_in_days"
_SEEN: Final = "first_seen"
_PERSONS_AT_ONCE: Final = 200


class _Due(NamedTuple):
    """Presents of one day."""

    year: int
    persons: list[tuple[int, Benefit]]


def days_due(looked: date | None, today: date) -> list[date]:
    """Of which days presents may be due, the last look having been on the day `looked`: since then, today last."""
    first = today if looked is None else max(looked, today - timedelta(days=CATCH_UP_DAYS))
    return [first + timedelta(days=n) for n in range((today - first).days)] + [today]


async def give_birthdays(db: Database, ledger: Ledger, now: datetime, zone: ZoneInfo) -> int:
    """Give what is due today, and what fell due since the last look; to how many persons. May run at any time, at the
    same time twice."""
    today, given = now.astimezone(zone).date(), 0
    async with db.driver() as connection:
        looked = await tier_records.birthdays_looked(connection)
        found = [await _due_on(connection, day, now, zone) for day in days_due(looked, today)]
    for due in found:
        for start in range(0, len(due.persons), _PERSONS_AT_ONCE):
            part = due._replace(persons=due.persons[start : start + _PERSONS_AT_ONCE])
            async with db.begin() as conn:
                given += await _give(await driver_of(conn), ledger, part, now)
    if looked is None or looked < today:
        async with db.begin() as conn:
            await tier_records.note_birthdays(await driver_of(conn), today, now)
    return given


async def _due_on(connection: Any, day: date, now: datetime, zone: ZoneInfo) -> _Due:
    """Who has the birthday on a day and stood on a tier that gives: now, or when the day ended."""
    over = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC) - timedelta(milliseconds=1)
    at = min(now, over)
    stored = await tier_records.ladder_at(connection, at)
    tiers = READY.tiers if stored is None else stored.tiers
    gifts = {tier.name: gift for tier in tiers if (gift := tier.birthday) is not None}
    if not gifts:
        return _Due(day.year, [])
    setting = Setting(at, zone)
    persons = _whose(await attributes.columns(connection, [_DAYS], setting), _DAYS, 0)
    if at < now and persons:
        # Who came later was no member on that day: the lowest tier says nothing of since when.
        persons = _whose(await attributes.columns(connection, [_SEEN], setting, persons), _SEEN, epoch_ms(at))
    standing = await tiers_at(connection, [(person, at) for person in persons])
    of_each = zip(persons, standing, strict=True)
    return _Due(day.year, [(person, gifts[tier]) for person, tier in of_each if tier in gifts])


def _whose(columns: Mapping[str, Column], name: str, most: int) -> list[int]:
    """Of whom an attribute is at most so much."""
    column = columns[name]
    codes = [code for code, value in enumerate(column.values) if value <= most]
    found: list[int] = np.sort(column.persons[np.isin(column.codes, codes)]).tolist()
    return found


async def _give(connection: Any, ledger: Ledger, due: _Due, now: datetime) -> int:
    found = await named_by_anchor(connection, [(person, now) for person, _ in due.persons])
    owners = [(named, gift) for named, (_, gift) in zip(found, due.persons, strict=True) if named is not None]
    anchors = passing_anchors(named for named, _ in owners)
    known = await holders_from(connection, list(anchors)) if anchors else {}
    at_ms, year = epoch_ms(now), due.year
    wanted = []
    for named, gift in owners:
        mine = wallets(named, known, at_ms)
        stamp = Stamp(_key(year, anchor_of(mine.own)), derived_key(BY), now, BY)
        wanted.append((mine, _command(named, mine, gift, stamp, year)))
    used = await used_keys(connection, [key for _, one in wanted for key in (one.key, *one.unless)])
    fresh = [(mine, one) for mine, one in wanted if used.isdisjoint((one.key, *one.unless))]
    if not fresh:
        return 0
    everybody = {holder: mine for mine, _ in fresh for holder in mine.holders}
    await lock_holders(connection, list(everybody))
    await settle(connection, ledger, everybody, now)
    outcomes = await ledger.post(connection, [one for _, one in fresh])
    return sum(outcome.refused is None and outcome.fresh for outcome in outcomes)


def _key(year: int, anchor: int) -> UUID:
    return derived_key(BY, year, anchor)


def _command(named: Named, mine: Wallets, gift: Benefit, stamp: Stamp, year: int) -> Command:
    others = {member.anchor for member in named.members} - {anchor_of(mine.own)}
    flow = earning(mine, gift.points)
    return Command(
        stamp.key, stamp.request, "earn", (flow,), stamp.at, occurred_at=stamp.at, reason=gift.zh or "生日礼",
        cause=f"{BY}/{year}", by=stamp.by, report=flow.repay,
        unless=tuple(_key(year, anchor) for anchor in sorted(others)),
    )  # fmt: skip
