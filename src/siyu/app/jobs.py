"""What time brings about, whether events come or not, in a process of its own: while a flood is processed its Python
would stand in the way of the processor's (decision 0460)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from zoneinfo import ZoneInfo

from siyu.app.selling import order_tools
from siyu.app.services import Services, asked_to_stop, open_services
from siyu.coupons.jobs import end_what_is_over
from siyu.identity.outbox import keep_sending
from siyu.ledger import Ledger
from siyu.ledger.jobs import keep_sealing
from siyu.loyalty import settle_due
from siyu.membership.birthdays import give_birthdays
from siyu.processor.run import keep_running
from siyu.profile.jobs import REFRESH_SECONDS, put_aside_superseded, refresh_rfm
from siyu.settings import Settings
from siyu.shop.arriving import follow_up
from siyu.shop.jobs import Days, move_on, pay_out
from siyu.shop.payment import providers
from siyu.shop.steps import lapse_due
from siyu.store.replies import forget


class _Job(NamedTuple):
    """What is done again and again (`keep_running`)."""

    name: str
    do: Callable[[], Awaitable[object]]
    every_s: float = 1.0
    rest: float = 100


def _jobs(services: Services) -> list[_Job]:
    db, now, settings = services.db, services.now, services.settings
    ledger = Ledger(ZoneInfo(settings.timezone))
    tools = order_tools(services, ledger)
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


async def jobs(settings: Settings) -> None:
    """Do them until SIGTERM. Any number of processes may: each job is done once whoever does it."""
    stopping = asked_to_stop()
    async with open_services(settings) as services:
        await asyncio.gather(
            keep_sealing(services.db, services.secret, services.now, stopping),
            keep_sending(services.db, services.stream, services.now, stopping),
            *(keep_running(job.name, job.do, job.every_s, stopping, job.rest) for job in _jobs(services)),
        )
