"""A real `siyu serve` in a folder of its own, for the time of a benchmark."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from siyu.settings import Settings
from siyu.store.embedded_postgres import remove_home
from siyu.store.engines import Engines, open_engines

WRITE_KEY = "wk_bench_0123456789"
API_TOKEN = "at_bench_0123456789abcdef"


class Server(NamedTuple):
    """A running server."""

    port: int
    pid: int
    home: Path

    def get(self, path: str) -> Any:
        """GET a JSON answer with the API token."""
        call = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {API_TOKEN}"}
        )
        with urllib.request.urlopen(call, timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        """POST JSON with the API token."""
        call = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(call, timeout=120) as answer:
            return json.load(answer)

    def wait_processed(self, total: int, seconds_max: float = 600) -> float:
        """Wait until `total` events are processed; the time it was seen."""
        until = time.perf_counter() + seconds_max
        while time.perf_counter() < until:
            if self.get("/api/stream")["processed"] >= total:
                return time.perf_counter()
            time.sleep(0.02)
        raise TimeoutError(f"not processed: {self.get('/api/stream')}")

    def settle(self, seconds_max: float = 180) -> None:
        """Wait until the server rests: what a run left to be looked at (members of segments) is not of the next."""
        until = time.perf_counter() + seconds_max
        before = sum(self.cpu_us().values())
        while time.perf_counter() < until:
            time.sleep(4)
            after = sum(self.cpu_us().values())
            if after - before < 700_000:
                return
            before = after

    def memory_mb(self) -> dict[str, float]:
        """Proportional memory of all processes of this server, by role."""
        found: dict[str, float] = {}
        for pid, role in self._processes():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            pss = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
            found[role] = found.get(role, 0) + pss / 1024
        return found

    def cpu_us(self) -> dict[str, float]:
        """CPU time that the processes running now have used, microseconds, by role."""
        found: dict[str, float] = {}
        tick_us = 1_000_000 / os.sysconf("SC_CLK_TCK")
        for pid, role in self._processes():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            found[role] = found.get(role, 0) + (int(fields[11]) + int(fields[12])) * tick_us
        return found

    def _processes(self) -> Iterator[tuple[int, str]]:
        for pid in _family(self.pid):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            yield pid, next((role for mark, role in _ROLES if mark in command), "parent")


_ROLES = (
    ("postgres", "PostgreSQL"),
    ("clickhouse_server", "ClickHouse"),
    ("siyu.app web", "web"),
    ("siyu.app doors", "doors"),
    ("siyu.app process", "processor"),
    ("siyu.app jobs", "jobs"),
)


def _family(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    family, todo = [], [root]
    while todo:
        pid = todo.pop()
        family.append(pid)
        todo.extend(child for child, parent in parents.items() if parent == pid)
    return family


@contextmanager
def own_engines() -> Iterator[tuple[Path, Engines]]:
    """Embedded engines in a folder of their own; everything is removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="siyu-bench-"))
    try:
        with open_engines(Settings(home=str(home))) as engines:
            yield home, engines
    finally:
        remove_home(home)


def add_workers_option(parser: ArgumentParser) -> None:
    """`--workers`."""
    parser.add_argument("--workers", type=int, default=2, help="web processes, as `siyu serve --workers`")


@contextmanager
def running_server(workers: int = 1, **settings: str) -> Iterator[Server]:
    """Start `siyu serve --no-demo` on a free port; everything is removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="siyu-bench-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = os.environ | {
        "SIYU_HOME": str(home),
        "SIYU_PORT": str(port),
        "SIYU_WRITE_KEY": WRITE_KEY,
        "SIYU_API_TOKEN": API_TOKEN,
        "SIYU_ADMIN_PASSWORD": "bench-password",
        **settings,
    }
    log = (home / "server.log").open("wb")
    siyu = Path(sys.executable).with_name("siyu")
    words = [str(siyu), "serve", "--no-demo", "--workers", str(workers)]
    process = subprocess.Popen(words, env=env, stdout=log, stderr=subprocess.STDOUT)
    server = Server(port, process.pid, home)
    try:
        _wait_ready(server, process, home)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        remove_home(home)


def _wait_ready(server: Server, process: subprocess.Popen[bytes], home: Path) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            if server.get("/readyz")["ready"]:
                return
        except (urllib.error.URLError, OSError, KeyError):
            time.sleep(0.1)
    raise RuntimeError("The server did not start:\n" + (home / "server.log").read_text()[-4000:])
