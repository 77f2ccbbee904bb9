"""The dialects by name, for bodies that are read a second time."""

from __future__ import annotations

from typing import Final

from siyu.collect import posthog, segment, sensors
from siyu.collect.event import Event, Rejected
from siyu.collect.parsed import Limits

DIALECTS: Final = (segment.DIALECT, sensors.DIALECT, posthog.DIALECT)


def parse_again(dialect: str, body: bytes, received_ms: int, limits: Limits) -> tuple[list[Event], list[Rejected]]:
    """What a dead letter's body holds, read as when it came: (events, rejected).

    Raises UnusableBody when nothing in it can be read, ValueError for an unknown dialect."""
    if dialect == segment.DIALECT:
        parsed = [segment.parse(body, received_ms, limits)]
    elif dialect == sensors.DIALECT:
        parsed = sensors.parse(body, received_ms, limits)
    elif dialect == posthog.DIALECT:
        parsed = [posthog.parse(body, received_ms, limits)]
    else:
        raise ValueError(f"no dialect {dialect!r}")
    return [event for part in parsed for event in part.events], [bad for part in parsed for bad in part.rejected]
