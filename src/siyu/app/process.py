"""The process of the role `process`: the stream's processor, and the jobs beside it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from siyu.app.selling import order_tools
from siyu.app.services import Services, open_services
from siyu.coupons.jobs import end_what_is_over
from siyu.identity.outbox import keep_sending
from siyu.ledger import Ledger
from siyu.ledger.jobs import keep_sealing
from siyu.loyalty import settle_due
from siyu.membership.birthdays import give_birthdays
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
from siyu.shop.arriving import follow_up
from siyu.shop.jobs import Days, move_on, pay_out
from siyu.shop.payment import providers
from siyu.shop.placing import Tools
from siyu.shop.react import Listener
from siyu.shop.steps import lapse_due
from siyu.store.replies import forget

_BUSY_EVENTS: Final = 2_000
"""With more events waiting, what can wait does."""


class _Job(NamedTuple):
    """What is done again and again (`keep_running`)."""

    name: str
    do: Callable[[], Awaitable[object]]
    every_s: float = 1.0
    rest: float = 100


def _jobs(services: Services, ledger: Ledger, tools: Tools) -> list[_Job]:
    """What time brings about, whether events come or not."""
    db, now, settings = services.db, services.now, services.settings
    bank, days = providers(db), Days(settings.order_receive_days, settings.order_complete_days)
    return [
        _Job("rfm cuts", lambda: refresh_rfm(db, now(), ledger.zone), 60.0),
        _Job("old traits", lambda: put_aside_superseded(db), REFRESH_SECONDS),
        _Job("replies", lambda: forget(db, now()), REFRESH_SECONDS),
        _Job("orders", lambda: lapse_due(db, tools, now)),
        # A provider may take its time: who waits for money does not wait a hundred times as long.
        _Job("payments", lambda: follow_up(db, tools, bank, now), rest=1),
        _Job("refunds", lambda: pay_out(db, bank, now), rest=1),
        _Job("orders on their way", lambda: move_on(db, tools, days, now)),
        _Job("points", lambda: settle_due(db, ledger, now())),
        _Job("birthdays", lambda: give_birthdays(db, ledger, now(), ledger.zone), 10.0),
        _Job("coupons", lambda: end_what_is_over(db, now)),
    ]


async def process(settings: Settings) -> None:
    """Process the stream until SIGTERM."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
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
                SegmentReaction(touched.set),
                IdentityReaction(events, services.secret, settings.identifiers_per_person_max, changed.set),
            ]

        beside = [
            keeper.run(touched, stopping),
            Listener(db, now, busy).run(heard, stopping),
            keep_mirrored(db, events, changed, stopping),
            keep_sealing(db, services.secret, now, stopping),
            keep_sending(db, services.stream, now, stopping),
            *(
                keep_running(job.name, job.do, job.every_s, stopping, job.rest)
                for job in _jobs(services, ledger, order_tools(services, ledger))
            ),
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
