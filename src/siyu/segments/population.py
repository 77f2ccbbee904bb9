"""What is known of all persons, or of some, as columns: metrics from the events, attributes from the profile.

One statement per few metrics and one per log of the profile, whatever the number of rules and persons.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siyu.calendar.actions import days_known
from siyu.calendar.day import asked_of
from siyu.dimensions import records as dimensions
from siyu.dimensions.catalogue import DIMENSIONS, Catalogue
from siyu.errors import EngineUnavailable
from siyu.identity.mirror import person_sql
from siyu.identity.spans import Touched
from siyu.profile import attributes
from siyu.profile.attributes import Column, column_of
from siyu.profile.checkins import CYCLE_DAY, cycle_days
from siyu.profile.tiers import tiers_of
from siyu.rules.clickhouse import Params
from siyu.rules.masks import Coded, Columns, Figures, Mask, mask_of
from siyu.rules.metric_sql import Compiling, figure_sql, prefilter_sql
from siyu.rules.moments import CALENDAR
from siyu.rules.parse import SEGMENTS
from siyu.rules.rule import Metric, Rule, attributes_of, metrics_of
from siyu.rules.vocabulary import Vocabulary
from siyu.rules.window import BEGINNING_MS, Setting
from siyu.segments import records
from siyu.segments.segment import LISTED
from siyu.segments.words import GROWTH, TIER
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, is_loss

METRICS_PER_STATEMENT: Final = 12
PERSONS_PER_STATEMENT: Final = 1_000_000
"""Beyond it persons are taken in several passes: the engine's memory stays bounded."""
_STORED: Final = "SELECT (SELECT count() > 0 FROM person_spans), max(anchor) FROM events"

Persons: TypeAlias = npt.NDArray[np.int64]


class Same(NamedTuple):
    """An attribute that is the same for everybody."""

    value: Any


class Population(NamedTuple):
    """Persons (ascending numbers) and what rules read of them."""

    persons: Persons
    columns: Columns
    failed: Mapping[Metric | str, Exception] = {}
    """Metrics and attributes that could not be read: they are missing in `columns`."""

    def problem_of(self, rule: Rule) -> Exception | None:
        """Why nothing can be said of a rule; None: it can."""
        wanted: set[Metric | str] = {*metrics_of(rule), *attributes_of(rule)}
        return next((self.failed[one] for one in sorted(wanted & self.failed.keys(), key=repr)), None)


class Source(NamedTuple):
    """Where the events and the profiles are."""

    db: Database
    events: EventStore
    words: Vocabulary
    seconds_max: int = 300
    """What one statement may take."""
    dimensions: Catalogue = DIMENSIONS

    async def fetch(self, sql: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        """The rows of a statement over the events. Raises QueryTooExpensive, EngineUnavailable."""
        settings = {"output_format_arrow_compression_method": "none", "max_execution_time": self.seconds_max}
        return await self.events.arrow(sql, params, settings=settings)


async def survey(
    source: Source,
    rules: Collection[Rule],
    setting: Setting,
    some: Touched | None = None,
    starts: Mapping[int, int] | None = None,
) -> Population:
    """Everything `rules` read of all persons with an event, or of those of `some` who have one. What cannot be read is
    missing (`Population.failed`). `starts`: from when on (epoch milliseconds) the window `campaign` counts for a
    person; who is missing has it from the beginning on.

    Raises EngineUnavailable, and QueryTooExpensive where not even the persons can be listed."""
    metrics = sorted({metric for rule in rules for metric in metrics_of(rule)}, key=repr)
    names = {name for rule in rules for name in attributes_of(rule)}
    reading = asyncio.ensure_future(_read_attributes(source, names, setting, some))
    try:
        persons, figures, lost = await _read_figures(source, metrics, setting, some, starts)
        columns, missing = await reading
    finally:
        reading.cancel()
    coded = await asyncio.to_thread(_coded, source.words, persons, columns)
    failed: dict[Metric | str, Exception] = {}
    failed.update(lost.items())
    failed.update(missing)
    return Population(persons, Columns(len(persons), figures, coded), failed)


Key = TypeVar("Key")
Read = TypeVar("Read")


async def _apart(
    keys: Sequence[Key], read: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Read]]]
) -> tuple[dict[Key, Read], dict[Key, Exception]]:
    """All at once; where that fails one by one, so that only what cannot be read is missing: what there is, and why
    not. Raises what says that an engine is away."""
    if not keys:
        return {}, {}
    try:
        return dict(await read(keys)), {}
    except Exception as error:
        if isinstance(error, EngineUnavailable) or is_loss(error):
            raise
        if len(keys) == 1:
            return {}, {keys[0]: error}
    found: dict[Key, Read] = {}
    failed: dict[Key, Exception] = {}
    for key in keys:
        there, missing = await _apart([key], read)
        found |= there
        failed |= missing
    return found, failed


async def _read_figures(
    source: Source,
    metrics: Sequence[Metric],
    setting: Setting,
    some: Touched | None,
    starts: Mapping[int, int] | None,
) -> tuple[Persons, dict[Metric, Figures], dict[Metric, Exception]]:
    """Everybody, the metrics of each, and the metrics that cannot be read."""
    ((spans, anchors),) = await source.events.rows(_STORED)
    person = f"toUInt32({person_sql(bool(spans))}) AS p"
    shards = 1 + anchors // PERSONS_PER_STATEMENT if some is None else 1
    persons = await _everybody(source, person, some)

    async def read(part: Sequence[Metric]) -> dict[Metric, Figures]:
        params = Params()
        compiling = Compiling(params, setting, source.words, None if starts is None else _starts_sql(starts, params))
        columns = ", ".join(f"{figure_sql(metric, compiling)} AS v{n}" for n, metric in enumerate(part))
        where = f"{prefilter_sql(part, compiling)}{_of_them(some)}"
        tables = []
        for rest in range(shards):
            shard = f" AND p % {shards} = {rest}" if shards > 1 else ""
            sql = f"SELECT {person}, {columns} FROM events WHERE {where}{shard} GROUP BY p"
            tables.append(await source.fetch(sql, compiling.params.values))
        return await asyncio.to_thread(_figures, part, persons, pa.concat_tables(tables))

    figures: dict[Metric, Figures] = {}
    failed: dict[Metric, Exception] = {}
    for start in range(0, len(metrics), METRICS_PER_STATEMENT):
        found, lost = await _apart(metrics[start : start + METRICS_PER_STATEMENT], read)
        figures |= found
        failed |= lost
    return persons, figures, failed


async def who(source: Source, rules: Mapping[str, Rule], setting: Setting) -> tuple[int, dict[str, Persons]]:
    """How many persons there are, and of whom each rule holds. Raises QueryTooExpensive, EngineUnavailable."""
    population = await survey(source, list(rules.values()), setting)
    for error in population.failed.values():
        raise error

    def found() -> dict[str, Persons]:
        return {
            key: population.persons[mask_of(rule, population.columns, setting, source.words)]
            for key, rule in rules.items()
        }

    return len(population.persons), await asyncio.to_thread(found)


def _starts_sql(starts: Mapping[int, int], params: Params) -> str:
    """From when on a person's own window counts, by the column `p`."""
    if not starts:
        return "0"
    persons = params.add(list(starts), "Array(UInt32)")
    return f"transform(p, {persons}, {params.add(list(starts.values()), 'Array(Int64)')}, toInt64({BEGINNING_MS}))"


async def _everybody(source: Source, person: str, some: Touched | None) -> Persons:
    table = await source.fetch(f"SELECT DISTINCT {person} FROM events WHERE 1{_of_them(some)}")
    persons: Persons = np.sort(table["p"].to_numpy().astype(np.int64))
    if some is not None:
        persons = np.intersect1d(persons, np.array(some.persons, np.int64), assume_unique=True)
    return persons


def _of_them(some: Touched | None) -> str:
    """Only events of these identifiers: numbers of ours, so they may stand in the statement."""
    if some is None:
        return ""
    return f" AND anchor IN ({', '.join(str(int(anchor)) for anchor in some.anchors)})"


def _places(persons: Persons, found: Persons) -> tuple[npt.NDArray[np.int64], Mask]:
    """Where each of `found` stands in `persons`, and whether it does."""
    places = np.searchsorted(persons, found)
    places[places == len(persons)] = 0
    there: Mask = persons[places] == found if len(persons) else np.zeros(len(found), np.bool_)
    return places, there


def _figures(metrics: Sequence[Metric], persons: Persons, table: pa.Table) -> dict[Metric, Figures]:
    places, there = _places(persons, table["p"].to_numpy().astype(np.int64))
    found = {}
    for n, metric in enumerate(metrics):
        column = table[f"v{n}"].combine_chunks()
        values = np.zeros(len(persons), np.int64)
        known = np.full(len(persons), not metric.is_time)
        values[places[there]] = column.fill_null(0).to_numpy(zero_copy_only=False)[there]
        if metric.is_time:
            known[places[there]] = column.is_valid().to_numpy(zero_copy_only=False)[there]
        found[metric] = Figures(values, known)
    return found


async def _read_attributes(
    source: Source, names: Iterable[str], setting: Setting, some: Touched | None
) -> tuple[dict[str, Column | Same], dict[str, Exception]]:
    """Each attribute of whoever has it, and those that cannot be read."""
    anchors = None if some is None else some.anchors
    wanted = sorted(names)
    computed = [name for name in wanted if source.dimensions.named(name)]
    async with source.db.driver() as connection:

        async def read(part: Sequence[str]) -> dict[str, Column | Same]:
            columns: dict[str, Column | Same] = {**await attributes.columns(connection, part, setting, anchors)}
            if shared := CALENDAR & columns.keys():
                said = asked_of(await days_known(connection), setting.today)
                columns |= {name: Same(said.get(name)) for name in shared}
            persons = None if some is None else some.persons
            if CYCLE_DAY in columns:
                cycle = await cycle_days(connection, setting)
                columns[CYCLE_DAY] = column_of(cycle) if isinstance(cycle, dict) else Same(cycle)
            if LISTED in columns:
                columns[LISTED] = column_of(_lists(await records.listed(connection, anchors)))
            if GROWTH in columns:
                columns[GROWTH] = column_of(await records.growth(connection, anchors))
            if TIER in columns:
                columns[TIER] = column_of(await tiers_of(connection, persons))
            if SEGMENTS in columns:
                kept = await records.kept(connection, persons)
                columns[SEGMENTS] = column_of({person: sorted(keys) for keys, members in kept for person in members})
            return columns

        found, failed = await _apart([name for name in wanted if name not in computed], read)
    reading = dimensions.Reading(source.events, source.words, setting, source.seconds_max)

    async def compute(part: Sequence[str]) -> dict[str, Column | Same]:
        entries = [entry for name in part if (entry := source.dimensions.named(name)) is not None]
        return dict(zip(part, await dimensions.columns(reading, entries, anchors), strict=True))

    there, missing = await _apart(computed, compute)
    return found | there, failed | missing


def _coded(words: Vocabulary, persons: Persons, columns: Mapping[str, Column | Same]) -> dict[str, Coded]:
    found = {}
    for name, column in columns.items():
        kind = words.kind_of(name)
        if isinstance(column, Same):
            found[name] = Coded(np.zeros(len(persons), np.int32), [column.value])
        else:
            found[name] = coded(persons, column, None if kind is None else kind.default)
    return found


def _lists(rows: Iterable[tuple[str, int]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for key, person in rows:
        found.setdefault(person, []).append(key)
    return found


def coded(persons: Persons, column: Column, default: float | str | None = None) -> Coded:
    """A column in the order of `persons`; `default` for who has none."""
    places, there = _places(persons, column.persons)
    everybody = np.zeros(len(persons), np.int32)
    everybody[places[there]] = column.codes[there] + 1
    return Coded(everybody, [default, *column.values])
