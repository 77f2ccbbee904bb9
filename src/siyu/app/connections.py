"""Who answers a connection. One port, and several processes behind it: parsing a burst of events keeps a core busy for
milliseconds at a time, and whoever opens a page or looks a person up must not stand in that queue (decision 0108).

The process of console and API accepts every connection and looks at its first line. One that begins with a door is
handed, as it is, to a process of the doors, each in its turn. Nothing depends on the guess: all can answer everything,
and a connection whose first line is not there yet, or that nobody takes, stays where it was accepted.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
import uvicorn

log = structlog.get_logger()

BACKLOG: Final = 2048
ACCEPTS_MAX: Final = 64
"""Connections accepted in one turn of the loop."""
FIRST_LINE_BYTES: Final = 2048
SILENCE_SECONDS: Final = 5.0
"""How long the first bytes of a connection are waited for before it is kept here."""
REST_SECONDS: Final = 0.5
"""Pause of accepting when the process has no file descriptor left."""


class HttpServer(uvicorn.Server):
    """uvicorn on connections that come from a listener, or from another process, instead of its own `accept`."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._sources: list[Source] = []

    async def serve_from(self, *sources: Source) -> None:
        """Answer the connections of `sources` until SIGTERM."""
        self._sources = list(sources)
        await self.serve(sockets=[])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, without a listener of its own."""
        await super().startup(sockets=[])
        for source in self._sources:
            source.open(self.adopt)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no further connection, then ends those there are."""
        for source in self._sources:
            source.close()
        await super().shutdown(sockets)

    async def adopt(self, connection: socket.socket) -> None:
        """Speak HTTP on a connected socket, whose first bytes are unread."""

        def protocol() -> asyncio.Protocol:
            made: Any = self.config.http_protocol_class
            protocol: asyncio.Protocol = made(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return protocol

        try:
            await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)
        except OSError:  # gone already
            connection.close()


Adopt = Callable[[socket.socket], Any]


class Source(ABC):
    """Where connections come from: a socket that says when there is one more."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._tasks: set[asyncio.Task[None]] = set()
        self._adopt: Adopt | None = None

    def open(self, adopt: Adopt) -> None:
        """Hand every connection to `adopt` from now on."""
        self._adopt = adopt
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._ready)

    def close(self) -> None:
        """No more."""
        if self._adopt is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._adopt = None

    @abstractmethod
    def _ready(self) -> None:
        """Take what there is."""

    def _keep(self, connection: socket.socket) -> None:
        if self._adopt is None:
            connection.close()
            return
        task = asyncio.ensure_future(self._adopt(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Listener(Source):
    """The port. With `doors`, channels to other processes, it gives away what begins with one of their paths."""

    def __init__(self, sock: socket.socket, is_door: Callable[[str], bool], doors: Sequence[socket.socket]) -> None:
        super().__init__(sock)
        self._is_door = is_door
        self._doors = deque(doors)

    def open(self, adopt: Adopt) -> None:
        self._socket.listen(BACKLOG)
        super().open(adopt)

    def _ready(self) -> None:
        for _ in range(ACCEPTS_MAX):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptor left: what is open now must end first
                log.warning("cannot accept", error=str(error))
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
                asyncio.get_running_loop().call_later(REST_SECONDS, self._resume)
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not self._doors:
                self._keep(connection)
            elif not self._settle(connection):
                self._await_first_line(connection)

    def _resume(self) -> None:
        if self._adopt is not None:
            super().open(self._adopt)

    def _await_first_line(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        fd = connection.fileno()

        def silent() -> None:
            loop.remove_reader(fd)
            self._keep(connection)

        timer = loop.call_later(SILENCE_SECONDS, silent)

        def ready() -> None:
            timer.cancel()
            loop.remove_reader(fd)
            if not self._settle(connection):
                self._keep(connection)

        loop.add_reader(fd, ready)

    def _settle(self, connection: socket.socket) -> bool:
        """Decide by what has come so far; False when nothing has."""
        try:
            head = connection.recv(FIRST_LINE_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            connection.close()
            return True
        if not (self._is_door(first_path(head)) and self._give(connection)):
            self._keep(connection)
        return True

    def _give(self, connection: socket.socket) -> bool:
        self._doors.rotate()
        return any(give(channel, connection) for channel in self._doors)


class Handed(Source):
    """Connections that the process of console and API hands over."""

    def _ready(self) -> None:
        while True:
            try:
                mark, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
            except BlockingIOError:
                return
            if not mark:  # the server is ending
                self.close()
                return
            for descriptor in descriptors:
                connection = socket.socket(fileno=descriptor)
                connection.setblocking(False)
                self._keep(connection)


def give(channel: socket.socket, connection: socket.socket) -> bool:
    """Hand a connection over; False when the other side takes none, and it is still ours."""
    try:
        socket.send_fds(channel, [b"."], [connection.fileno()])
    except OSError:
        return False
    connection.close()
    return True


def first_path(head: bytes) -> str:
    """The path of a request's first line, without its query; empty when there is no whole one."""
    parts = head.split(b"\r\n", 1)[0].split(b" ")
    return parts[1].partition(b"?")[0].decode("latin-1") if len(parts) == 3 and b"\r\n" in head else ""


async def ask(channel: socket.socket, path: str, seconds_max: float) -> bytes:
    """The body that the process at the other end of `channel` answers to GET `path`. Raises OSError, TimeoutError."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        if not give(channel, theirs):
            ours.close()
            raise ConnectionError("nobody takes connections")
    async with asyncio.timeout(seconds_max):
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise ConnectionError(f"answered {head[:80]!r}")
    return body
