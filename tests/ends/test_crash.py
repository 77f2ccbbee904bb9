"""kill -9 of each process while events pour in: nothing acknowledged is lost, nothing counts twice."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from ..rounds import KILLS
from .load import Sender, counted
from .server import Server

VICTIMS = (
    "siyu.app process",
    "siyu.app web",
    "siyu.app doors",
    "siyu.app jobs",
    "siyu.app template",
    "clickhouse_server",
    "postgres",
    "parent",
)


def victim_pid(server: Server, name: str) -> int | None:
    """The process to kill; of PostgreSQL a backend or the postmaster, whichever chance picks."""
    assert server.process is not None
    if name == "parent":
        return server.process.pid
    matching = [pid for pid, command in server.family().items() if name in command]
    return random.choice(matching) if matching else None


@pytest.mark.proof
@pytest.mark.timeout(1500)
def test_nothing_acknowledged_is_lost_and_nothing_counts_twice(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    server.start()
    sender = Sender(server)
    sender.start()
    killed = []
    try:
        for turn in range(KILLS):
            time.sleep(random.uniform(0.3, 1.5))
            name = VICTIMS[turn % len(VICTIMS)]
            pid = victim_pid(server, name)
            if pid is None:
                continue
            killed.append(name)
            if name == "parent":
                server.kill()
                server.start()
            else:
                os.kill(pid, signal.SIGKILL)
                server.wait_ready()
        time.sleep(1)
        sender.done.set()
        sender.join(120)
        assert not sender.is_alive(), server.log()[-4000:]
        server.wait_processed(len(sender.acknowledged), 120)
        assert set(killed) == set(VICTIMS[: min(KILLS, len(VICTIMS))])
        assert counted(server) == len(sender.acknowledged)
    finally:
        sender.done.set()
        server.stop()


def test_the_server_ends_cleanly_and_leaves_no_process(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    server.start()
    family = server.family()
    template = next(pid for pid, command in family.items() if "siyu.app template" in command)
    assert len(list(Path(f"/proc/{template}/task").iterdir())) == 1  # all is imported, and nothing else runs at a fork
    assert server.stop() == 0
    time.sleep(0.5)
    assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []
