"""A real `siyu serve` for tests: its own home, port and keys; helpers to talk to it and to kill parts of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

WRITE_KEY = "wk_test_0123456789abcdef"
API_TOKEN = "at_test_0123456789abcdef0123"
PASSWORD = "correct horse battery"


class Server:
    """`siyu serve --no-demo` on a free port."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, seconds_max: float = 90) -> None:
        """Start and wait until every engine is ready."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("SIYU_")}
        env |= {
            "SIYU_HOME": str(self.home),
            "SIYU_PORT": str(self.port),
            "SIYU_WRITE_KEY": WRITE_KEY,
            "SIYU_API_TOKEN": API_TOKEN,
            "SIYU_ADMIN_PASSWORD": PASSWORD,
            **self._settings,
        }
        siyu = Path(sys.executable).with_name("siyu")
        with (self.home.parent / f"{self.home.name}.log").open("ab") as log:
            self.process = subprocess.Popen([siyu, "serve", "--no-demo"], env=env, stdout=log, stderr=log)
        self.wait_ready(seconds_max)

    def wait_ready(self, seconds_max: float = 90) -> None:
        """Wait for /readyz; shows the log when it does not come."""
        until = time.monotonic() + seconds_max
        while time.monotonic() < until:
            if self.process is not None and self.process.poll() is not None:
                break
            try:
                if self.get("/readyz")["ready"]:
                    return
            except (OSError, ValueError):
                time.sleep(0.1)
        raise AssertionError("not ready:\n" + self.log()[-6000:])

    def log(self) -> str:
        """Everything the server printed."""
        return (self.home.parent / f"{self.home.name}.log").read_text(errors="replace")

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """kill -9 of the parent."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def get(self, path: str) -> Any:
        """GET JSON with the API token; raises urllib.error.HTTPError."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        """POST JSON with the API token."""
        return self._call("POST", path, body)

    def put(self, path: str, body: Any, more: Mapping[str, str] = MappingProxyType({})) -> Any:
        """PUT JSON with the API token; `more`: headers."""
        return self._call("PUT", path, body, more)

    def _call(self, method: str, path: str, body: Any, more: Mapping[str, str] = MappingProxyType({})) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"} | dict(more)
        call = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(call, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            assert error.code != 500, f"{path}: a defect of the server\n{self.log()[-6000:]}"
            raise

    def batch(self, events: list[dict[str, Any]], key: str = WRITE_KEY) -> bool:
        """POST /v1/batch; True when it was acknowledged."""
        return self.send(events, key)[0] == 200

    def send(self, events: list[dict[str, Any]], key: str = WRITE_KEY) -> tuple[int, str]:
        """POST /v1/batch: the status (0: no connection, or none in time) and the `code` of a refusal."""
        call = urllib.request.Request(
            self.url + "/v1/batch",
            data=json.dumps({"batch": events}).encode(),
            headers={"Authorization": "Basic " + b64encode(f"{key}:".encode()).decode()},
        )
        try:
            with urllib.request.urlopen(call, timeout=20) as answer:
                return int(answer.status), ""
        except urllib.error.HTTPError as error:
            return error.code, str(json.loads(error.read() or b"{}").get("code", ""))
        except OSError:
            return 0, ""

    def unready(self) -> set[str]:
        """The engines that /readyz calls not ready."""
        try:
            state = self.get("/readyz")
        except urllib.error.HTTPError as error:
            state = json.loads(error.read())
        return {name for name, engine in state["engines"].items() if not engine["ok"]}

    def wait_processed(self, total: int, seconds_max: float = 60) -> None:
        """Wait until `total` events are processed and none waits."""
        until = time.monotonic() + seconds_max
        state: Any = None
        while time.monotonic() < until:
            try:
                state = self.get("/api/stream")
                if state["processed"] >= total and state["processed"] == state["accepted"]:
                    return
            except OSError as error:
                state = error
            time.sleep(0.05)
        raise AssertionError(f"not processed: {state}\n{self.log()[-4000:]}")

    def family(self) -> dict[int, str]:
        """pid → command line of every living child, grandchild …"""
        assert self.process is not None
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                except OSError:
                    continue
        found: dict[int, str] = {}
        todo = [self.process.pid]
        while todo:
            parent = todo.pop()
            for pid in [pid for pid, ppid in parents.items() if ppid == parent]:
                try:
                    found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                todo.append(pid)
        return found


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
