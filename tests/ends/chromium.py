"""Headless Chromium for tests, and the mark that skips them, saying so, where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
]

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None,
    reason="SKIPPED BROWSER TESTS: no Chromium found. Install it: apt-get install chromium fonts-noto-cjk",
)


@contextmanager
def open_chromium() -> Iterator[Any]:
    """A running browser of Playwright's synchronous API."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (make setup-dev)")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()
