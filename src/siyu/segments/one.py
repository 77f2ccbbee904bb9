"""What rules read of one person at once: attributes from PostgreSQL, metrics and dimensions from the events. A rule
without metrics and dimensions does not ask the events.

Who a person is comes from PostgreSQL alone, so what was just merged counts. `population` reads the same of many.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from siyu.dimensions.catalogue import DIMENSIONS
from siyu.dimensions.evaluate import shown
from siyu.dimensions.records import Reading, of_one
from siyu.identity.members import Named
from siyu.identity.spans import Span
from siyu.profile import attributes
from siyu.profile.attributes import Column
from siyu.profile.event_records import members_sql
from siyu.profile.tiers import tiers_at
from siyu.rules.clickhouse import Params
from siyu.rules.judge import Facts, compile_rule
from siyu.rules.metric_sql import Compiling, figure_sql, prefilter_sql
from siyu.rules.parse import SEGMENTS
from siyu.rules.rule import Metric, Rule, attributes_of, metrics_of
from siyu.rules.vocabulary import Vocabulary
from siyu.rules.window import Setting
from siyu.segments import records
from siyu.segments.segment import LISTED
from siyu.segments.words import GROWTH, TIER
from siyu.store.clickhouse import EventStore

SECONDS_MAX = 30
"""What a statement about one person's events may take."""


class Asking(NamedTuple):
    """Where the facts are, and when they are looked at."""

    connection: Any
    """Raw asyncpg: what its transaction wrote counts."""
    events: EventStore
    words: Vocabulary
    setting: Setting
    counted: Setting | None = None
    """When the events are counted, where that is another instant."""


async def holding(
    asking: Asking, named: Named, rules: Mapping[str, Rule], known: Mapping[str, Any] | None = None
) -> set[str]:
    """Of these rules those that hold of the person. `known`: attributes that the caller knows.

    Raises EngineUnavailable, QueryTooExpensive."""
    if not rules:
        return set()
    wanted = {name for rule in rules.values() for name in attributes_of(rule)}
    metrics = sorted({metric for rule in rules.values() for metric in metrics_of(rule)}, key=repr)
    spans = [Span(named.person, one.anchor, one.since_ms, one.until_ms) for one in named.members]
    found = dict(known or {})
    found |= await _attributes(asking, named, wanted - found.keys())
    found |= await _dimensions(asking, spans, wanted - found.keys())
    facts = Facts(found, (), await _figures(asking, spans, metrics) if metrics else {})
    return {key for key, rule in rules.items() if compile_rule(rule, asking.words)(facts, asking.setting)}


async def _attributes(asking: Asking, named: Named, names: Collection[str]) -> dict[str, Any]:
    connection, person = asking.connection, named.person
    anchors = sorted({member.anchor for member in named.members})
    found: dict[str, Any] = {}
    if SEGMENTS in names:
        kept = await records.kept(connection, [person])
        found[SEGMENTS] = sorted(key for keys, _ in kept for key in keys)
    if LISTED in names:
        found[LISTED] = sorted({key for key, owner in await records.listed(connection, anchors) if owner == person})
    if TIER in names:
        (found[TIER],) = await tiers_at(connection, [(person, asking.setting.now)])
    if GROWTH in names:
        found[GROWTH] = (await records.growth(connection, anchors)).get(person, 0)
    if rest := {name for name in names if name not in found and DIMENSIONS.named(name) is None}:
        columns = await attributes.columns(connection, rest, asking.setting, anchors)
        of_person = {name: _value_of(column, person) for name, column in columns.items()}
        found |= {name: value for name, value in of_person.items() if value is not None}
    return found


def _value_of(column: Column, person: int) -> Any:
    """An attribute of one person; None for who has none."""
    places = np.flatnonzero(column.persons == person)
    return column.values[int(column.codes[places[0]])] if len(places) else None


async def _dimensions(asking: Asking, spans: Sequence[Span], names: Collection[str]) -> dict[str, Any]:
    entries = {name: entry for name in names if (entry := DIMENSIONS.named(name)) is not None}
    if not entries:
        return {}
    reading = Reading(asking.events, asking.words, asking.counted or asking.setting, SECONDS_MAX)
    raws = await of_one(reading, list(entries.values()), spans)
    return {name: shown(raws[entry.key], entry.decimals) for name, entry in entries.items()}


async def _figures(asking: Asking, spans: Sequence[Span], metrics: Sequence[Metric]) -> dict[Metric, int | None]:
    """The metrics of the person: one statement."""
    compiling = Compiling(Params(), asking.counted or asking.setting, asking.words)
    columns = ", ".join(figure_sql(metric, compiling) for metric in metrics)
    members, own = members_sql(spans)
    sql = f"SELECT {columns} FROM events WHERE {prefilter_sql(metrics, compiling)} AND {members}"
    ((*figures,),) = await asking.events.rows(sql, {**compiling.params.values, **own})
    return {metric: None if value is None else int(value) for metric, value in zip(metrics, figures, strict=True)}
