"""The durable log between doors and processor. Two implementations: a PostgreSQL table, the Kafka protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class StreamFrame(NamedTuple):
    """One frame as read back."""

    partition: int
    offset: int
    body: bytes
    events: int


class Stream(Protocol):
    """Frames in, frames out, in order per partition."""

    async def append(self, frames: Sequence[tuple[bytes, int]]) -> None:
        """Make frames (body, events) durable; returns only then. Raises EngineUnavailable."""

    async def read(self, partition: int, after: int, events_max: int, wait_s: float) -> list[StreamFrame]:
        """Frames of `partition` with offset > `after`, oldest first, until `events_max` is reached (at least one frame);
        waits up to `wait_s` seconds when there is none."""

    async def assigned(self) -> list[int]:
        """The partitions this processor reads now."""

    async def trim(self, partition: int, upto: int) -> None:
        """Frames with offset ≤ `upto` are processed and may be dropped."""

    async def accepted(self) -> int:
        """Events made durable since the beginning."""

    async def close(self) -> None:
        """Leave cleanly."""
