"""What the shop hears of a batch, inside the committing transaction: steps of orders that others made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.identity.anchors import Anchors
from siyu.processor.batch import Batch
from siyu.processor.reactions import named_rows
from siyu.processor.records import DeadLetter
from siyu.processor.repeats import as_told
from siyu.shop.events import SOURCE
from siyu.shop.foreign import HEARD, NAMES, pack
from siyu.shop.foreign_records import add_heard
from siyu.store.postgres import driver_of


class OrderReaction:
    """Notes the steps of orders; what they mean is worked out beside the processor."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard
        self._noted = False

    async def absorb(self, connection: AsyncConnection, batch: Batch, anchors: Anchors) -> list[DeadLetter]:
        """Keep the columns of the steps that are not our own shop's."""
        again, batch = batch.again, as_told(batch)
        steps = named_rows(batch, NAMES)
        if not steps.any():
            return []
        source = batch.events["source"].combine_chunks()
        own = np.array([name == SOURCE for name in source.dictionary.to_pylist()], np.bool_)
        rows = np.flatnonzero(steps & ~own[source.indices.to_numpy()])
        if not len(rows):
            return []
        chosen = batch.events.select(["name", "end", "source", "event_id", "value_fen", "properties"]).take(rows)
        table = pa.table(
            {
                "name": chosen["name"].cast(pa.string()),
                "anchor": pa.array(anchors[batch.place[rows]].astype(np.int64)),
                "at_ms": pa.array(batch.occurred_ms[rows]),
                "end": chosen["end"].cast(pa.string()),
                "source": chosen["source"].cast(pa.string()),
                "event_id": chosen["event_id"],
                "value_fen": chosen["value_fen"],
                "properties": chosen["properties"],
                "again": pa.array([row in again for row in rows.tolist()], pa.bool_()),
            },
            schema=HEARD,
        )
        await add_heard(await driver_of(connection), table.num_rows, pack(table))
        self._noted = True
        return []

    async def committed(self) -> None:
        """Wake the listener."""
        if self._noted:
            self._noted = False
            self._heard()

    def reset(self) -> None:
        """Nothing is remembered."""
