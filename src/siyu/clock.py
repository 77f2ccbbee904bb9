"""Time as an argument: aware UTC inside, the brand's zone at the faces."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

Now = Callable[[], datetime]


def system_now() -> datetime:
    """The machine's time, aware UTC."""
    return datetime.now(UTC)


class MovableClock:
    """The server's clock under SIYU_TEST_CLOCK=1: set to an instant, it runs on from there.

    The offset lives in a file, since the processes of one server must agree on the time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp = 0
        self._offset = timedelta(0)

    def __call__(self) -> datetime:
        try:
            stamp = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return system_now()
        if stamp != self._stamp:
            self._offset = timedelta(seconds=float(self._file.read_text()))
            self._stamp = stamp
        return system_now() + self._offset

    def set(self, now: datetime) -> None:
        """Make the clock show `now` (aware)."""
        self._write(now - system_now())

    def advance(self, seconds: float) -> None:
        """Move the clock on by `seconds`. Raises OverflowError beyond the calendar."""
        self._write(self() - system_now() + timedelta(seconds=seconds))

    def _write(self, offset: timedelta) -> None:
        _ = system_now() + offset
        fresh = self._file.with_suffix(f".{os.getpid()}")
        fresh.write_text(repr(offset.total_seconds()))
        fresh.replace(self._file)
