"""What compiling a question needs beside the question, and the SQL pieces every kind uses.

A statement always reads `events` once, filtered by time and name, and calls the person `p`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from siyu.analytics.question import Breakdown, Interval, Matcher, Step, condition_of
from siyu.collect.catalogue import CATALOGUE, canonical, spellings
from siyu.rules import Params, condition_sql, field_text_sql
from siyu.rules.condition import parse_field

MILLIS: Final = "toUnixTimestamp64Milli(occurred_at)"
NOT_BEHAVIOUR: Final = sorted({name for e in CATALOGUE if not e.behaviour for name in (e.name, *e.aliases)})
"""Names of messages between an SDK and its server: nothing a person did."""


class Query(NamedTuple):
    """One statement with its server-side parameters."""

    sql: str
    params: Mapping[str, Any]


class Shard(NamedTuple):
    """What one statement fetches: of the persons whose number leaves `rest` divided by `of` the events of identifiers
    from `low` on, before `high`."""

    rest: int = 0
    of: int = 1
    low: int = 0
    high: int | None = None

    def slices(self, anchors: int, count: int) -> list[Shard]:
        """The same in `count` statements; `anchors` is the highest identifier known."""
        edges = [anchors * i // count for i in range(count)]
        return [self._replace(low=low, high=high) for low, high in zip(edges, [*edges[1:], None], strict=True)]


class Stored(NamedTuple):
    """What there is: events, the time of the first in epoch milliseconds, the highest numbers of identifiers and of
    persons, and, for the kinds that ask for them, the names of events in their order."""

    events: int = 0
    first_ms: int = 0
    anchors: int = 0
    persons: int = 0
    names: tuple[str, ...] = ()


class Scope(NamedTuple):
    """Where and when a question is asked."""

    zone: ZoneInfo
    now: datetime
    person: str
    """SQL of an event's person number."""
    traits: Mapping[str, str]
    """Person property → the Join table (person → value) that was filled for this question."""
    stored: Stored = Stored()

    def history(self, end: int) -> Interval:
        """All time before `end`. It begins with the first event, since a zone's clock changes of all years before
        would make every row dearer."""
        return Interval(min(self.stored.first_ms, end), end)


def stored_names(event: str) -> tuple[str, ...]:
    """The names an event is stored under: a catalogue name stands for all its spellings, any other for itself."""
    return spellings(event) if canonical(event) == event else (event,)


def matcher(step: Step, path: str) -> Matcher:
    """A step parsed. Raises InvalidQuestion."""
    names = () if step.event is None else stored_names(step.event)
    return Matcher(names, condition_of(step.where, f"{path}.where"))


def names_sql(names: Sequence[str], params: Params) -> str:
    """Whether an event has one of `names`; any behaviour when there are none."""
    if not names:
        return f"name NOT IN {params.add(NOT_BEHAVIOUR, 'Array(String)')}"
    if len(names) == 1:
        return f"name = {params.add(names[0])}"
    return f"name IN ({', '.join(params.add(name) for name in names)})"


def matcher_sql(item: Matcher, params: Params) -> str:
    """Whether an event matches."""
    named = names_sql(item.names, params)
    return named if item.where is None else f"({named} AND {condition_sql(item.where, params)})"


def any_of_sql(items: Sequence[Matcher], params: Params) -> str:
    """Whether an event matches at least one; names first, so that rows of other names are skipped early."""
    if any(not item.names for item in items):
        return " OR ".join(matcher_sql(item, params) for item in items)
    every = list(dict.fromkeys(name for item in items for name in item.names))
    named = names_sql(every, params)
    if all(item.where is None for item in items):
        return named
    return f"{named} AND ({' OR '.join(matcher_sql(item, params) for item in items)})"


def during_sql(span: Interval, params: Params) -> str:
    """occurred_at within [start, end)."""
    start, end = params.add(span.start, "Int64"), params.add(span.end, "Int64")
    bounds = [f"fromUnixTimestamp64Milli({ms}, 'UTC')" for ms in (start, end)]
    return f"occurred_at >= {bounds[0]} AND occurred_at < {bounds[1]}"


def shard_sql(shard: Shard, person: str = "p") -> str:
    """The condition of a shard, to be appended; empty for all events. `person`: the SQL of a person's number."""
    below = "" if shard.high is None else f" AND anchor < {int(shard.high)}"
    above = "" if shard.low == 0 else f" AND anchor >= {int(shard.low)}"
    return above + below + ("" if shard.of == 1 else f" AND {person} % {int(shard.of)} = {int(shard.rest)}")


def person_column(scope: Scope) -> str:
    """`p`, the person number."""
    return f"toUInt32({scope.person}) AS p"


def group_sql(breakdown: Breakdown, scope: Scope, params: Params) -> str:
    """The text of the breakdown's value, '' when it is missing."""
    if breakdown.event_prop is not None:
        return field_text_sql(parse_field(breakdown.event_prop), params)
    table = scope.traits[str(breakdown.person_prop)]
    return f"joinGet('{table}', 'value', {scope.person})"
