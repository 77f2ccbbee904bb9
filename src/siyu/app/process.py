"""The process of the role `process`: the stream's processor, and the jobs beside it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from siyu.app.selling import order_tools
from siyu.app.services import open_services
from siyu.coupons.jobs import end_what_is_over
from siyu.identity.outbox import keep_sending
from siyu.ledger import Ledger
from siyu.ledger.jobs import keep_sealing
from siyu.loyalty import settle_due
from siyu.membership.tier_follow import TierFollower
from siyu.processor.actions import stream_state
from siyu.processor.checkins import CheckinReaction
from siyu.processor.orders import OrderReaction
from siyu.processor.points import PointsReaction
from siyu.processor.reactions import IdentityReaction, ProfileReaction, SegmentReaction
from siyu.processor.run import keep_mirrored, keep_running, run_processor
from siyu.processor.work import Reaction
from siyu.profile.jobs import REFRESH_SECONDS, put_aside_superseded, refresh_rfm
from siyu.segments.keep import Keeper
from siyu.segments.population import Source
from siyu.segments.words import WORDS
from siyu.settings import Settings
from siyu.shop.jobs import Days, move_on, pay_out
from siyu.shop.payment import providers
from siyu.shop.react import Listener
from siyu.shop.steps import lapse_due
from siyu.store.replies import forget

_CUTS_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 1.0
_BUSY_EVENTS: Final = 2_000
"""With more events waiting, what can wait does."""


async def process(settings: Settings) -> None:
    """Process the stream until SIGTERM."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with open_services(settings, consume=True) as services:
        changed = asyncio.Event()
        ledger = Ledger(ZoneInfo(settings.timezone))
        tools = order_tools(services, ledger)
        bank, days = providers(services.db), Days(settings.order_receive_days, settings.order_complete_days)
        touched, heard = asyncio.Event(), asyncio.Event()

        async def busy() -> bool:
            state = await stream_state(services.db)
            return state.accepted - state.processed > _BUSY_EVENTS

        source, zone = Source(services.db, services.events, WORDS), ZoneInfo(settings.timezone)
        keeper = Keeper(source, services.stream, services.now, zone, [TierFollower(source, zone)])

        def reactions() -> Sequence[Reaction]:
            # Identity last: it lets one process at a time write links, from here to the commit.
            return [
                ProfileReaction(services.now),
                CheckinReaction(ledger, services.now),
                PointsReaction(ledger, services.events, services.now),
                OrderReaction(heard.set),
                SegmentReaction(touched.set),
                IdentityReaction(services.events, services.secret, settings.identifiers_per_person_max, changed.set),
            ]

        beside = [
            keeper.run(touched, stopping),
            Listener(services.db, services.now, busy).run(heard, stopping),
            keep_mirrored(services.db, services.events, changed, stopping),
            keep_running(
                "rfm cuts",
                lambda: refresh_rfm(services.db, services.now(), ZoneInfo(settings.timezone)),
                _CUTS_SECONDS,
                stopping,
            ),
            keep_running("old traits", lambda: put_aside_superseded(services.db), REFRESH_SECONDS, stopping),
            keep_running("replies", lambda: forget(services.db, services.now()), REFRESH_SECONDS, stopping),
            keep_running("orders", lambda: lapse_due(services.db, tools, services.now), _SETTLE_SECONDS, stopping),
            keep_running("refunds", lambda: pay_out(services.db, bank, services.now), _SETTLE_SECONDS, stopping),
            keep_running(
                "orders on their way",
                lambda: move_on(services.db, tools, days, services.now),
                _SETTLE_SECONDS,
                stopping,
            ),
            keep_running("points", lambda: settle_due(services.db, ledger, services.now()), _SETTLE_SECONDS, stopping),
            keep_running("coupons", lambda: end_what_is_over(services.db, services.now), _SETTLE_SECONDS, stopping),
            keep_sealing(services.db, services.secret, services.now, stopping),
            keep_sending(services.db, services.stream, services.now, stopping),
        ]
        tasks = [asyncio.create_task(work) for work in beside]
        await run_processor(
            db=services.db,
            events=services.events,
            stream=services.stream,
            secret=services.secret,
            reactions=reactions,
            stopping=stopping,
        )
        await asyncio.gather(*tasks)
