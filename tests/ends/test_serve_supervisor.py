"""`siyu serve` as a process: what it starts, what it survives, what it leaves behind."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from siyu.serve import banner
from siyu.settings import Settings
from siyu.store.engines import Engines
from tests.conftest import remove_home

MAIN = Path(__file__).with_name("serve_main.py")


class Server:
    """A running `siyu serve`."""

    def __init__(self, process: subprocess.Popen[str], said: dict[str, Any], log: Path) -> None:
        self.process = process
        self.said = said
        self.log = log

    def get(self, path: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(self.said["url"]).port, timeout=30)
        try:
            connection.request("GET", path)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()


@pytest.fixture
def env(tmp_path: Path, engines: Engines) -> Iterator[dict[str, str]]:
    """A home of its own, on the engines of the test run as if they were external servers."""
    home = tmp_path / "home"
    yield {
        **os.environ,
        "SIYU_HOME": str(home),
        "SIYU_PORT": "0",
        "SIYU_DATABASE_URL": engines.database_url,
        "SIYU_EVENTS_URL": engines.events_url,
    }
    remove_home(home)


@contextmanager
def serving(env: dict[str, str], role: str = "all", workers: int = 1) -> Iterator[Server]:
    log = Path(env["SIYU_HOME"]).with_name("serve.log")
    with log.open("a") as err:
        argv = [sys.executable, str(MAIN), role, str(workers)]
        process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=err, text=True)
    assert process.stdout is not None
    try:
        yield Server(process, json.loads(process.stdout.readline()), log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def children(pid: int) -> list[int]:
    answer = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in answer.stdout.split()]


def await_gone(pids: list[int]) -> None:
    """Until none of them runs; the test's own time limit is the judge."""
    while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids):
        time.sleep(0.02)


def test_starts_everything_and_ends_it_on_sigterm(env: dict[str, str]) -> None:
    with serving(env, workers=2) as server:
        assert server.said["shown"] == {"write_key": "wk", "database": "postgresql"}
        assert server.said["heavy"] == []
        assert server.get("/")["home"] == env["SIYU_HOME"]
        started = children(server.process.pid)
        assert len(started) == 9  # the template, two web, four doors, one that processes, one for the jobs
        while "[process] processing 事件" not in server.log.read_text():
            time.sleep(0.02)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        await_gone(started)
    with pytest.raises(ConnectionRefusedError):
        server.get("/")


def test_a_crashed_web_process_is_replaced_and_no_connection_refused(env: dict[str, str]) -> None:
    with serving(env) as server:
        first = server.get("/crash")["pid"]
        await_gone([first])  # what it has accepted by then it takes along
        assert server.get("/")["pid"] != first  # waits in the socket's queue until the next one listens


def test_a_killed_supervisor_takes_its_processes_along(env: dict[str, str]) -> None:
    with serving(env) as server:
        started = children(server.process.pid)
        server.process.kill()
        server.process.wait()
        await_gone(started)
    with serving(env) as server:
        assert server.get("/")["pid"] not in started


def test_the_port_is_free_for_the_next_start(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        env["SIYU_PORT"] = str(probe.getsockname()[1])
    for _ in range(2):
        with serving(env) as server:
            assert server.said["url"] == f"http://127.0.0.1:{env['SIYU_PORT']}"
            server.process.kill()
            server.process.wait()


def test_a_taken_port_has_its_own_code(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        env["SIYU_PORT"] = str(other.getsockname()[1])
        with serving(env) as server:
            assert server.said["code"] == "PORT_IN_USE"
            assert env["SIYU_PORT"] in server.said["message"]


def test_two_servers_on_one_home_with_embedded_engines(env: dict[str, str]) -> None:
    del env["SIYU_DATABASE_URL"], env["SIYU_EVENTS_URL"]
    with serving(env) as first, serving(env) as second:
        assert second.said["code"] == "HOME_IN_USE"
        assert str(first.process.pid) in second.said["message"]
        assert first.get("/")["pid"]


@pytest.mark.parametrize(("role", "expected"), [("collect", 2), ("web", 2), ("process", 3), ("all", 6)])
def test_roles(env: dict[str, str], role: str, expected: int) -> None:
    with serving(env, role) as server:
        assert len(children(server.process.pid)) == expected
        assert bool(server.said["url"]) is (role != "process")


def test_banner_says_what_one_needs() -> None:
    text = banner("http://127.0.0.1:8000", {"write_key": "wk_1", "console_user": "admin"}, Settings(), "1.0")
    assert "http://127.0.0.1:8000" in text and "wk_1" in text and "admin" in text
    assert "密码" not in text  # nothing is shown that is not known
