"""Events that rooms tell about persons: written in the transaction of what happened, then brought into the stream.

Each is there once: its id is unique here, removed only when it is in the stream, and known by its id there if a crash
comes in between. Those of erased persons are left out. `connection` is a raw asyncpg connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from siyu.clock import Now
from siyu.collect.catalogue import value_fen
from siyu.collect.event import Event
from siyu.collect.frame import Arrival, frames_of
from siyu.errors import SiyuError
from siyu.ids import identifier_key
from siyu.store.postgres import Database
from siyu.store.rows import columns, unnested
from siyu.stream.stream import Stream

log = structlog.get_logger()

SOURCE: Final = "siyu"
PER_FRAME: Final = 2_000
IDLE_SECONDS: Final = 0.2
REST_SECONDS: Final = 0.5
"""After events were sent: a batch costs every engine that it passes as much as some hundred events."""
SENDER_LOCK: Final = 0x51_0B
"""Advisory lock of the one that sends, in all processes."""

_LOOK_SECONDS: Final = 0.05

_ADD: Final = f"""
INSERT INTO told_events (event_id, name, at, properties, anchor, key, other, "end", source)
SELECT * FROM {unnested(1, "text", "text", "timestamptz", "text", "bigint", "text", "text", "text", "text")}
ON CONFLICT (event_id) DO NOTHING
"""
_WAITING: Final = """
SELECT o.seq, o.event_id, o.name, (extract(epoch FROM o.at) * 1000)::bigint, o.properties, o.key, i.kind, i.value,
       o.other, o."end", o.source
FROM (SELECT * FROM told_events ORDER BY seq LIMIT $1) o LEFT JOIN identifiers i ON i.id = o.anchor ORDER BY o.seq
"""
_NEWEST: Final = "SELECT max(seq) FROM told_events"
_WAITS: Final = "SELECT EXISTS (SELECT FROM told_events WHERE seq <= $1)"
_SCRUB: Final = """
DELETE FROM told_events WHERE anchor = ANY($1::bigint[]) OR key = ANY($2::text[]) OR other = ANY($2::text[])"""


class Told(NamedTuple):
    """Something that happened to a person."""

    event_id: str
    name: str
    at: datetime
    properties: Mapping[str, Any]
    anchor: int | None
    """The identifier it stands under; None: `key`."""
    key: str | None = None
    """`ids.identifier_key` of who is no person yet."""
    other: str | None = None
    """Another identifier that the event carries: `ids.identifier_key`."""
    end: str = ""
    source: str = SOURCE
    """Who says so."""


async def tell(connection: Any, events: Sequence[Told]) -> None:
    """Write events down; one whose id waits already is the same one."""
    if events:
        rows = [(*one[:3], msgspec.json.encode(one.properties).decode(), *one[4:]) for one in events]
        await connection.execute(_ADD, *columns(rows, len(Told._fields)))


async def scrub(connection: Any, anchors: Collection[int], keys: Collection[str]) -> int:
    """Remove the events of an erased person that wait: those under these identifiers, or that name one; how many."""
    status = await connection.execute(_SCRUB, list(anchors), list(keys))
    return int(status.split()[-1])


async def send_waiting(db: Database, stream: Stream, now: Now) -> int:
    """Bring everything that waits into the stream; how many. Raises EngineUnavailable: then nothing is lost."""
    sent = 0
    async with db.driver() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", SENDER_LOCK):
            return 0
        try:
            while rows := await connection.fetch(_WAITING, PER_FRAME):
                if arrivals := _arrivals(rows, int(now().timestamp() * 1000)):
                    await stream.append(frames_of(arrivals, stream.shards, stream.frame_bytes_max))
                # By number, not up to one: a lower number may still be on its way to its commit.
                await connection.execute(
                    "DELETE FROM told_events WHERE seq = ANY($1::bigint[])", [row[0] for row in rows]
                )
                sent += len(rows)
        finally:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock($1)", SENDER_LOCK)
    return sent


async def until_sent(db: Database, seconds_max: float) -> None:
    """Wait until what is written down by now is in the stream; no longer than `seconds_max`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds_max
    async with db.driver() as connection:
        newest = await connection.fetchval(_NEWEST)
    while newest is not None and loop.time() < until:
        await asyncio.sleep(_LOOK_SECONDS)
        async with db.driver() as connection:
            if not await connection.fetchval(_WAITS, newest):
                return


async def keep_sending(db: Database, stream: Stream, now: Now, stopping: asyncio.Event) -> None:
    """Send what waits, time and again, until `stopping` is set. A failure loses nothing."""
    while not stopping.is_set():
        sent = 0
        try:
            sent = await send_waiting(db, stream, now)
        except SiyuError as error:
            log.warning("events wait", error=str(error))
        except Exception:
            log.exception("events could not be sent, will be repeated")
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), REST_SECONDS if sent else IDLE_SECONDS)


def _arrivals(rows: Sequence[Any], received_ms: int) -> list[Arrival]:
    of_source: dict[str, list[Event]] = {}
    for row in rows:
        if (event := _event(row)) is not None:
            of_source.setdefault(row[-1], []).append(event)
    return [Arrival(events, [], source, "server", received_ms) for source, events in of_source.items()]


def _event(row: Any) -> Event | None:
    """A row as an event; None of who was erased meanwhile."""
    _, event_id, name, at_ms, properties, key, kind, value, other, end, _ = row
    if key is None and kind is None:
        return None
    money = value_fen(name, msgspec.json.decode(properties))
    anchor = identifier_key(kind, value) if key is None else key
    return Event(event_id, name, at_ms, anchor, other, properties=properties, value_fen=money, end=end)
