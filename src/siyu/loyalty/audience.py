"""Of whom earn rules are: who a person was when something happened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from siyu.segments.one import Asking
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore

_BEFORE: Final = timedelta(milliseconds=1)


def audiences_asked(connection: Any, events: EventStore, zone: ZoneInfo) -> Asking:
    """Where audiences are asked: a person's events before the instant count, so that the answer is the same before and
    after what happened is stored."""
    return Asking(connection, events, WORDS, zone, _BEFORE)
