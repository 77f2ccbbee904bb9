"""The timeline: a person's events, newest first, in pages that neither skip nor repeat. Pure.

Many events may share one millisecond (a batch, an import with dates only). So each event has a *place* inside its
millisecond, 1 to 999, made of its id; a cursor is the instant of the last event shown with the place as microseconds.
It reads as an ordinary ISO time, and any other time works as a cursor too: events strictly before it follow.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from siyu.errors import MalformedRequest
from siyu.profile.change import EPOCH, instant

PLACES: Final = 999
PAGE_MAX: Final = 1_000


class Cursor(NamedTuple):
    """Where a page begins: events strictly before (at_ms, place)."""

    at_ms: int
    place: int


class Page(NamedTuple):
    """Which part of a timeline is wanted."""

    limit: int
    before: Cursor | None = None
    """None: from the newest on."""


class TimelineItem(msgspec.Struct, frozen=True):
    """One event."""

    event_id: str
    name: str
    end: str
    occurred_at: datetime
    received_at: datetime
    properties: Any
    """A JSON object, handed on as it is stored."""
    context: Any
    identifier: dict[str, str]
    """{kind, value} of the identifier the event hangs on."""


class Timeline(msgspec.Struct, frozen=True):
    """A page; `next_before` is the `before` of the next one, null on the last."""

    items: list[TimelineItem]
    next_before: str | None


def parse_cursor(text: str) -> Cursor:
    """A cursor from ISO text; without a zone it is UTC. Raises MalformedRequest."""
    try:
        # A `+` that came unescaped through a query string is a blank.
        moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MalformedRequest(f"{text[:80]!r} is not an ISO time.", path="before") from error
    milliseconds, rest = divmod(moment - EPOCH, timedelta(milliseconds=1))
    return Cursor(milliseconds, rest // timedelta(microseconds=1))


def cursor_text(cursor: Cursor) -> str:
    """The ISO text of a cursor, UTC, with microseconds."""
    moment = instant(cursor.at_ms) + timedelta(microseconds=cursor.place)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
