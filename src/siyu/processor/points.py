"""What membership does with a batch, inside the committing transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.clock import Now
from siyu.identity.anchors import Anchors
from siyu.ledger import Ledger
from siyu.loyalty import react
from siyu.loyalty.earning import Occurrence
from siyu.processor.batch import Batch, object_of, texts
from siyu.processor.reactions import absorb_parts, named_rows
from siyu.processor.records import DeadLetter
from siyu.processor.repeats import as_told
from siyu.processor.work import event_as_letter
from siyu.shop.foreign import ORDER_KEY
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
        batch = as_told(batch)
        rows = np.flatnonzero(named_rows(batch, await self._rules.names(driver))).tolist()
        if not rows:
            return []
        now = self._now()
        events = dict(zip(rows, _occurrences(batch, anchors, rows), strict=True))

        async def earn(part: Sequence[int]) -> None:
            await react.absorb(driver, self._ledger, rules, [events[row] for row in part], now, store=self._events)

        refused = await absorb_parts(connection, rows, earn)
        return [event_as_letter(batch, row, _CODE, reason) for row, reason in refused]

    async def committed(self) -> None:
        """Nothing to do."""

    def reset(self) -> None:
        """Nothing is remembered that could be wrong."""


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
