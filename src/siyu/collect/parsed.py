"""What a dialect makes of a body, the limits it keeps to, and the ways a body or an event can be refused. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from siyu.collect.event import Event, Rejected
from siyu.errors import Busy, MalformedRequest, TooLarge, Unauthorized
from siyu.settings import Settings

NAME_LENGTH_MAX: Final = 255
DEPTH_MAX: Final = 64
"""Nesting of JSON in one event."""


class Limits(NamedTuple):
    """Limits of one server, in the units that parsing needs."""

    event_bytes: int
    batch_bytes: int
    request_bytes: int
    batch_events: int
    future_ms: int
    zone: tzinfo
    """Zone of times that Sensors SDKs write without one."""

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits that the settings name."""
        return cls(
            settings.event_bytes_max,
            settings.batch_bytes_max,
            settings.request_bytes_max,
            settings.batch_events_max,
            settings.future_seconds_max * 1000,
            ZoneInfo(settings.timezone),
        )


class Parsed(NamedTuple):
    """Events and rejected events of a body, in the order sent."""

    events: Sequence[Event]
    rejected: list[Rejected]
    keys: tuple[str, ...] = ()
    """Write keys named inside the body, the most binding first."""


class BadEvent(Exception):
    """One event cannot be taken; the rest of its batch can. Becomes a `Rejected`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class UnusableBody(MalformedRequest):
    """Nothing in a body can be read."""

    code = "BAD_BODY"


class BadJson(UnusableBody):
    """A body is not JSON, even read with indulgence."""

    code = "BAD_JSON"


class BadCompression(UnusableBody):
    """A gzip stream is damaged or cut off."""

    code = "BAD_COMPRESSION"


class EmptyBatch(UnusableBody):
    """A body without any event."""

    code = "EMPTY_BATCH"


class BatchTooLarge(UnusableBody):
    """A batch over the size or number of events that the dialect allows."""

    code = "BATCH_TOO_LARGE"


class RequestTooLarge(TooLarge):
    """A request over `request_bytes_max`, as sent or when unpacked."""

    code = "REQUEST_TOO_LARGE"


class Overloaded(Busy):
    """`Busy` for SDKs that never send again after a 4xx."""

    status = 503


class WrongKey(Unauthorized):
    """No write key, or one that is unknown or revoked."""

    code = "WRONG_KEY"


def rejected(error: BadEvent, body: bytes, limits: Limits, dialect: str, event_id: str = "") -> Rejected:
    """The dead letter of a bad event; its body is cut at the event limit."""
    return Rejected(error.code, error.reason, bytes(body[: limits.event_bytes]), event_id[:255], dialect)
