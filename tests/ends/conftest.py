"""Fixtures of what stands at the other end: a browser, and the JavaScript SDKs that sdk/package-lock.json names."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from .chromium import open_chromium

SDK = Path(__file__).parent / "sdk"


@pytest.fixture(scope="session")
def npm_packages() -> Path:
    """A folder with `node_modules`, installed once and kept beyond the run; skips without npm, node or packages."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("SKIPPED JAVASCRIPT SDK TESTS: node and npm are not installed: apt-get install nodejs npm")
    lock = (SDK / "package-lock.json").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"siyu-test-npm-{sha256(lock).hexdigest()[:12]}"
    done = folder / "done"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as only_one:  # of the workers of a run, and of runs at the same time
        fcntl.flock(only_one, fcntl.LOCK_EX)
        if not done.exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SDK / name, folder)
            # Not `npm ci`: it insists on native extras of other platforms, which a lock file need not list.
            command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=optional"]
            made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
            if made.returncode:
                pytest.skip(f"SKIPPED JAVASCRIPT SDK TESTS: npm could not install them: {made.stderr[-300:]}")
            done.touch()
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium. Not longer than a module: while it is open no asyncio test can run."""
    with open_chromium() as running:
        yield running
