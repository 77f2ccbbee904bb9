"""What the shop does from time to time. May run anywhere, at the same time twice."""

from __future__ import annotations

from siyu.clock import Now
from siyu.shop.outbox import send_waiting
from siyu.shop.placing import Tools
from siyu.shop.steps import lapse_due
from siyu.store.postgres import Database
from siyu.stream.stream import Stream


async def tend_orders(db: Database, stream: Stream, tools: Tools, now: Now) -> None:
    """Let unpaid orders lapse whose time is over, and bring into the stream what a process left behind."""
    await lapse_due(db, tools, now)
    await send_waiting(db, stream, now)
