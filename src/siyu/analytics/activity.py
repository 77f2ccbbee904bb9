"""Lifecycle (生命周期) and stickiness (黏性): in which periods persons were active.

Lifecycle, per period: *new* did it for the first time ever; *returning* also in the period before; *resurrecting*
before that, not in the period before; *dormant* in the period before, not in this one.
Stickiness: how many persons were active in exactly k of the periods.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from siyu.analytics.calendar import Calendar, Unit, WeekStart, covering, index_sql, move, periods
from siyu.analytics.columns import Ints, ints
from siyu.analytics.presence import Matrix, Presence, blocks, numbered
from siyu.analytics.question import EventName, Interval, Question, Shape, Span, Step, Where, refuse, span_of
from siyu.analytics.scope import (
    MILLIS,
    Query,
    Scope,
    Shard,
    during_sql,
    matcher,
    matcher_sql,
    person_column,
    shard_sql,
)
from siyu.rules import Params

STATES = ("new", "returning", "resurrecting", "dormant")


class LifecycleCell(Shape, frozen=True, kw_only=True):
    """The persons in a state in an interval."""

    interval: Annotated[int, msgspec.Meta(ge=0)]
    state: Literal["new", "returning", "resurrecting", "dormant"]


class Lifecycle(Question, frozen=True, kw_only=True, tag="lifecycle", tag_field="kind"):
    """See docs/questions.md, lifecycle."""

    event: EventName | None = None
    where: Where | None = None
    interval: Literal["day", "week", "month"] = "week"
    week_start: WeekStart = "monday"
    range: Span | None = None
    cell: LifecycleCell | None = None


class LifecycleCounts(msgspec.Struct):
    """Persons per interval in each state."""

    labels: list[str]
    new: list[int]
    returning: list[int]
    resurrecting: list[int]
    dormant: list[int]


class StickinessCell(Shape, frozen=True, kw_only=True):
    """The persons active in exactly (`at_least`: at least) so many intervals."""

    intervals: Annotated[int, msgspec.Meta(ge=1)]
    at_least: bool = False


class Stickiness(Question, frozen=True, kw_only=True, tag="stickiness", tag_field="kind"):
    """See docs/questions.md, stickiness."""

    event: EventName | None = None
    where: Where | None = None
    interval: Unit = "day"
    week_start: WeekStart = "monday"
    range: Span | None = None
    cell: StickinessCell | None = None


class StickinessCounts(msgspec.Struct):
    """`exactly[k-1]`: persons active in exactly k intervals; `at_least[k-1]`: in k or more."""

    labels: list[str]
    exactly: list[int]
    at_least: list[int]


class Active(NamedTuple):
    """The persons of a shard and their periods."""

    person: Ints
    presence: Presence


def _span(question: Lifecycle | Stickiness, scope: Scope) -> Interval:
    return span_of(question.range, scope.zone, scope.now)


def _calendar(question: Lifecycle | Stickiness, scope: Scope) -> Calendar:
    return covering(scope.zone, question.interval, _span(question, scope), question.week_start)


def _with_period_before(calendar: Calendar) -> Calendar:
    first = move(date.fromisoformat(calendar.labels[0]), calendar.unit, -1)
    return periods(calendar.zone, calendar.unit, first, calendar.intervals + 1)


def check_lifecycle(question: Lifecycle) -> None:
    """Nothing beyond the shape."""


def check_stickiness(question: Stickiness) -> None:
    """Nothing beyond the shape."""


def plan_lifecycle(question: Lifecycle, scope: Scope, shard: Shard) -> Query:
    """Rows (p, i): 0 for all history, 1 for the period before the first asked for, 2 … for those asked for."""
    calendar, params = _with_period_before(_calendar(question, scope)), Params()
    matches = matcher_sql(matcher(Step(event=question.event, where=question.where), "event"), params)
    start = params.add(calendar.span.start, "Int64")
    index = f"toUInt16(if({MILLIS} < {start}, 0, {index_sql(calendar, params)} + 1)) AS i"
    history = during_sql(scope.history(calendar.span.end), params)
    where = f"{history} AND ({matches}){shard_sql(shard)}"
    return Query(f"SELECT {person_column(scope)}, {index} FROM events WHERE {where}", params.values)


def plan_stickiness(question: Stickiness, scope: Scope, shard: Shard) -> Query:
    """Rows (p, i)."""
    calendar, params = _calendar(question, scope), Params()
    matches = matcher_sql(matcher(Step(event=question.event, where=question.where), "event"), params)
    index = f"toUInt16({index_sql(calendar, params)}) AS i"
    where = f"{during_sql(_span(question, scope), params)} AND ({matches}){shard_sql(shard)}"
    return Query(f"SELECT {person_column(scope)}, {index} FROM events WHERE {where}", params.values)


def _reduce(table: pa.Table, count: int) -> Active:
    person, unit = numbered(ints(table, "p"))
    return Active(person, Presence(unit, ints(table, "i"), len(person), count).distinct())


def reduce_lifecycle(question: Lifecycle, scope: Scope, table: pa.Table) -> Active:
    """One shard's rows."""
    return _reduce(table, _calendar(question, scope).intervals + 2)


def reduce_stickiness(question: Stickiness, scope: Scope, table: pa.Table) -> Active:
    """One shard's rows."""
    return _reduce(table, _calendar(question, scope).intervals)


def _states(there: Matrix) -> dict[str, Matrix]:
    """Per state, who is in it in each period asked for."""
    now, before = there[:, 2:], there[:, 1:-1]
    ever_before = np.logical_or.accumulate(there, axis=1)[:, :-2]
    return {
        "new": now & ~before & ~ever_before,
        "returning": now & before,
        "resurrecting": now & ~before & ever_before,
        "dormant": ~now & before,
    }


class LifecycleOutcome(NamedTuple):
    """All shards together."""

    calendar: Calendar
    parts: list[Active]

    def persons(self, cell: LifecycleCell) -> Ints:
        """The persons behind a number."""
        if cell.interval >= self.calendar.intervals:
            raise refuse("There is no such interval.", "cell.interval")
        found = [np.zeros(0, np.int64)]
        for part in self.parts:
            for low, high in blocks(len(part.person), part.presence.periods):
                inside = _states(part.presence.block(low, high))[cell.state][:, cell.interval]
                found.append(part.person[low:high][inside])
        return np.concatenate(found)

    def answer(self) -> LifecycleCounts:
        """Persons per interval and state."""
        totals = {state: np.zeros(self.calendar.intervals, np.int64) for state in STATES}
        for part in self.parts:
            for low, high in blocks(len(part.person), part.presence.periods):
                for state, inside in _states(part.presence.block(low, high)).items():
                    totals[state] += inside.sum(axis=0)
        return LifecycleCounts(list(self.calendar.labels), *(totals[state].tolist() for state in STATES))


class StickinessOutcome(NamedTuple):
    """All shards together: per person in how many intervals it was active."""

    calendar: Calendar
    person: Ints
    intervals: Ints

    def persons(self, cell: StickinessCell) -> Ints:
        """The persons behind a number."""
        inside = self.intervals >= cell.intervals if cell.at_least else self.intervals == cell.intervals
        return np.sort(self.person[inside])

    def answer(self) -> StickinessCounts:
        """How many persons were active how often."""
        exactly = np.bincount(self.intervals, minlength=self.calendar.intervals + 1)[1:]
        at_least = np.cumsum(exactly[::-1])[::-1]
        return StickinessCounts(list(self.calendar.labels), exactly.tolist(), at_least.tolist())


def finish_lifecycle(question: Lifecycle, scope: Scope, parts: Sequence[Active]) -> LifecycleOutcome:
    """Put the shards together."""
    return LifecycleOutcome(_calendar(question, scope), list(parts))


def finish_stickiness(question: Stickiness, scope: Scope, parts: Sequence[Active]) -> StickinessOutcome:
    """Put the shards together."""
    counted = [
        part.presence.block(low, high).sum(axis=1)
        for part in parts
        for low, high in blocks(len(part.person), part.presence.periods)
    ]
    person = np.concatenate([part.person for part in parts])
    intervals = np.concatenate([np.zeros(0, np.int64), *counted])
    return StickinessOutcome(_calendar(question, scope), person, intervals)
