"""What dimensions read of the events: aggregates, a few dozen in one pass, of all persons, of some, or of one.

Only what is asked for is read: the aggregates of these dimensions, each once, and the events with names they look at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from siyu.dimensions.aggregate_sql import aggregate_sql, value_sql
from siyu.dimensions.arithmetic import Ints, Numbers, Texts, column
from siyu.dimensions.dimension import Aggregate, Dimension, walk
from siyu.dimensions.evaluate import Raw, raws_of
from siyu.identity.mirror import person_sql
from siyu.identity.spans import Span
from siyu.profile.attributes import Column
from siyu.profile.event_records import members_sql
from siyu.rules.clickhouse import Params
from siyu.rules.metric_sql import Compiling, matches_sql, prefilter_sql
from siyu.rules.vocabulary import Vocabulary
from siyu.rules.window import Setting
from siyu.store.clickhouse import EventStore

AGGREGATES_PER_STATEMENT: Final = 24
PERSONS_PER_STATEMENT: Final = 500_000
"""Beyond it persons are taken in several passes: the engine's memory stays bounded."""
FIGURES_PER_PASS: Final = 10_000_000
"""Aggregates × persons in memory at once: about 300 MB, with what is made of them."""
EVENTS_FETCHED_MAX: Final = 2_000
"""Of a person with more events the engine computes the dimensions."""
_STORED: Final = "SELECT (SELECT count() > 0 FROM person_spans), max(anchor) FROM events"
_COUNTED: Final = frozenset({"run", "gap_squares", "different", "sum", "said"})
"""Kinds that are 0 of who did nothing."""
_ARROW: Final = {"output_format_arrow_compression_method": "none"}


class Reading(NamedTuple):
    """Where the events are, and how they are looked at."""

    events: EventStore
    words: Vocabulary
    setting: Setting
    seconds_max: int
    """What one statement may take."""

    async def fetch(self, sql: str, params: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> pa.Table:
        """The rows of a statement; `more`: settings. Raises QueryTooExpensive, EngineUnavailable."""
        settings = _ARROW | {"max_execution_time": self.seconds_max} | dict(more or {})
        return await self.events.arrow(sql, params, settings=settings)


def aggregates_of(dimensions: Iterable[Dimension]) -> list[Aggregate]:
    """What has to be read, each once; those that look at the same events stand together."""
    found = {part for one in dimensions for part in walk(one.expression) if isinstance(part, Aggregate)}
    return sorted(found, key=lambda part: (part.base.events, repr(part)))


async def columns(
    reading: Reading, dimensions: Sequence[Dimension], anchors: Sequence[int] | None = None
) -> list[Column]:
    """Each dimension of whoever has events it looks at; `anchors`: only of the owners of these identifiers, complete
    where all of an owner's are among them. Raises QueryTooExpensive, EngineUnavailable."""
    found: list[list[Column]] = [[] for _ in dimensions]
    async for made in passes(reading, dimensions, anchors):
        for place, one in zip(found, made, strict=True):
            place.append(one)
    return [_joined(pieces) for pieces in found]


async def passes(
    reading: Reading, dimensions: Sequence[Dimension], anchors: Sequence[int] | None = None
) -> AsyncIterator[list[Column]]:
    """The same, some persons at a time: a pass holds FIGURES_PER_PASS at most, however many persons there are."""
    ((spans, highest),) = await reading.events.rows(_STORED)
    person = f"toUInt32({person_sql(bool(spans))}) AS p, "
    of_them = "" if anchors is None else f" AND anchor IN ({', '.join(str(int(anchor)) for anchor in anchors) or 0})"
    aggregates = aggregates_of(dimensions)
    size = min(PERSONS_PER_STATEMENT, FIGURES_PER_PASS // max(1, len(aggregates)))
    shards = 1 + highest // size if anchors is None else 1
    for rest in range(shards):
        shard = f" AND p % {shards} = {rest}" if shards > 1 else ""
        parts = _parts(aggregates, reading)
        tables = [await reading.fetch(part.sql(person, of_them + shard), part.params) for part in parts]
        yield await asyncio.to_thread(_columns, reading.setting, dimensions, parts, tables)


class _Part(NamedTuple):
    """The aggregates of one statement, compiled."""

    aggregates: Sequence[Aggregate]
    selected: str
    tested: str
    """Columns c0, c1 …: whether an event counts, and x0, x1 …: what is read of it; many aggregates ask the same, so it
    is asked once."""
    where: str
    params: Mapping[str, Any]

    def sql(self, person: str, more: str) -> str:
        """The statement; `person`: `EXPRESSION AS p` to group by, or none for one person."""
        rows = f"SELECT {person}occurred_at, name, end, event_id, value_fen, properties, context, {self.tested}"
        rows += f" FROM events WHERE {self.where}{more}"
        return f"SELECT {'p, ' if person else ''}{self.selected} FROM ({rows}){' GROUP BY p' if person else ''}"


def _parts(aggregates: Sequence[Aggregate], reading: Reading) -> list[_Part]:
    parts = []
    for start in range(0, len(aggregates), AGGREGATES_PER_STATEMENT):
        some = aggregates[start : start + AGGREGATES_PER_STATEMENT]
        compiling = Compiling(Params(), reading.setting, reading.words)
        tests: dict[str, str] = {}
        values: dict[str, str] = {}
        selected = []
        for n, one in enumerate(some):
            test = matches_sql(one.base, compiling)
            name = tests.setdefault(test, f"c{len(tests)}")
            read = value_sql(one, compiling)
            value = values.setdefault(read, f"x{len(values)}") if read else ""
            selected.append(f"{aggregate_sql(one, compiling, value).replace(test, name)} AS v{n}")
        tested = ", ".join(f"{text} AS {name}" for text, name in (tests | values).items())
        where = prefilter_sql([one.base for one in some], compiling)
        parts.append(_Part(some, ", ".join(selected), tested, where, compiling.params.values))
    return parts


def _columns(
    setting: Setting, dimensions: Sequence[Dimension], parts: Sequence[_Part], tables: Sequence[pa.Table]
) -> list[Column]:
    """The tables of one shard put together, and the arithmetic."""
    owners = [table["p"].to_numpy().astype(np.int64) for table in tables]
    persons: Ints = np.unique(np.concatenate(owners)) if owners else np.zeros(0, np.int64)
    read: dict[Aggregate, Numbers | Texts] = {}
    for part, table, own in zip(parts, tables, owners, strict=True):
        places = np.searchsorted(persons, own)
        for n, aggregate in enumerate(part.aggregates):
            read[aggregate] = _read(aggregate, table[f"v{n}"].combine_chunks(), places, len(persons))
    return [
        _shown(persons, column(one.expression, read.__getitem__, len(persons), setting), one.decimals)
        for one in dimensions
    ]


def _read(aggregate: Aggregate, found: pa.Array, places: Ints, size: int) -> Numbers | Texts:
    if pa.types.is_string(found.type) or pa.types.is_binary(found.type):
        encoded = found.cast(pa.string()).dictionary_encode()
        texts: list[str] = encoded.dictionary.to_pylist()
        numbers = np.array([0 if text == "" else n + 1 for n, text in enumerate(texts)], np.int64)
        codes = np.zeros(size, np.int64)
        codes[places] = numbers[encoded.indices.to_numpy(zero_copy_only=False)] if texts else 0
        return Texts(codes, texts)
    values = np.zeros(size, np.int64)
    # Who has no event that the statement looks at was counted 0 times, and has no instant, day or extreme.
    counted = aggregate.kind in _COUNTED or (aggregate.kind == "metric" and not aggregate.base.is_time)
    known = np.full(size, counted)
    values[places] = found.fill_null(0).to_numpy(zero_copy_only=False)
    known[places] = found.is_valid().to_numpy(zero_copy_only=False)
    return Numbers(values, known)


def _shown(persons: Ints, made: Numbers | Texts, decimals: int) -> Column:
    if isinstance(made, Texts):
        there = made.codes > 0
        return Column(persons[there], made.codes[there] - 1, made.texts)
    different, codes = np.unique(made.values[made.known], return_inverse=True)
    values = (different / 10**decimals).tolist() if decimals else different.tolist()
    return Column(persons[made.known], codes.astype(np.int64), values)


def _joined(pieces: Sequence[Column]) -> Column:
    """The columns of several shards as one, by ascending persons."""
    if len(pieces) == 1:
        return pieces[0]
    persons = np.concatenate([piece.persons for piece in pieces])
    offsets = np.cumsum([0, *(len(piece.values) for piece in pieces[:-1])])
    codes = np.concatenate([piece.codes + offset for piece, offset in zip(pieces, offsets, strict=True)])
    order = np.argsort(persons, kind="stable")
    return Column(persons[order], codes[order], [value for piece in pieces for value in piece.values])


_EVENTS: Final = """
SELECT toUnixTimestamp64Milli(occurred_at) AS at_ms, name, end, source, event_id, value_fen, properties, context
FROM events WHERE {members} LIMIT {limit}
"""


async def of_one(reading: Reading, dimensions: Sequence[Dimension], spans: Sequence[Span]) -> dict[str, Raw]:
    """The figures of the person whose identifiers these are, before their decimals, by key.

    Hundreds of aggregates take the engine longer to understand than to compute, so a person's events are fetched and
    evaluated here, but for persons with very many. Raises QueryTooExpensive, EngineUnavailable."""
    members, own = members_sql(spans)
    table = await reading.fetch(_EVENTS.format(members=members, limit=EVENTS_FETCHED_MAX + 1), own)
    if table.num_rows <= EVENTS_FETCHED_MAX:
        return await asyncio.to_thread(_evaluated, reading, dimensions, table)
    read: dict[Aggregate, Numbers | Texts] = {}
    for part in _parts(aggregates_of(dimensions), reading):
        found = await reading.fetch(part.sql("", f" AND {members}"), {**part.params, **own})
        for n, aggregate in enumerate(part.aggregates):
            read[aggregate] = _read(aggregate, found[f"v{n}"].combine_chunks(), np.zeros(1, np.int64), 1)
    made = {one.key: column(one.expression, read.__getitem__, 1, reading.setting) for one in dimensions}
    return {key: _only(figure) for key, figure in made.items()}


def _evaluated(reading: Reading, dimensions: Sequence[Dimension], table: pa.Table) -> dict[str, Raw]:
    events = table.to_pylist()
    for event in events:
        event["properties"] = msgspec.json.decode(event["properties"])
        event["context"] = msgspec.json.decode(event["context"])
    return raws_of(dimensions, events, reading.setting, reading.words)


def _only(made: Numbers | Texts) -> Raw:
    if isinstance(made, Texts):
        return made.texts[int(made.codes[0]) - 1] if made.codes[0] else None
    return int(made.values[0]) if made.known[0] else None
