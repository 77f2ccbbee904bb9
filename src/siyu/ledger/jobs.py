"""The sealer at work beside everything else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from siyu.clock import Now
from siyu.errors import SiyuError
from siyu.ledger.sealing import Sealer, seal_all
from siyu.store.postgres import Database

log = structlog.get_logger(__name__)
EVERY_SECONDS: Final = 1.0


async def keep_sealing(db: Database, secret: bytes, now: Now, stopping: asyncio.Event) -> None:
    """Seal what was committed, every second, until stopped, and once more then. A failure is logged and tried again.

    Any number of processes may do so: one of them seals."""
    sealer = Sealer(secret)
    while True:
        last = stopping.is_set()
        try:
            await seal_all(db, sealer, now, stopping)
        except SiyuError as error:
            log.warning("sealing put off", error=str(error))
        except Exception:
            log.exception("sealing failed")
        if last:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), EVERY_SECONDS)
