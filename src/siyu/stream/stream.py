"""The durable log between doors and processor. Two implementations: a PostgreSQL table, the Kafka protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class NewFrame(NamedTuple):
    """A frame to append. All events of one anchor go to one shard, so their order is kept."""

    body: bytes
    events: int
    shard: int = 0


class StreamFrame(NamedTuple):
    """One frame as read back. Offsets start at 1."""

    partition: int
    offset: int
    body: bytes
    events: int


@runtime_checkable
class Stream(Protocol):
    """Frames in, frames out, in order per partition."""

    @property
    def shards(self) -> int:
        """How many parts the events are to be split into by anchor."""

    @property
    def frame_bytes_max(self) -> int:
        """Largest body of a frame."""

    async def append(self, frames: Sequence[NewFrame]) -> None:
        """Make frames durable; returns only then. Raises EngineUnavailable: then they may or may not be there."""

    async def read(self, partition: int, after: int, events_max: int, wait_s: float) -> list[StreamFrame]:
        """Frames of `partition` with offset > `after`, oldest first, until `events_max` is reached (one at least);
        waits up to `wait_s` seconds when there is none."""

    async def assigned(self) -> list[int]:
        """The partitions this processor reads now."""

    async def accepted(self) -> int:
        """Events made durable since the beginning."""

    async def close(self) -> None:
        """Leave cleanly."""
