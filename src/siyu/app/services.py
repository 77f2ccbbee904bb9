"""What every process opens: the engines, the stream, the installation's secret, the clock."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from siyu.app.stream import clock_of, open_stream
from siyu.clock import Now
from siyu.errors import SiyuError
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.files import write_private
from siyu.store.postgres import Database
from siyu.stream.stream import Stream


class Services(NamedTuple):
    """What rooms get handed."""

    settings: Settings
    db: Database
    events: EventStore
    stream: Stream
    now: Now
    secret: bytes


def installation_secret(settings: Settings) -> bytes:
    """SIYU_SECRET_KEY, else the one made at the first start and kept in SIYU_HOME/secret (0600)."""
    if settings.secret_key:
        return settings.secret_key.encode()
    path = settings.home_path / "secret"
    if not path.exists():
        write_private(path, secrets.token_hex(32).encode())
    return path.read_text().strip().encode()


def asked_to_stop() -> asyncio.Event:
    """Set when SIGTERM or Ctrl-C comes. To be called in the loop of the process."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


@asynccontextmanager
async def open_services(settings: Settings, *, consume: bool = False) -> AsyncIterator[Services]:
    """The engines and the stream, connected. Raises EngineUnavailable."""
    if settings.database_url is None or settings.events_url is None:
        raise SiyuError("Start through `siyu serve`: the addresses of the engines are not set.")
    async with AsyncExitStack() as stack:
        db = await Database.open(settings.database_url)
        stack.push_async_callback(db.close)
        events = await EventStore.open(settings.events_url)
        stack.push_async_callback(events.close)
        stream = await open_stream(settings, db, consume=consume)
        stack.push_async_callback(stream.close)
        yield Services(settings, db, events, stream, clock_of(settings), installation_secret(settings))
