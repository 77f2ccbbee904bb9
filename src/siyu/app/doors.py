"""The doors in a process of their own (`doors`), beside that of console and API; imports what they need, no more."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple

import msgspec
import structlog
import uvicorn

from siyu.app.connections import Handed, HttpServer
from siyu.app.stream import clock_of, open_stream
from siyu.collect.actions import KeyRing
from siyu.collect.http import Door
from siyu.collect.report import report_of
from siyu.errors import SiyuError
from siyu.processor.records import stream_state
from siyu.settings import Settings
from siyu.store.postgres import Database

log = structlog.get_logger()

DOORS_FD: Final = "SIYU_DOORS_FD"
"""Names the file descriptors of this process's ends of the channels between `web` and each of `doors`."""
REPORT_PATH: Final = "/-/doors"
"""Answered only on the channel: nobody outside can ask."""
_BACKLOG_SECONDS: Final = 0.25

App = Callable[[Any, Any, Any], Awaitable[None]]


class Entrance(NamedTuple):
    """The doors of a process, open."""

    door: Door
    ring: KeyRing


class Backlog:
    """How many events wait to be processed, read at most four times a second."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.waiting = 0

    def __call__(self) -> int:
        return self.waiting

    async def watch(self) -> None:
        """Keep `waiting` fresh until cancelled."""
        while True:
            try:
                async with self._db.driver() as connection:
                    state = await stream_state(connection)
                self.waiting = state.accepted - state.processed
            except SiyuError as error:
                log.warning("backlog unknown", error=str(error))
            await asyncio.sleep(_BACKLOG_SECONDS)


@asynccontextmanager
async def watching(backlog: Backlog) -> AsyncIterator[None]:
    """Keep the backlog fresh meanwhile."""
    task = asyncio.create_task(backlog.watch())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def channels() -> list[socket.socket]:
    """This process's ends of the channels; none without the other processes."""
    ends = [socket.socket(fileno=int(fd)) for fd in os.environ.get(DOORS_FD, "").split(",") if fd]
    for end in ends:
        end.setblocking(False)
    return ends


def http_config(app: App, settings: Settings) -> uvicorn.Config:
    """How every process of ours speaks HTTP."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        lifespan="off",
        http="httptools",
        ws="none",
        log_config=None,
        proxy_headers=False,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


async def serve_doors(settings: Settings) -> None:
    """Answer the connections that are handed over, until SIGTERM."""
    ends = channels()
    if not ends or settings.database_url is None:
        raise SiyuError("Start through `siyu serve`.")
    async with AsyncExitStack() as stack:
        db = await Database.open(settings.database_url)
        stack.push_async_callback(db.close)
        stream = await open_stream(settings, db, consume=False)
        stack.push_async_callback(stream.close)
        backlog = Backlog(db)
        await stack.enter_async_context(watching(backlog))
        ring = KeyRing(db)
        door = Door(stream, ring, settings, now=clock_of(settings), backlog=backlog)
        rest = _Rest(settings, Entrance(door, ring), stack)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            path = scope["path"]
            if door.handles(path):
                await door(scope, receive, send)
            elif path == REPORT_PATH and scope["client"] is None:
                await answer_json(send, msgspec.json.encode(report_of(door.intake)))
            else:
                await rest(scope, receive, send)

        await HttpServer(http_config(app, settings)).serve_from(*map(Handed, ends))


async def answer_json(send: Any, body: bytes) -> None:
    """A 200 with a JSON body."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Rest:
    """Console and API, for a connection that began at a door and went on to others; imported when first wanted."""

    def __init__(self, settings: Settings, entrance: Entrance, stack: AsyncExitStack) -> None:
        self._settings, self._entrance, self._stack = settings, entrance, stack
        self._lock = asyncio.Lock()
        self._app: App | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with self._lock:
            if self._app is None:
                web = await asyncio.to_thread(_import_web)
                services = await self._stack.enter_async_context(web.open_services(self._settings))
                self._app = web.site(services, self._entrance)
        await self._app(scope, receive, send)


def _import_web() -> Any:
    from siyu.app import web  # the framework and every room: as much again as the doors

    return web
