"""Time as an argument: aware UTC inside, the brand's zone at the faces."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Now = Callable[[], datetime]


def system_now() -> datetime:
    """The machine's time, aware UTC."""
    return datetime.now(UTC)


class MovableClock:
    """The server's clock under SIYU_TEST_CLOCK=1: set to an instant, it runs on from there."""

    def __init__(self) -> None:
        self._offset = timedelta(0)

    def __call__(self) -> datetime:
        return system_now() + self._offset

    def set(self, now: datetime) -> None:
        """Make the clock show `now` (aware)."""
        self._offset = now - system_now()

    def advance(self, seconds: float) -> None:
        """Move the clock on by `seconds`."""
        self._offset += timedelta(seconds=seconds)
