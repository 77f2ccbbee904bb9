"""Aggregates of many persons, each at instants of their own: one statement for all of them, whatever the instants.

What an aggregate reads of every event it counts is fetched once (`aggregate_sql.piece_sql`); the rest is arithmetic on
arrays. Agrees with `evaluate.aggregate_of`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from siyu.dimensions.aggregate_sql import piece_sql
from siyu.dimensions.dimension import HOUR, WEEKDAY, Aggregate
from siyu.dimensions.evaluate import Raw, days_figure
from siyu.dimensions.records import Reading
from siyu.identity.spans import BEGINNING_MS, END_MS, Span
from siyu.rules.clickhouse import Params
from siyu.rules.measure import names_of
from siyu.rules.metric_sql import MILLIS, Compiling, during_sql, named_sql
from siyu.rules.pieces import PERSONS_MAX, Ints, Look, Pieces, each_slice, figures_at, pieces_of, slices_of
from siyu.rules.window import Interval, interval_of

ROWS_MAX: Final = 2_000_000
"""Events fetched at once; with more, half of the persons are looked at first. One person's are taken together."""
_QUERY_BYTES_MAX: Final = 50_000_000

Figures: TypeAlias = Mapping[Aggregate, Raw]


async def aggregates_at(
    reading: Reading, aggregates: Sequence[Aggregate], spans: Mapping[int, Sequence[Span]], looks: Sequence[Look]
) -> list[Figures]:
    """Every aggregate at every look; `spans`: of each person looked at, by the number that looks say.

    `reading.setting` names the zone. Raises QueryTooExpensive, EngineUnavailable."""
    if not aggregates or not looks:
        return [{} for _ in looks]
    persons = sorted({look.person for look in looks})
    table = await _fetched(reading, aggregates, {one: spans[one] for one in persons}, looks)
    if len(persons) > 1 and (table.num_rows > ROWS_MAX or len(persons) > PERSONS_MAX):
        first = set(persons[: len(persons) // 2])
        found: dict[int, Figures] = {}
        for half in (True, False):
            places = [n for n, look in enumerate(looks) if (look.person in first) is half]
            read = await aggregates_at(reading, aggregates, spans, [looks[n] for n in places])
            found |= zip(places, read, strict=True)
        return [found[n] for n in range(len(looks))]
    return await asyncio.to_thread(_worked_out, aggregates, table, spans, looks)


async def _fetched(
    reading: Reading, aggregates: Sequence[Aggregate], spans: Mapping[int, Sequence[Span]], looks: Sequence[Look]
) -> pa.Table:
    """The events that some aggregate counts; of several persons not many more than ROWS_MAX."""
    compiling = Compiling(Params(), reading.setting, reading.words)
    columns = []
    for n, one in enumerate(aggregates):
        test, value = piece_sql(one, compiling)
        columns += [f"toUInt8({test}) AS t{n}", *([f"{value} AS v{n}"] if value else [])]
    windows = {one.base.window for one in aggregates}
    intervals = [interval_of(window, look.setting) for window in windows for look in looks]
    during = Interval(min(one.start for one in intervals), max(one.end for one in intervals))
    anchors = sorted({str(span.anchor) for some in spans.values() for span in some})  # numbers of ours
    where = [during_sql(during, compiling.params), f"anchor IN ({', '.join(anchors)})"]
    names = [names_of(one.base, reading.words) for one in aggregates]
    if all(names):
        where.append(named_sql(sorted({name for some in names for name in some}), compiling))
    sql = f"SELECT anchor, {MILLIS} AS at_ms, {', '.join(columns)} FROM events WHERE {' AND '.join(where)}"
    sql += f" LIMIT {ROWS_MAX + 1}" if len(spans) > 1 else ""
    return await reading.fetch(sql, compiling.params.values, {"max_query_size": _QUERY_BYTES_MAX})


def _worked_out(
    aggregates: Sequence[Aggregate], table: pa.Table, spans: Mapping[int, Sequence[Span]], looks: Sequence[Look]
) -> list[Figures]:
    places = {person: place for place, person in enumerate(sorted({look.person for look in looks}))}
    placed = [Look(places[look.person], look.setting) for look in looks]
    at_ms = table["at_ms"].to_numpy().astype(np.int64)
    owners = _owners(table["anchor"].to_numpy().astype(np.int64), at_ms, {places[p]: spans[p] for p in places})
    columns = []
    for n, one in enumerate(aggregates):
        counted = (table[f"t{n}"].to_numpy() > 0) & (owners >= 0)
        read = table[f"v{n}"].combine_chunks() if f"v{n}" in table.column_names else None
        pieces = pieces_of(owners[counted], at_ms[counted], None if read is None else read.filter(pa.array(counted)))
        columns.append(_figures(one, pieces, placed))
    return [dict(zip(aggregates, row, strict=True)) for row in zip(*columns, strict=True)]


def _owners(anchors: Ints, at_ms: Ints, spans: Mapping[int, Sequence[Span]]) -> Ints:
    """Whose each event is; -1: nobody's of those who are looked at."""
    known = sorted((span.anchor, place) for place, some in spans.items() for span in some if _whole(span))
    owners = np.full(len(anchors), -1, np.int64)
    if known:
        whole, place = (np.array(column, np.int64) for column in zip(*known, strict=True))
        found = np.minimum(np.searchsorted(whole, anchors), len(whole) - 1)
        owners = np.where(whole[found] == anchors, place[found], -1)
    for place_of, some in spans.items():
        for span in some:
            if not _whole(span):
                owners[(anchors == span.anchor) & (at_ms >= span.since_ms) & (at_ms < span.until_ms)] = place_of
    return owners


def _whole(span: Span) -> bool:
    return span.since_ms <= BEGINNING_MS and span.until_ms >= END_MS


def _figures(aggregate: Aggregate, pieces: Pieces, looks: Sequence[Look]) -> Sequence[Raw]:
    if aggregate.kind == "metric":
        return figures_at(aggregate.base, pieces, looks)
    values, texts = pieces.values, pieces.texts

    def shown(value: Any) -> Raw:
        return texts[int(value)] if aggregate.fields[0] not in (HOUR, WEEKDAY) else int(value)

    def figure(low: int, high: int) -> Raw:
        mine = values[low:high]
        if aggregate.kind == "said":
            return high - low
        if aggregate.kind == "sum":
            return int(mine.sum())
        if aggregate.kind == "different":
            return len(np.unique(mine))
        if aggregate.kind not in ("largest", "smallest", "commonest", "earliest", "latest"):
            return days_figure(aggregate.kind, np.unique(mine).tolist())
        if low == high:
            return None
        if aggregate.kind in ("largest", "smallest"):
            return int(mine.max() if aggregate.kind == "largest" else mine.min())
        if aggregate.kind == "commonest":
            different, often = np.unique(mine, return_counts=True)
            return shown(different[np.argmax(often)])
        return shown(mine[0] if aggregate.kind == "earliest" else mine[-1])

    return each_slice(slices_of(pieces, aggregate.base.window, looks), figure)
