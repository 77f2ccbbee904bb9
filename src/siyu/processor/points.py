"""What membership does with a batch, inside the committing transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.clock import Now
from siyu.identity.anchors import Anchors
from siyu.identity.members import named_by_anchor
from siyu.ledger import Ledger
from siyu.loyalty import react
from siyu.loyalty.earning import Occurrence
from siyu.processor.batch import Batch, object_of, texts
from siyu.processor.reactions import absorb_parts, named_rows
from siyu.processor.records import DeadLetter
from siyu.processor.work import event_as_letter
from siyu.shop.events import SOURCE
from siyu.shop.foreign import MONEY, ORDER_KEY, UNNAMED, about_of
from siyu.shop.foreign_records import ours
from siyu.shop.order_records import OURS
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import driver_of

_CODE: Final = "POINTS_REFUSED"


class PointsReaction:
    """Points that events earn, and take back."""

    def __init__(self, ledger: Ledger, events: EventStore, now: Now) -> None:
        self._ledger = ledger
        self._events = events
        self._now = now
        self._rules = react.Rules()

    async def absorb(self, connection: AsyncConnection, batch: Batch, anchors: Anchors) -> list[DeadLetter]:
        """Post what the batch earns; an event that cannot be booked becomes a dead letter."""
        driver = await driver_of(connection)
        rules = await self._rules.live(driver)
        rows = np.flatnonzero(named_rows(batch, await self._rules.names(driver))).tolist()
        if not rows:
            return []
        now = self._now()
        events = dict(zip(rows, _occurrences(batch, anchors, rows), strict=True))
        echoed = await _echoes(driver, events)
        rows = [row for row in rows if row not in echoed]

        async def earn(part: Sequence[int]) -> None:
            await react.absorb(driver, self._ledger, rules, [events[row] for row in part], now, store=self._events)

        refused = await absorb_parts(connection, rows, earn)
        return [event_as_letter(batch, row, _CODE, reason) for row, reason in refused]

    async def committed(self) -> None:
        """Nothing to do."""

    def reset(self) -> None:
        """Nothing is remembered that could be wrong."""


async def _echoes(connection: Any, events: Mapping[int, Occurrence]) -> set[int]:
    """The rows in which an end tells of the money of one of the person's orders in our own shop, which tells of it
    itself, once."""
    abouts = {
        row: about
        for row, one in events.items()
        if one.name in MONEY and one.source != SOURCE and (about := about_of(one.properties)) is not None
    }
    named = {row: about.order_id for row, about in abouts.items() if about.source in (UNNAMED, OURS)}
    owners = await ours(connection, sorted(set(named.values()))) if named else {}
    asked = {row: owner for row, order in named.items() if (owner := owners.get(order)) is not None}
    pairs = [(anchor, events[row].at) for row, owner in asked.items() for anchor in (events[row].anchor, owner)]
    found = await named_by_anchor(connection, pairs) if pairs else []
    persons = [None if one is None else one.person for one in found]
    return {
        row
        for row, teller, buyer in zip(asked, persons[::2], persons[1::2], strict=True)
        if teller is not None and teller == buyer
    }


def _occurrences(batch: Batch, anchors: Anchors, rows: Sequence[int]) -> list[Occurrence]:
    return [
        Occurrence(
            name, anchor, datetime.fromtimestamp(at_ms / 1000, UTC), event_id, source, fen, object_of(said), end, order
        )
        for name, anchor, at_ms, event_id, source, fen, said, end, order in zip(
            texts(batch, "name", rows),
            anchors[batch.place[rows]].tolist(),
            batch.occurred_ms[rows].tolist(),
            texts(batch, "event_id", rows),
            texts(batch, "source", rows),
            batch.events["value_fen"].to_numpy()[rows].tolist(),
            texts(batch, "properties", rows),
            texts(batch, "end", rows),
            [_order(batch, anchors, row) for row in rows],
            strict=True,
        )
    ]


def _order(batch: Batch, anchors: Anchors, row: int) -> int:
    """The identifier of the order of a connected shop that an event stands under or carried; 0: none."""
    places = (int(batch.place[row]), *batch.others.get(row, ()))
    return next((int(anchors[place]) for place in places if batch.keys[place].startswith(ORDER_KEY)), 0)
