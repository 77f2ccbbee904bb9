"""The stream's processor, and what events wake: who is in which segment, the orders that foreign shops tell of, the
mirror of who is who. What only time brings about has a process of its own (`jobs`)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from siyu.app.services import asked_to_stop, open_services
from siyu.ledger import Ledger
from siyu.membership.tier_follow import TierFollower
from siyu.processor.actions import stream_state
from siyu.processor.checkins import CheckinReaction
from siyu.processor.invites import InviteReaction
from siyu.processor.orders import OrderReaction
from siyu.processor.points import PointsReaction
from siyu.processor.reactions import IdentityReaction, ProfileReaction, SegmentReaction
from siyu.processor.run import keep_mirrored, run_processor
from siyu.processor.voiding import keep_voiding
from siyu.processor.work import Reaction
from siyu.segments.keep import Keeper
from siyu.segments.population import Source
from siyu.segments.words import WORDS
from siyu.settings import Settings
from siyu.shop.react import Listener

_BUSY_EVENTS: Final = 2_000
"""With more events waiting, what can wait does."""


async def process(settings: Settings) -> None:
    """Process the stream until SIGTERM."""
    stopping = asked_to_stop()
    async with open_services(settings, consume=True) as services:
        db, events, now = services.db, services.events, services.now
        zone = ZoneInfo(settings.timezone)
        ledger, source = Ledger(zone), Source(db, events, WORDS)
        changed, touched, heard = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def busy() -> bool:
            state = await stream_state(db)
            return state.accepted - state.processed > _BUSY_EVENTS

        keeper = Keeper(source, services.stream, now, zone, [TierFollower(source, zone)], busy=busy)

        def reactions() -> Sequence[Reaction]:
            # Identity last: it lets one process at a time write links, from here to the commit.
            return [
                ProfileReaction(now),
                CheckinReaction(ledger, now),
                PointsReaction(ledger, events, now),
                OrderReaction(heard.set),
                InviteReaction(services.secret),
                SegmentReaction(touched.set),
                IdentityReaction(events, services.secret, settings.identifiers_per_person_max, changed.set),
            ]

        beside = [
            keeper.run(touched, stopping),
            Listener(db, now, busy).run(heard, stopping),
            keep_voiding(db, now, stopping),
            keep_mirrored(db, events, changed, stopping),
        ]
        tasks = [asyncio.create_task(work) for work in beside]
        await run_processor(
            db=db,
            events=events,
            stream=services.stream,
            secret=services.secret,
            reactions=reactions,
            stopping=stopping,
        )
        await asyncio.gather(*tasks)
