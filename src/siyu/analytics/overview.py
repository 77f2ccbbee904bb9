"""What a brand looks at first: figures of today, the last days, sources, the newest events, who was active.

Every function is one statement over `events`. `person` is what `person_of_event` answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import msgspec

from siyu.analytics.scope import NOT_BEHAVIOUR
from siyu.collect.catalogue import PURCHASES, UNSEEN, spellings
from siyu.identity.mirror import person_sql
from siyu.profile.lifecycle import Lifecycle, Thresholds
from siyu.store.clickhouse import EventStore

NAMES_MAX: Final = 1_000
ARRIVALS_MAX: Final = 200
PROPERTY_SAMPLE_EVENTS: Final = 500
_PAID: Final = "(value_fen > 0 OR name IN {paid:Array(String)})"
"""A free purchase is one too."""
_BEHAVIOUR: Final = "name NOT IN {hidden:Array(String)}"
_SEEN: Final = "name NOT IN {unseen:Array(String)}"
"""Not what is only said of a person (a segment entered, a message sent): nobody was there."""
_NAMES: Final = {"hidden": NOT_BEHAVIOUR, "unseen": sorted(UNSEEN), "paid": PURCHASES}


class Figures(NamedTuple):
    """A stretch of time in five numbers."""

    persons: int
    new_persons: int
    events: int
    """Without what is only said of persons."""
    orders: int
    revenue_fen: int


class Day(NamedTuple):
    """One local day."""

    day: date
    persons: int
    events: int
    orders: int
    revenue_fen: int
    new_persons: int = 0


class EndShare(NamedTuple):
    """What came from one end."""

    end: str
    persons: int
    events: int
    revenue_fen: int


class NewestEvent(NamedTuple):
    """An event as the live feed shows it."""

    person: int
    name: str
    end: str
    value_fen: int
    occurred_at: datetime
    received_at: datetime
    event_id: str
    source: str
    properties: str


class Arrivals(NamedTuple):
    """What a source sent under one name: per slice of the time looked at, oldest first."""

    source: str
    name: str
    events: int
    newest: datetime
    slices: list[int]


class PersonRow(NamedTuple):
    """A person in a list."""

    person: int
    last_seen: datetime
    spend_fen: int
    orders: int
    events: int


Sort = Literal["last_seen", "spend", "orders", "events"]
SORTS: Final[dict[Sort, str]] = {"last_seen": "last", "spend": "spend", "orders": "orders", "events": "n"}


def _at(name: str) -> str:
    """The parameter `name`, epoch milliseconds, as a time of the column's type."""
    return f"fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')"


def _ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


async def person_of_event(events: EventStore) -> str:
    """The expression of an event's person, with the branch for identifiers that changed hands only when there are."""
    ((spans,),) = await events.rows("SELECT count() > 0 FROM person_spans")
    return person_sql(bool(spans))


async def figures(events: EventStore, person: str, stretches: Sequence[tuple[datetime, datetime]]) -> list[Figures]:
    """The figures of several stretches [start, end). A new person is one whose first event ever lies in it."""
    columns, firsts, params = [], [], dict[str, Any]()
    for n, (start, end) in enumerate(stretches):
        inside = f"occurred_at >= {_at(f'a{n}')} AND occurred_at < {_at(f'b{n}')}"
        params |= {f"a{n}": _ms(start), f"b{n}": _ms(end)}
        behaviour = f"{inside} AND {_BEHAVIOUR}"
        columns += [f"uniqExactIf(p, {behaviour})", f"countIf({inside} AND {_SEEN})"]
        columns += [f"countIf({inside} AND {_PAID})", f"sumIf(value_fen, {inside})"]
        firsts.append(f"countIf(first >= {_at(f'a{n}')} AND first < {_at(f'b{n}')})")
    params |= _NAMES | {"low": _ms(min(start for start, _ in stretches))}
    source = f"SELECT {person} AS p, name, occurred_at, value_fen FROM events WHERE occurred_at >= {_at('low')}"
    (row,) = await events.rows(f"SELECT {', '.join(columns)} FROM ({source})", params)
    seen = f"SELECT {person} AS p, min(occurred_at) AS first FROM events GROUP BY p"
    (new,) = await events.rows(f"SELECT {', '.join(firsts)} FROM ({seen})", params)
    return [Figures(row[4 * n], new[n], row[4 * n + 1], row[4 * n + 2], row[4 * n + 3]) for n in range(len(stretches))]


async def days(events: EventStore, person: str, start: datetime, end: datetime, zone: str) -> list[Day]:
    """One row per local day of [start, end) on which something happened, oldest first."""
    rows = await events.rows(
        f"""SELECT toDate(occurred_at, {{zone:String}}) AS d, uniqExactIf({person}, {_BEHAVIOUR}),
                   countIf({_SEEN}), countIf({_PAID}), sum(value_fen)
            FROM events WHERE occurred_at >= {_at("a")} AND occurred_at < {_at("b")}
            GROUP BY d ORDER BY d""",
        _NAMES | {"zone": zone, "a": _ms(start), "b": _ms(end)},
    )
    new = await events.rows(
        f"""SELECT toDate(first, {{zone:String}}) AS d, count()
            FROM (SELECT {person} AS p, min(occurred_at) AS first FROM events GROUP BY p)
            WHERE first >= {_at("a")} AND first < {_at("b")} GROUP BY d""",
        {"zone": zone, "a": _ms(start), "b": _ms(end)},
    )
    new_persons = {row[0]: int(row[1]) for row in new}
    return [Day(row[0], row[1], row[2], row[3], row[4], new_persons.get(row[0], 0)) for row in rows]


async def by_end(events: EventStore, person: str, start: datetime, end: datetime) -> list[EndShare]:
    """What each end brought in [start, end), most persons first."""
    rows = await events.rows(
        f"""SELECT end, uniqExactIf({person}, {_BEHAVIOUR}) AS persons, countIf({_SEEN}), sum(value_fen)
            FROM events WHERE occurred_at >= {_at("a")} AND occurred_at < {_at("b")}
            GROUP BY end ORDER BY persons DESC, end LIMIT 12""",
        _NAMES | {"a": _ms(start), "b": _ms(end)},
    )
    return [EndShare(*row) for row in rows]


async def newest(events: EventStore, person: str, now: datetime, limit: int) -> list[NewestEvent]:
    """The events received last, without what is only said. Looks at the last hour, and further back when there are
    fewer: this is asked every two seconds, and where much happens an hour is enough."""
    near = f"occurred_at >= {_at('low')} AND received_at >= {_at('low')}"
    for back, where in (
        (timedelta(hours=1), near),
        (timedelta(days=1), near),
        (timedelta(days=60), f"received_at >= {_at('low')}"),
    ):
        rows = await events.rows(
            f"""SELECT {person} AS p, name, end, value_fen, occurred_at, received_at, event_id, source, properties
                FROM events WHERE {where} AND {_SEEN}
                ORDER BY received_at DESC, occurred_at DESC, event_id LIMIT {{n:UInt32}}""",
            _NAMES | {"low": _ms(now - back), "n": limit},
        )
        if len(rows) == limit:
            break
    return [NewestEvent(*row) for row in rows]


async def event_names(events: EventStore) -> list[tuple[str, int]]:
    """Every event name that arrived, most frequent first."""
    rows = await events.rows(
        "SELECT name, count() AS n FROM events GROUP BY name ORDER BY n DESC, name LIMIT {most:UInt32}",
        {"most": NAMES_MAX},
    )
    return [(row[0], row[1]) for row in rows]


async def property_names(events: EventStore, name: str) -> list[str]:
    """The property names of some of an event's occurrences, most frequent first; of any event for an empty name."""
    where = "name IN {names:Array(String)}" if name else "1"
    rows = await events.rows(
        f"SELECT properties FROM events WHERE {where} LIMIT {{sample:UInt32}}",
        {"names": list(spellings(name)) if name else [], "sample": PROPERTY_SAMPLE_EVENTS},
    )
    counted = Counter(key for (text,) in rows for key in msgspec.json.decode(text))
    return [key for key, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:100]]


async def arrivals(events: EventStore, now: datetime, minutes: int, slices: int) -> list[Arrivals]:
    """What was received in the last minutes, by source and name, most events first."""
    start = now - timedelta(minutes=minutes)
    rows = await events.rows(
        f"""SELECT source, name, intDiv(dateDiff('second', {_at("a")}, received_at), {{size:UInt32}}) AS place, count(),
                   max(received_at)
            FROM events WHERE received_at >= {_at("a")} GROUP BY source, name, place""",
        {"a": _ms(start), "size": max(1, minutes * 60 // slices)},
    )
    lines: dict[tuple[str, str], list[int]] = {}
    newest_of: dict[tuple[str, str], datetime] = {}
    for source, name, place, count, last in rows:
        key = source, name
        lines.setdefault(key, [0] * slices)[min(max(place, 0), slices - 1)] += count
        newest_of[key] = max(last, newest_of.get(key, last))
    found = [Arrivals(*key, sum(line), newest_of[key], line) for key, line in lines.items()]
    return sorted(found, key=lambda one: (-one.events, one.name, one.source))[:ARRIVALS_MAX]


async def source_totals(events: EventStore) -> dict[str, tuple[int, datetime]]:
    """Per source how many events there are and when the newest was received."""
    rows = await events.rows("SELECT source, count(), max(received_at) FROM events GROUP BY source")
    return {row[0]: (row[1], row[2]) for row in rows}


class Did(NamedTuple):
    """Something a person did in [start, end), or began to exist."""

    what: Literal["active", "new", "bought", "sent"]
    """`sent`: any event that arrived then, whenever it happened."""
    start: datetime
    end: datetime


Column = Literal["end", "source", "name"]


class Wanted(NamedTuple):
    """Which persons a list holds, in which order, which page of it."""

    sort: Sort = "last_seen"
    lifecycle: Lifecycle | None = None
    did: Did | None = None
    only: Mapping[Column, str] = MappingProxyType({})
    """Only events with these values count for `did`."""
    limit: int = 50
    offset: int = 0


async def persons_listed(
    events: EventStore, person: str, wanted: Wanted, limits: Thresholds, now: datetime
) -> tuple[list[PersonRow], int]:
    """A page of persons with events, and how many there are; lifecycle by the rules of `profile.lifecycle`."""
    borders = ("lost_days", "sleeping_days", "new_days")
    params: dict[str, Any] = {name: _ms(now - timedelta(days=getattr(limits, name))) for name in borders}
    params |= _NAMES | {"window": _ms(now - timedelta(days=limits.vip_window_days))}
    params |= {"vip_spend": limits.vip_spend_fen, "vip_orders": limits.vip_orders}
    params |= {"limit": wanted.limit, "offset": wanted.offset}
    conditions = []
    if wanted.lifecycle is not None:
        params["stage"] = wanted.lifecycle
        conditions.append(f"{_stage_sql()} = {{stage:String}}")
    if wanted.did is not None:
        conditions.append(_did_sql(wanted.did, wanted.only, params))
    recent = f"occurred_at >= {_at('window')}"
    having = f"HAVING {' AND '.join(conditions)}" if conditions else ""
    rows = await events.rows(
        f"""SELECT {person} AS p, greatest(maxIf(occurred_at, {_SEEN}), min(occurred_at)) AS last,
                   sum(value_fen) AS spend, countIf({_PAID}) AS orders, count() AS n,
                   min(occurred_at) AS first, sumIf(value_fen, {recent}) AS recent_spend,
                   countIf({_PAID} AND {recent}) AS recent_orders, count() OVER () AS total
            FROM events GROUP BY p {having}
            ORDER BY {SORTS[wanted.sort]} DESC, p LIMIT {{limit:UInt32}} OFFSET {{offset:UInt32}}""",
        params,
    )
    return [PersonRow(*row[:5]) for row in rows], rows[0][8] if rows else 0


def _stage_sql() -> str:
    return f"""multiIf(last <= {_at("lost_days")}, 'lost', last <= {_at("sleeping_days")}, 'sleeping',
        recent_spend >= {{vip_spend:Int64}} OR recent_orders >= {{vip_orders:Int64}}, 'vip',
        first > {_at("new_days")}, 'new', 'active')"""


def _did_sql(did: Did, only: Mapping[Column, str], params: dict[str, Any]) -> str:
    params |= {"since": _ms(did.start), "until": _ms(did.end)}
    if did.what == "new":
        return f"first >= {_at('since')} AND first < {_at('until')}"
    time = "received_at" if did.what == "sent" else "occurred_at"
    inside = f"{time} >= {_at('since')} AND {time} < {_at('until')}"
    if did.what == "bought":
        inside += f" AND {_PAID}"
    elif did.what == "active":
        inside += f" AND {_BEHAVIOUR}"
    for column, value in only.items():
        params[f"only_{column}"] = value
        inside += f" AND {column} = {{only_{column}:String}}"
    return f"countIf({inside}) > 0"
