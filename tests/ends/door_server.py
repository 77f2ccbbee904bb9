"""A real server of doors for tests: uvicorn, the doors, and the stream in the embedded PostgreSQL."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from siyu.clock import system_now
from siyu.collect.actions import KeyRing, create_key
from siyu.collect.frame import decode_frame, effects_decoder
from siyu.collect.http import Door
from siyu.errors import EngineUnavailable
from siyu.settings import Settings
from siyu.store.postgres import Database
from siyu.stream.postgres import PostgresStream
from siyu.stream.stream import NewFrame


class WatchedStream(PostgresStream):
    """The real stream, which can be told to be away, and counts its appends."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.away = False
        self.appends = 0

    async def append(self, frames: Any) -> None:
        if self.away:
            raise EngineUnavailable("PostgreSQL does not answer.", engine="postgresql")
        self.appends += 1
        sent: list[NewFrame] = list(frames)
        await super().append(sent)


@dataclass
class DoorServer:
    """A running server; what it made durable can be read back."""

    url: str
    port: int
    db: Database
    stream: WatchedStream
    key: str
    source: str
    door: Door
    pending: list[int] = field(default_factory=lambda: [0])
    faults: list[int] = field(default_factory=list)
    """Statuses that a broken proxy in front answers to the next POSTs, instead of passing them on."""
    posts: int = 0

    async def rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """All events and dead letters in the stream, effects decoded."""
        events: list[dict[str, Any]] = []
        dead: list[dict[str, Any]] = []
        offset = 0
        while frames := await self.stream.read(0, offset, 1_000_000, 0):
            for frame in frames:
                tables = decode_frame(frame.body)
                events += tables.events.to_pylist()
                dead += tables.dead.to_pylist()
                offset = frame.offset
        for event in events:
            event["effects"] = effects_decoder.decode(event["effects"]) if event["effects"] else None
        return events, dead

    async def named(self, name: str) -> list[dict[str, Any]]:
        """The events with this name."""
        return [event for event in (await self.rows())[0] if event["name"] == name]


@asynccontextmanager
async def serve_doors(db: Database, **settings: Any) -> AsyncIterator[DoorServer]:
    """Serve the doors on a free port of the loopback."""
    import siyu.collect.tables
    import siyu.stream.tables  # noqa: F401 - registers its tables

    await db.create_all()
    stream = WatchedStream(db)
    key, secret = await create_key(db, kind="write", name="tests", end="web", now=system_now())
    pending = [0]
    door = Door(stream, KeyRing(db), Settings(**settings), now=system_now, backlog=lambda: pending[0])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        running_server.posts += scope["method"] == "POST"
        if scope["method"] == "POST" and running_server.faults:
            status = running_server.faults.pop(0)
            await send({"type": "http.response.start", "status": status, "headers": [(b"retry-after", b"1")]})
            await send({"type": "http.response.body", "body": b"the proxy is broken"})
        elif scope["type"] == "http" and door.handles(scope["path"]):
            await door(scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running_server = DoorServer(f"http://127.0.0.1:{port}", port, db, stream, secret, key.id, door, pending)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, http="httptools", lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing to wait on
        await asyncio.sleep(0.01)
    try:
        yield running_server
    finally:
        server.should_exit = True
        await running
        await stream.close()
