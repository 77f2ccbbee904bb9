"""A private ClickHouse in SIYU_HOME: chDB in a child process, behind the ClickHouse HTTP protocol on loopback."""

from __future__ import annotations

import http.client
import secrets
import signal
import socket
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from siyu.store.files import write_private
from siyu.store.orphans import end_orphans, is_command
from siyu.store.processes import Keeper, Program

MODULE: Final = "siyu.store.clickhouse_server"
MEMORY_BYTES_MAX: Final = 1_300_000_000
"""Queries, inserts and caches of the child together; what asks for more is refused, not swapped."""
STUCK_SECONDS: Final = 15.0
_PING_SECONDS: Final = 2.0


class EmbeddedClickHouse:
    """One private engine. `open` starts it, `close` stops it; it is restarted when it ends by itself."""

    def __init__(
        self,
        home: Path,
        *,
        memory_bytes_max: int = MEMORY_BYTES_MAX,
        stuck_seconds: float = STUCK_SECONDS,
        on_event: Callable[[str, Mapping[str, object]], None] = lambda _event, _facts: None,
    ) -> None:
        self._folder = home / "clickhouse"
        self._config = self._folder / "server.json"
        self._log = home / "log" / "clickhouse.log"
        self._memory_bytes_max = memory_bytes_max
        self._stuck_seconds = stuck_seconds
        self._password = secrets.token_urlsafe(24)
        self._port = _free_port()
        self.keeper = Keeper("clickhouse", self._program, is_ready=self._is_ready, on_event=on_event)

    @property
    def url(self) -> str:
        """The HTTP URL, password included. It stays the same when the child is restarted."""
        return f"http://default:{self._password}@127.0.0.1:{self._port}/default"

    def begin(self) -> None:
        """Start without waiting; `keeper.wait_ready` waits."""
        for folder in (self._folder, self._log.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.keeper.start()

    def open(self) -> None:
        """Start and wait until it answers. Raises EngineStartFailed."""
        self.begin()
        self.keeper.wait_ready()

    def close(self) -> None:
        """Stop cleanly."""
        self.keeper.close()

    def _program(self) -> Program:
        self._end_orphan()
        config = {
            "data": str(self._folder / "data"),
            "port": self._port,
            "password": self._password,
            "memory_bytes_max": self._memory_bytes_max,
            "stuck_seconds": self._stuck_seconds,
        }
        write_private(self._config, msgspec.json.encode(config))
        return Program([sys.executable, "-m", MODULE, str(self._config)], log=self._log, cwd=self._folder)

    def _end_orphan(self) -> None:
        lock = self._folder / "lock"
        written = lock.read_text().strip() if lock.exists() else ""
        if not written.isdigit():
            return
        pid = int(written)
        end_orphans(
            lambda: [pid] if is_command(pid, (MODULE, str(self._config))) else [],
            signals=((signal.SIGTERM, 8.0), (signal.SIGKILL, 5.0)),
        )

    def _is_ready(self) -> bool:
        """Whether the child answers a query under our password (the port could be somebody else's)."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PING_SECONDS)
        login = b64encode(f"default:{self._password}".encode()).decode()
        try:
            connection.request("POST", "/", b"SELECT 1", {"Authorization": f"Basic {login}"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
