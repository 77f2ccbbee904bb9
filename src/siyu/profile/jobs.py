"""What the profile does from time to time. Every job may run again, or at the same time twice, without harm."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from siyu.ids import MANY, SINGLE
from siyu.profile import records
from siyu.profile.portrait import RFM_FIGURE
from siyu.profile.rfm import Cuts
from siyu.profile.trait import superseded
from siyu.store.postgres import Database, driver_of

EVENTS_KEPT_MAX: Final = 64
"""Trait events of one identifier above which those that no longer matter are put aside."""
REFRESH_SECONDS: Final = 3_600
"""How often to run the jobs."""


async def refresh_rfm(db: Database, now: datetime, zone: ZoneInfo) -> Cuts:
    """Take the RFM cut points anew from all buyers."""
    today = now.astimezone(zone).date()
    async with db.begin() as conn:
        connection = await driver_of(conn)
        points = await records.rfm_cuts(connection, today, zone.key)
        recency, frequency, monetary = (tuple(values or ()) for values in points)
        cuts = Cuts(recency, frequency, monetary, today)
        await records.write_figure(connection, RFM_FIGURE, msgspec.json.encode(cuts).decode(), now)
    return cuts


async def put_aside_superseded(db: Database) -> int:
    """Move trait events that can never matter again out of the way of reads; how many.

    Only for identifiers that are one person's for ever: a fold over a part of their time is never asked for."""
    moved = 0
    async with db.driver() as connection:
        busy = await records.busy_anchors(connection, (*SINGLE, *MANY), EVENTS_KEPT_MAX)
    for anchor in busy:
        async with db.begin() as conn:
            connection = await driver_of(conn)
            rows = await records.keyed_trait_events(connection, anchor)
            dead = {event[:4] for event in superseded(rows.values())}
            keys = [key for key, event in rows.items() if event[:4] in dead]
            moved += await records.put_aside(connection, anchor, keys)
    return moved
