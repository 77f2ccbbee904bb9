"""Check-ins that come as events, inside the committing transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.clock import Now
from siyu.collect.catalogue import spellings
from siyu.collect.own_events import CHECKIN
from siyu.identity.anchors import Anchors
from siyu.identity.members import named_by_anchor
from siyu.ledger import Ledger
from siyu.ledger.read_records import holders_from
from siyu.loyalty.wallet import passing_anchors, wallets
from siyu.membership.checkin import Rules
from siyu.membership.checkin_owed import Live
from siyu.membership.checkins import BY_EVENT, Visit, absorb, live_rules, local_day
from siyu.processor.batch import Batch, texts
from siyu.processor.reactions import absorb_parts, named_rows
from siyu.processor.records import DeadLetter
from siyu.processor.work import event_as_letter
from siyu.rules.window import epoch_ms
from siyu.store.postgres import driver_of

_CODE: Final = "CHECKIN_REFUSED"
_NAMES: Final = frozenset(spellings(CHECKIN))
_RULE_SECONDS: Final = 5.0
"""Changed rules are noticed within this time."""


class CheckinReaction:
    """Check-ins from any end: one per person and local day, whichever way it came."""

    def __init__(self, ledger: Ledger, now: Now) -> None:
        self._ledger = ledger
        self._now = now
        self._rules = Live(Rules(), {})
        self._read_at = float("-inf")

    async def absorb(self, connection: AsyncConnection, batch: Batch, anchors: Anchors) -> list[DeadLetter]:
        """Check in whoever did; an event that cannot be taken becomes a dead letter. One more on a day is none."""
        rows = np.flatnonzero(named_rows(batch, _NAMES)).tolist()
        if not rows:
            return []
        driver, now = await driver_of(connection), self._now()
        rules = await self._live(driver)
        ends = dict(zip(rows, texts(batch, "end", rows), strict=True))

        async def take(part: Sequence[int]) -> None:
            told = [
                (
                    int(anchors[batch.place[row]]),
                    datetime.fromtimestamp(int(batch.occurred_ms[row]) / 1000, UTC),
                    ends[row],
                )
                for row in part
            ]
            if visits := await self._visits(driver, told, now):
                await absorb(driver, self._ledger, rules, visits, now)

        refused = await absorb_parts(connection, rows, take)
        return [event_as_letter(batch, row, _CODE, reason) for row, reason in refused]

    async def _live(self, connection: Any) -> Live:
        if time.monotonic() - self._read_at > _RULE_SECONDS:
            self._rules = await live_rules(connection, self._ledger.zone)
            self._read_at = time.monotonic()
        return self._rules

    async def _visits(self, connection: Any, told: Sequence[tuple[int, datetime, str]], now: datetime) -> list[Visit]:
        """Who checked in. A day that has not come yet cannot be checked in on."""
        zone = self._ledger.zone
        today = local_day(now, zone)
        past = [one for one in told if local_day(one[1], zone) <= today]
        found = await named_by_anchor(connection, [(anchor, at) for anchor, at, _ in past])
        passing = passing_anchors(named for named in found if named is not None)
        known = await holders_from(connection, list(passing)) if passing else {}
        return [
            Visit(named, wallets(named, known, epoch_ms(at)), local_day(at, zone), at, end, BY_EVENT)
            for (_, at, end), named in zip(past, found, strict=True)
            if named is not None
        ]

    async def committed(self) -> None:
        """Nothing to do."""

    def reset(self) -> None:
        """Nothing is remembered that could be wrong."""
