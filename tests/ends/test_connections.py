"""Two processes behind one port: which one answers, and that nothing is lost when one of them is not there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from siyu.app.connections import Handed, HttpServer, Listener, Source, ask, first_path


def app_named(name: str) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        answer = f"{name} {scope['path']} {len(body + message.get('body', b''))} {scope['client'] is None}".encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


@asynccontextmanager
async def answering(name: str, source: Source) -> AsyncIterator[HttpServer]:
    config = uvicorn.Config(app_named(name), lifespan="off", http="httptools", ws="none", log_config=None)
    server = HttpServer(config)
    task = asyncio.create_task(server.serve_from(source))
    while not server.started:  # noqa: ASYNC110 - uvicorn has a flag, no event
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        await task


class House:
    """A bound port and the channel between the two processes."""

    def __init__(self) -> None:
        self.port = socket.create_server(("127.0.0.1", 0))
        self.give, self.take = socket.socketpair()
        self.give.setblocking(False)

    def listener(self) -> Listener:
        return Listener(self.port.dup(), lambda path: path.startswith("/v1/"), [self.give])

    def handed(self) -> Handed:
        return Handed(self.take.dup())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.port.getsockname())


@pytest.fixture
def house() -> Any:
    made = House()
    yield made
    for end in (made.port, made.give, made.take):
        end.close()


async def exchange(house: House, *requests: bytes) -> list[str]:
    """The answers to requests on one connection, one after the other."""
    reader, writer = await house.connect()
    answers = []
    for request in requests:
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        answers.append((await reader.readexactly(length)).decode())
    writer.close()
    return answers


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def test_the_first_line_decides_and_both_answer_everything(house: House) -> None:
    async with answering("web", house.listener()), answering("doors", house.handed()):
        assert await exchange(house, get("/api/x"), get("/v1/batch")) == [
            "web /api/x 0 False",
            "web /v1/batch 0 False",
        ]
        post = b"POST /v1/batch?a=/b HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
        assert await exchange(house, post, get("/api/x")) == [
            "doors /v1/batch 100000 False",
            "doors /api/x 0 False",
        ]
        many = await asyncio.gather(*(exchange(house, get("/v1/t")) for _ in range(100)))
        assert many == [["doors /v1/t 0 False"]] * 100


async def test_a_first_line_in_pieces_is_answered_where_it_came_in(house: House) -> None:
    async with answering("web", house.listener()), answering("doors", house.handed()):
        reader, writer = await house.connect()
        await asyncio.sleep(0.05)  # nothing yet: the connection waits
        writer.write(b"GET /v1/t")
        await asyncio.sleep(0.05)
        writer.write(b"rack HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"web /v1/track" in await asyncio.wait_for(reader.readuntil(b"False"), 20)
        writer.close()
        assert await exchange(house, get("/v1/late")) == ["doors /v1/late 0 False"]


async def test_handed_over_while_the_other_restarts(house: House) -> None:
    async with answering("web", house.listener()):
        waiting = asyncio.create_task(exchange(house, get("/v1/t")))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        async with answering("doors", house.handed()):
            assert await waiting == ["doors /v1/t 0 False"]


async def test_without_the_other_end_the_connection_stays(house: House) -> None:
    house.take.close()
    async with answering("web", house.listener()):
        assert await exchange(house, get("/v1/t")) == ["web /v1/t 0 False"]


async def test_more_than_the_channel_holds_stays_here(house: House) -> None:
    async with answering("web", house.listener()):
        tasks = [asyncio.create_task(exchange(house, get("/v1/t"))) for _ in range(400)]
        done, waiting = await asyncio.wait(tasks, timeout=3)
        assert done and waiting  # some fit into the channel, the rest was answered here
        assert all(task.result() == ["web /v1/t 0 False"] for task in done)
        async with answering("doors", house.handed()):
            assert await asyncio.gather(*waiting) == [["doors /v1/t 0 False"]] * len(waiting)


async def test_one_process_can_ask_the_other(house: House) -> None:
    with pytest.raises(TimeoutError):
        await ask(house.give, "/-/doors", 0.1)
    async with answering("doors", house.handed()):
        assert await ask(house.give, "/-/doors", 10) == b"doors /-/doors 0 True"
    house.take.close()
    with pytest.raises(OSError):
        await ask(house.give, "/-/doors", 10)


@pytest.mark.parametrize(
    ("head", "path"),
    [
        (b"POST /v1/batch HTTP/1.1\r\nHost", "/v1/batch"),
        (b"GET /sa.gif?data=/v1/batch HTTP/1.1\r\n", "/sa.gif"),
        (b"GET /v1/batch HTTP/1.1", ""),
        (b"GET /v1/batch\r\n\r\n", ""),
        (b"\x16\x03\x01\x02\x00", ""),
        (b"", ""),
    ],
)
def test_first_path(head: bytes, path: str) -> None:
    assert first_path(head) == path
