"""The stream and the clock that the settings name."""

from __future__ import annotations

from siyu.clock import MovableClock, Now, system_now
from siyu.settings import Settings
from siyu.store.postgres import Database
from siyu.stream.postgres import PostgresStream
from siyu.stream.stream import Stream


async def open_stream(settings: Settings, db: Database, *, consume: bool) -> Stream:
    """Connected. `consume`: the caller will read it too. Raises EngineUnavailable."""
    if settings.stream_url is None:
        return PostgresStream(db)
    from siyu.stream.kafka import KafkaStream  # the client is an extra that most installations do without

    return await KafkaStream.open(settings.stream_url, db, consume=consume)


def clock_of(settings: Settings) -> Now:
    """The clock of this server."""
    return MovableClock(settings.home_path / "test-clock") if settings.test_clock else system_now
