"""Birthday presents: points that a tier gives once a year, on the local day of the birthday.

Exactly once by the key of the grant, which is the year and the identifier it is earned under; whoever got it under
another of the person's identifiers does not get it again, nor does who changes the birthday within the year.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
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
from siyu.profile.tiers import tiers_of
from siyu.rules.window import Setting
from siyu.store.postgres import Database, driver_of

BY: Final = "birthday"
_DAYS: Final = "birthday_in_days"
_PERSONS_AT_ONCE: Final = 200


async def give_birthdays(db: Database, ledger: Ledger, now: datetime, zone: ZoneInfo) -> int:
    """Give what is due today; to how many persons. May run at any time, at the same time twice."""
    async with db.driver() as connection:
        stored = await tier_records.ladders(connection, 1)
        tiers = stored[0].ladder.tiers if stored else READY.tiers
        gifts = {tier.name: gift for tier in tiers if (gift := tier.birthday) is not None}
        if not gifts:
            return 0
        column = (await attributes.columns(connection, [_DAYS], Setting(now, zone)))[_DAYS]
        today = [code for code, days in enumerate(column.values) if days == 0]
        persons: list[int] = column.persons[np.isin(column.codes, today)].tolist()
        standing = await tiers_of(connection, persons)
    due = [(person, gifts[tier]) for person in sorted(persons) if (tier := standing.get(person)) in gifts]
    given = 0
    for start in range(0, len(due), _PERSONS_AT_ONCE):
        async with db.begin() as conn:
            given += await _give(await driver_of(conn), ledger, due[start : start + _PERSONS_AT_ONCE], now)
    return given


async def _give(connection: Any, ledger: Ledger, due: Sequence[tuple[int, Benefit]], now: datetime) -> int:
    found = await named_by_anchor(connection, [(person, now) for person, _ in due])
    owners = [(named, gift) for named, (_, gift) in zip(found, due, strict=True) if named is not None]
    anchors = passing_anchors(named for named, _ in owners)
    known = await holders_from(connection, list(anchors)) if anchors else {}
    at_ms, year = int(now.timestamp() * 1000), now.astimezone(ledger.zone).year
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
