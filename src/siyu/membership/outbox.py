"""Events that membership tells: written in the transaction of what happened, then brought into the stream.

Sent twice after a crash, an event is known by its id. `connection` is a raw asyncpg connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from siyu.collect.event import Event
from siyu.ids import identifier_key

_ADD: Final = """
INSERT INTO membership_outbox (anchor, name, event_id, "end", at, properties, other)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[])
"""
_WAITING: Final = """
SELECT o.seq, o.name, o.event_id, o."end", (extract(epoch FROM o.at) * 1000)::bigint, o.properties, i.kind,
       i.value, o.other
FROM (SELECT * FROM membership_outbox ORDER BY seq LIMIT $1) o LEFT JOIN identifiers i ON i.id = o.anchor
ORDER BY o.seq
"""


class Told(NamedTuple):
    """An event to come."""

    anchor: int
    name: str
    event_id: str
    end: str
    at: datetime
    properties: Mapping[str, Any]
    other: str | None = None
    """Another identifier that the event carries."""


async def tell(connection: Any, events: Sequence[Told]) -> None:
    """Write events down."""
    if events:
        columns: list[list[Any]] = [list(column) for column in zip(*events, strict=True)]
        columns[-2] = [msgspec.json.encode(one).decode() for one in columns[-2]]
        await connection.execute(_ADD, *columns)


async def waiting(connection: Any, limit: int) -> tuple[list[Event], list[int]]:
    """The oldest events, and the numbers of their rows. Those of erased persons are left out."""
    rows = await connection.fetch(_WAITING, limit)
    events = [
        Event(row[2], row[1], row[4], identifier_key(row[6], row[7]), row[8], properties=row[5], end=row[3])
        for row in rows
        if row[6] is not None
    ]
    return events, [row[0] for row in rows]


async def sent(connection: Any, rows: Sequence[int]) -> None:
    """They are in the stream. By their numbers, since another process may write a smaller one later."""
    await connection.execute("DELETE FROM membership_outbox WHERE seq = ANY($1::bigint[])", list(rows))


async def scrub(connection: Any, anchors: Sequence[int]) -> int:
    """Remove the events of an erased person; how many."""
    status = await connection.execute("DELETE FROM membership_outbox WHERE anchor = ANY($1::bigint[])", list(anchors))
    return int(status.split()[-1])
