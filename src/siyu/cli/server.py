"""Where the server of a home is: written down by `siyu serve`, read by every other command."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from siyu.settings import Settings
from siyu.store.files import write_private

_STOP_SECONDS: Final = 20.0


class Server(msgspec.Struct, frozen=True):
    """A running server of this home, as it wrote itself down."""

    url: str
    pid: int


@contextmanager
def announced(settings: Settings, url: str) -> Iterator[None]:
    """Write down for other commands where the server of this home is, for the time of the context."""
    path = _server_path(settings)
    write_private(path, msgspec.json.encode(Server(url, os.getpid())))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running_server(settings: Settings) -> Server | None:
    """The server of this home, when it answers."""
    try:
        server = msgspec.json.decode(_server_path(settings).read_bytes(), type=Server)
        with urllib.request.urlopen(f"{server.url}/healthz", timeout=5) as answer:  # noqa: S310 - our own http URL
            return server if answer.status == 200 else None
    except (OSError, msgspec.DecodeError, ValueError):
        return None


def _server_path(settings: Settings) -> Path:
    return settings.home_path / "run" / "server.json"


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a process we started."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
