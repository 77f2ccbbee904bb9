"""A small world of events: how tests put events and persons into the engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pyarrow as pa

from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database


class Happening(NamedTuple):
    """One event. `person` is who did it; `anchor` (0: the person's own number) under which it is stored."""

    person: int
    name: str
    at_ms: int
    properties: Mapping[str, Any] = {}
    value_fen: int = 0
    end: str = "app"
    anchor: int = 0


def as_event(happening: Happening) -> dict[str, Any]:
    """The shape conditions are evaluated on."""
    return {
        "properties": happening.properties,
        "context": {},
        "name": happening.name,
        "end": happening.end,
        "source": "s",
        "value_fen": happening.value_fen,
    }


def uid_of(number: int) -> UUID:
    """The public id tests give to an identifier number."""
    return UUID(int=number)


async def insert_events(events: EventStore, happenings: Sequence[Happening]) -> None:
    """Store events under their anchors."""
    times = pa.array([h.at_ms for h in happenings], pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    table = pa.table(
        {
            "anchor": pa.array([h.anchor or h.person for h in happenings], pa.uint32()),
            "occurred_at": times,
            "received_at": times,
            "name": [h.name for h in happenings],
            "end": [h.end for h in happenings],
            "source": ["s"] * len(happenings),
            "event_id": [str(i) for i in range(len(happenings))],
            "others": pa.array([[]] * len(happenings), pa.list_(pa.uint32())),
            "value_fen": pa.array([h.value_fen for h in happenings], pa.int64()),
            "properties": [msgspec.json.encode(h.properties).decode() for h in happenings],
            "context": ["{}"] * len(happenings),
            "batch": pa.array([1] * len(happenings), pa.uint64()),
        }
    )
    await events.insert("events", table)


async def merge(events: EventStore, anchors: Mapping[int, int]) -> None:
    """anchor → person: merged identities."""
    table = pa.table(
        {"anchor": pa.array(list(anchors), pa.uint32()), "person": pa.array(list(anchors.values()), pa.uint32())}
    )
    await events.insert("person_map", table)


async def share(events: EventStore, anchor: int, spans: Sequence[tuple[int, int]]) -> None:
    """One anchor that belonged to several persons: (since ms, person), the first since 0."""
    stamp = pa.timestamp("ms", tz="UTC")
    table = pa.table(
        {
            "anchor": pa.array([anchor], pa.uint32()),
            "since": pa.array([[datetime.fromtimestamp(ms / 1000, UTC) for ms, _ in spans]], pa.list_(stamp)),
            "person": pa.array([[person for _, person in spans]], pa.list_(pa.uint32())),
        }
    )
    await events.insert("person_spans", table)


async def register(db: Database, numbers: Sequence[int]) -> None:
    """Give identifier numbers public ids."""
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    async with db.driver() as connection:
        await connection.executemany(
            "INSERT INTO identifiers (id, uid, kind, value, first_seen, last_seen, source)"
            " VALUES ($1, $2, 'user_id', $3, $4, $4, 's') ON CONFLICT DO NOTHING",
            [(number, uid_of(number), f"u{number}", moment) for number in numbers],
        )
