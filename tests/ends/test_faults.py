"""An engine goes away under load: the door stops acknowledging, /readyz names the engine, work resumes by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..conftest import remove_home
from .broker import open_broker
from .load import Sender, counted
from .server import Server

REFUSED = (503, "ENGINE_UNAVAILABLE")


@contextmanager
def under_load(server: Server) -> Iterator[Sender]:
    """A sender at work; afterwards everything it was told is kept is counted, once."""
    sender = Sender(server)
    sender.start()
    try:
        wait_until(lambda: len(sender.acknowledged) >= 100)
        yield sender
    finally:
        sender.done.set()
        sender.join(120)
    assert not sender.is_alive(), server.log()[-4000:]
    expected = len(sender.acknowledged)
    wait_until(lambda: counted(server) == expected, lambda: f"{counted(server)} of {expected}\n{server.log()[-4000:]}")


def wait_until(true: Callable[[], bool], shown: Callable[[], object] = lambda: "", seconds_max: float = 90) -> None:
    """Wait, and fail with what is `shown`."""
    until = time.monotonic() + seconds_max
    while not true():
        if time.monotonic() > until:
            raise AssertionError(shown())
        time.sleep(0.1)


def probe(number: int) -> list[dict[str, object]]:
    """A batch that no load sends; refused batches must not be counted."""
    return [{"type": "track", "messageId": f"probe-{number}", "userId": "u1", "event": "probe.sent"}]


@pytest.mark.timeout(400)
def test_kafka_is_killed_and_comes_back(tmp_path: Path) -> None:
    with open_broker(tmp_path / "broker.log") as broker:
        server = Server(tmp_path / "home", SIYU_STREAM_URL=f"kafka://127.0.0.1:{broker.port}/events?partitions=2")
        server.start()
        try:
            with under_load(server) as sender:
                for _ in range(2):
                    broker.kill()
                    assert server.send(probe(1)) == REFUSED
                    assert server.unready() == {"stream"}
                    told = len(sender.acknowledged)
                    time.sleep(1)
                    assert len(sender.acknowledged) == told
                    broker.start()
                    wait_until(lambda: server.unready() == set(), server.log)
                    wait_until(lambda: len(sender.acknowledged) >= told + 100, server.log)  # noqa: B023 - used at once
            assert "made anew" not in server.log()  # the topic is the same
        finally:
            server.stop()
            remove_home(server.home)


@pytest.mark.timeout(300)
def test_postgresql_is_killed_whole(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    server.start()
    try:
        with under_load(server) as sender:
            told = len(sender.acknowledged)
            for pid, command in server.family().items():
                if "postgres" in command.split(" ")[0]:
                    os.kill(pid, signal.SIGKILL)
            assert server.send(probe(1)) == REFUSED
            assert server.unready() == {"postgresql", "stream"}
            server.wait_ready()
            wait_until(lambda: len(sender.acknowledged) >= told + 100, server.log)
    finally:
        server.stop()
        remove_home(server.home)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Puts a folder, with what is in it, on a small disk of its own; answers the folder."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("SKIPPED DISK FULL: a small disk can be mounted by root only")
    mounted: list[Path] = []

    def move(folder: Path) -> Path:
        status = folder.stat()
        aside = tmp_path / f"aside-{len(mounted)}"
        subprocess.run(["cp", "-a", str(folder), str(aside)], check=True)
        options = f"size=400m,mode={status.st_mode & 0o7777:o},uid={status.st_uid},gid={status.st_gid}"
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "siyu-test", str(folder)], capture_output=True)
        if made.returncode:
            pytest.skip(f"SKIPPED DISK FULL: no disk can be mounted here: {made.stderr.decode()[-200:]}")
        mounted.append(folder)
        subprocess.run(["cp", "-a", f"{aside}/.", str(folder)], check=True)
        return folder

    yield move
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes what is left of the disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["postgresql", "clickhouse"])
def test_the_disk_is_full(tmp_path: Path, small_disk: Callable[[Path], Path], engine: str) -> None:
    server = Server(tmp_path / "home")
    server.start()
    server.stop()
    if engine == "postgresql":
        disk = small_disk(Path((server.home / "postgres" / "folder").read_text()))
    else:
        disk = small_disk(server.home / "clickhouse")
    server.start()
    try:
        with under_load(server) as sender:
            ballast = fill(disk)
            wait_until(lambda: engine in server.unready(), server.log)
            if engine == "postgresql":
                wait_until(lambda: server.send(probe(1)) == REFUSED, lambda: server.send(probe(1)))
            told = len(sender.acknowledged)
            ballast.unlink()
            server.wait_ready()
            wait_until(lambda: len(sender.acknowledged) >= told + 100, server.log)
    finally:
        server.stop()
        remove_home(server.home)


@pytest.mark.timeout(300)
def test_the_process_of_the_doors_hangs(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    server.start()
    try:
        with under_load(server):
            doors = next(pid for pid, command in server.family().items() if "siyu.app doors" in command)
            os.kill(doors, signal.SIGSTOP)
            try:
                wait_until(lambda: server.unready() == {"doors"})
                assert server.get("/healthz")["status"] == "ok"  # console and API go on
            finally:
                os.kill(doors, signal.SIGCONT)
            wait_until(lambda: server.unready() == set())
    finally:
        server.stop()
