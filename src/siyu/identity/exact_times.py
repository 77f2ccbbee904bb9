"""When exactly a pair of identifiers was seen: read back from the events, for the few pairs where every time matters.

Most pairs need only their first time. A shared device, a recycled phone or an unbound openid needs the order of all its
sightings; those are in ClickHouse already, sorted by the anchor, so they are read again instead of being kept twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from siyu.store.clickhouse import EventStore

_PAIRS_PER_QUERY: Final = 300
"""The pairs travel in the address of the request, which servers bound."""


class Wanted(NamedTuple):
    """A pair whose times are wanted."""

    a: int
    b: int
    either_way: bool
    """Also look for events anchored at `b` (kinds of equal strength)."""
    group: int
    """Pairs of one group are read together: a sighting is left out when the one before it in its group is of the same
    pair and no break lies between."""
    order: int
    """Order of sightings of one instant within the group."""
    breaks: tuple[int, ...]
    """Instants (epoch ms) at which the pair's sightings count anew."""


_SQL: Final = """
SELECT link, ts FROM (
  SELECT link, ts, part,
         lagInFrame(toInt64(link), 1, -1) OVER same AS link_before, lagInFrame(part) OVER same AS part_before
  FROM (
    SELECT toUnixTimestamp64Milli(occurred_at) AS ts,
           transform(toUInt64(anchor) * 4294967296 + other, {keys:Array(UInt64)},
                     {links:Array(UInt32)}, toUInt32(4294967295)) AS link,
           {groups:Array(UInt32)}[link + 1] AS grp,
           {orders:Array(UInt32)}[link + 1] AS ord,
           arrayCount(x -> x <= ts, {breaks:Array(Array(Int64))}[link + 1]) AS part
    FROM events ARRAY JOIN others AS other
    WHERE anchor IN {anchors:Array(UInt32)} AND hasAny(others, {carried:Array(UInt32)}) AND link != 4294967295
  )
  WINDOW same AS (PARTITION BY grp ORDER BY ts, ord ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE link_before != link OR part_before != part
"""


async def exact_times(events: EventStore, wanted: Sequence[Wanted]) -> dict[tuple[int, int], list[int]]:
    """(a, b) → ascending event times, epoch ms, without those that could not make a difference.

    Raises EngineUnavailable."""
    times: dict[tuple[int, int], set[int]] = {}
    for part in _portions(wanted):
        keys: list[int] = []
        links: list[int] = []
        for n, pair in enumerate(part):
            keys.append(pair.a << 32 | pair.b)
            links.append(n)
            if pair.either_way:
                keys.append(pair.b << 32 | pair.a)
                links.append(n)
        rows = await events.rows(
            _SQL,
            {
                "keys": keys,
                "links": links,
                "groups": [pair.group for pair in part],
                "orders": [pair.order for pair in part],
                "breaks": [list(pair.breaks) for pair in part],
                "anchors": sorted({key >> 32 for key in keys}),
                "carried": sorted({key & 0xFFFFFFFF for key in keys}),
            },
        )
        for n, at in rows:
            times.setdefault((part[n].a, part[n].b), set()).add(at)
    return {pair: sorted(instants) for pair, instants in times.items()}


def _portions(wanted: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Whole groups, about `_PAIRS_PER_QUERY` pairs at a time. A larger group is cut: then fewer sightings are left out,
    which is never wrong."""
    ordered = sorted(wanted, key=lambda pair: (pair.group, pair.order))
    start = 0
    while start < len(ordered):
        end = min(start + _PAIRS_PER_QUERY, len(ordered))
        if end < len(ordered):
            whole = end
            while whole > start and ordered[whole - 1].group == ordered[end].group:
                whole -= 1
            end = whole if whole > start else end
        yield ordered[start:end]
        start = end
