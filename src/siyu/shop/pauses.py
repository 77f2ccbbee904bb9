"""How long whoever asks a payment provider waits, and for whom. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

CLAIMED_AT_ONCE: Final = 20
LEASE: Final = timedelta(minutes=2)
"""Whoever claimed something and says nothing for so long is dead: another one asks again, under the same number."""
ATTEMPTS_MAX: Final = 16
"""In a row; who has a refund tried again begins a new row."""
FIRST_PAUSE: Final = timedelta(seconds=5)
PAUSE_MAX: Final = timedelta(hours=6)
BECAUSE_CHARS: Final = 300


def pause(attempts: int) -> timedelta:
    """How long to wait after so many attempts that failed: twice as long each time."""
    longer: int = 2 ** min(max(attempts, 1) - 1, 30)
    return min(FIRST_PAUSE * longer, PAUSE_MAX)
