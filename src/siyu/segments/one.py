"""What rules read of persons, each at an instant of their own: attributes from PostgreSQL, metrics and dimensions from
the events. Rules without metrics and dimensions do not ask the events.

A few statements for all of them, however many persons, instants and rules; one person is a batch of one. Who a person
is comes from PostgreSQL alone, so what was just merged counts. `population` reads the same of everybody at one instant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from siyu.calendar.actions import days_known
from siyu.calendar.day import asked_of
from siyu.dimensions.catalogue import DIMENSIONS
from siyu.dimensions.dimension import Aggregate
from siyu.dimensions.evaluate import Raw, raw_of, shown
from siyu.dimensions.instants import aggregates_at
from siyu.dimensions.records import Reading, aggregates_of
from siyu.identity.members import Named
from siyu.identity.spans import Span
from siyu.profile.attributes_at import attributes_at
from siyu.profile.checkins import CYCLE_DAY, Asked, cycle_days_at
from siyu.profile.tiers import tiers_at
from siyu.rules.judge import Facts, compile_rule
from siyu.rules.moments import CALENDAR
from siyu.rules.parse import SEGMENTS
from siyu.rules.pieces import Look
from siyu.rules.rule import Metric, Rule, attributes_of, metrics_of
from siyu.rules.vocabulary import Vocabulary
from siyu.rules.window import Setting
from siyu.segments import records
from siyu.segments.segment import LISTED
from siyu.segments.words import GROWTH, TIER
from siyu.store.clickhouse import EventStore

SECONDS_MAX = 30
"""What a statement about events may take."""


_OF_LOOKS: Final = CALENDAR | {TIER, CYCLE_DAY}
"""Attributes that each look has of its own, read here and not with the profile."""


class Asking(NamedTuple):
    """Where the facts are, and where days begin."""

    connection: Any
    """Raw asyncpg: what its transaction wrote counts."""
    events: EventStore
    words: Vocabulary
    zone: ZoneInfo
    lag: timedelta = timedelta()
    """So long before the instant of a question the last events lie that count."""


class Question(NamedTuple):
    """Which of these rules hold of a person at an instant?"""

    named: Named
    at: datetime
    rules: Mapping[str, Rule]
    known: Mapping[str, Any] = {}
    """Attributes that the asker knows."""


async def holding(asking: Asking, questions: Sequence[Question]) -> list[set[str]]:
    """Of the rules of each question those that hold. Raises EngineUnavailable, QueryTooExpensive."""
    facts = await facts_of(asking, questions)
    judges = {id(rule): compile_rule(rule, asking.words) for one in questions for rule in one.rules.values()}
    return [
        {key for key, rule in one.rules.items() if judges[id(rule)](mine, Setting(one.at, asking.zone))}
        for one, mine in zip(questions, facts, strict=True)
    ]


async def facts_of(asking: Asking, questions: Sequence[Question]) -> list[Facts]:
    """What the rules of all questions read, for each. Raises EngineUnavailable, QueryTooExpensive."""
    rules = {id(rule): rule for one in questions for rule in one.rules.values()}.values()
    names = {name for rule in rules for name in attributes_of(rule)}
    names = {name for name in names if not all(name in one.known for one in questions)}
    metrics = sorted({metric for rule in rules for metric in metrics_of(rule)}, key=repr)
    computed = {name for name in names if DIMENSIONS.named(name) is not None}
    attributes = await _attributes(asking, questions, names - computed) if names - computed else [{} for _ in questions]
    counted = await _counted(asking, questions, metrics, computed)
    return [
        Facts({**mine, **dimensions, **one.known}, (), figures)
        for one, mine, (dimensions, figures) in zip(questions, attributes, counted, strict=True)
    ]


async def _attributes(asking: Asking, questions: Sequence[Question], names: Set[str]) -> list[dict[str, Any]]:
    connection = asking.connection
    persons = sorted({one.named.person for one in questions})
    anchors = sorted({member.anchor for one in questions for member in one.named.members})
    of_persons: dict[str, dict[int, Any]] = {}
    if SEGMENTS in names:
        kept = await records.kept(connection, persons)
        of_persons[SEGMENTS] = {person: sorted(keys) for keys, members in kept for person in members}
    if LISTED in names:
        of_persons[LISTED] = {}
        for key, person in sorted(set(await records.listed(connection, anchors))):
            of_persons[LISTED].setdefault(person, []).append(key)
    if GROWTH in names:
        of_persons[GROWTH] = await records.growth(connection, anchors)
    rest = {name for name in names if name not in of_persons and name not in _OF_LOOKS}
    looks = [(one.named.person, Setting(one.at, asking.zone)) for one in questions]
    found = await attributes_at(connection, rest, looks, anchors)
    tiers = await tiers_at(connection, [(one.named.person, one.at) for one in questions]) if TIER in names else None
    days = await days_known(connection) if CALENDAR & names else None
    asked = [Asked(one.named, one.at) for one in questions]
    cycle = await cycle_days_at(connection, asked, asking.zone) if CYCLE_DAY in names else None
    for place, (mine, one) in enumerate(zip(found, questions, strict=True)):
        mine |= {name: values[one.named.person] for name, values in of_persons.items() if one.named.person in values}
        if tiers is not None:
            mine[TIER] = tiers[place]
        if cycle is not None:
            mine[CYCLE_DAY] = cycle[place]
        if days is not None:
            mine.update(asked_of(days, looks[place][1].today))
    return found


async def _counted(
    asking: Asking, questions: Sequence[Question], metrics: Sequence[Metric], names: Collection[str]
) -> list[tuple[dict[str, Any], dict[Metric, int | None]]]:
    """Dimensions and metrics."""
    entries = {name: entry for name in sorted(names) if (entry := DIMENSIONS.named(name)) is not None}
    wanted = list(dict.fromkeys([*(Aggregate("metric", one) for one in metrics), *aggregates_of(entries.values())]))
    looks = [Look(one.named.person, Setting(one.at - asking.lag, asking.zone)) for one in questions]
    spans = {
        one.named.person: [Span(one.named.person, m.anchor, m.since_ms, m.until_ms) for m in one.named.members]
        for one in questions
    }
    if not wanted or not looks:
        return [({}, {}) for _ in questions]
    reading = Reading(asking.events, asking.words, looks[0].setting, SECONDS_MAX)
    found = []
    for look, figures in zip(looks, await aggregates_at(reading, wanted, spans, looks), strict=True):
        raws: dict[str, Raw] = {
            name: raw_of(entry.expression, figures.__getitem__, look.setting) for name, entry in entries.items()
        }
        counts = {metric: figures[Aggregate("metric", metric)] for metric in metrics}
        dimensions = {name: shown(raw, entries[name].decimals) for name, raw in raws.items()}
        found.append((dimensions, {metric: count for metric, count in counts.items() if not isinstance(count, str)}))
    return found
