"""Retention (留存): of the persons who did the target in a period, how many return in the periods after.

Periods are whole calendar periods of the zone. The answer is a triangle: row i has intervals − i columns, column 0 is
the size of the cohort.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from siyu.analytics.calendar import Calendar, WeekStart, first_day, index_sql, move, periods
from siyu.analytics.columns import Bools, Ints, firsts, ints
from siyu.analytics.groups import Labels, shown_groups, value_codes
from siyu.analytics.presence import Matrix, Presence, blocks, numbered
from siyu.analytics.question import (
    GROUPS_MAX,
    Breakdown,
    EventName,
    Question,
    Shape,
    Step,
    Where,
    check_breakdown,
    epoch_ms,
    instant,
    refuse,
)
from siyu.analytics.scope import (
    MILLIS,
    Query,
    Scope,
    Shard,
    during_sql,
    group_sql,
    matcher,
    matcher_sql,
    person_column,
    shard_sql,
)
from siyu.rules import Params

COHORTS_MAX = 200
_TARGET, _RETURN = 1, 2


class RetentionCell(Shape, frozen=True, kw_only=True):
    """The persons of cohort `cohort` who came back `interval` periods later; 0: the cohort itself."""

    cohort: Annotated[int, msgspec.Meta(ge=0, le=COHORTS_MAX)]
    interval: Annotated[int, msgspec.Meta(ge=0, le=COHORTS_MAX)] = 0
    group: str | None = None


class Retention(Question, frozen=True, kw_only=True, tag="retention", tag_field="kind"):
    """See docs/questions.md, retention."""

    period: Literal["day", "week", "month"] = "day"
    type: Literal["recurring", "first_time"] = "recurring"
    target: EventName | None = None
    returning: EventName | None = None
    target_where: Where | None = None
    returning_where: Where | None = None
    week_start: WeekStart = "monday"
    end: str | None = None
    end_is_local_wall_clock: bool = False
    intervals: Annotated[int, msgspec.Meta(ge=1, le=COHORTS_MAX)] = 8
    breakdown: Breakdown | None = None
    cell: RetentionCell | None = None


class RetentionMatrix(msgspec.Struct):
    """`matrix[i][k]`: of cohort i, how many came back k periods later."""

    first_cohort: str
    cohorts: list[str]
    matrix: list[list[int]]


class RetentionGroups(msgspec.Struct):
    """The triangle per value of the breakdown."""

    first_cohort: str
    cohorts: list[str]
    groups: dict[str, list[list[int]]]


class Visits(NamedTuple):
    """Units (a person, or a person with a value): when each did the target and when it returned."""

    person: Ints
    labels: Labels
    target: Presence
    returned: Presence


def check(question: Retention) -> None:
    """Refuse what cannot be asked. Raises InvalidQuestion."""
    check_breakdown(question.breakdown)
    cell = question.cell
    if cell is not None:
        if cell.cohort + cell.interval >= question.intervals:
            raise refuse("There is no such cell in the triangle.", "cell.interval")
        if (question.breakdown is None) != (cell.group is None):
            raise refuse("A cell names a group exactly when there is a breakdown.", "cell.group")


def cohorts(question: Retention, scope: Scope) -> Calendar:
    """The periods of the triangle; the last one holds `end`."""
    moment = scope.now if question.end is None else instant(question.end, scope.zone, "end")
    if question.end_is_local_wall_clock:
        moment = moment.replace(tzinfo=scope.zone)
    epoch_ms(moment, "end")
    day = moment.astimezone(scope.zone).date()
    if not 1990 <= day.year <= 2099:
        raise refuse("The end lies between 1990 and 2100.", "end")
    last = first_day(day, question.period, question.week_start)
    return periods(scope.zone, question.period, move(last, question.period, 1 - question.intervals), question.intervals)


def plan(question: Retention, scope: Scope, shard: Shard) -> Query:
    """Rows (p, i, c[, k][, g]): period (−1: before the first), bit 1 a target, bit 2 a return, time in ms, value."""
    calendar, params = cohorts(question, scope), Params()
    target = matcher_sql(matcher(Step(event=question.target, where=question.target_where), "target"), params)
    returning = matcher_sql(
        matcher(Step(event=question.returning, where=question.returning_where), "returning"), params
    )
    index = index_sql(calendar, params)
    during = during_sql(calendar.span, params)
    columns = [person_column(scope)]
    if question.type == "first_time":
        start = params.add(calendar.span.start, "Int64")
        columns += [f"toInt16(if({MILLIS} < {start}, -1, {index})) AS i", f"{MILLIS} AS k"]
        history = during_sql(scope.history(calendar.span.end), params)
        where = f"{history} AND ({target} OR {returning} AND {during})"
    else:
        columns.append(f"toInt16({index}) AS i")
        where = f"{during} AND ({target} OR {returning})"
    columns.append(f"toUInt8(({target}) * {_TARGET} + ({returning}) * {_RETURN}) AS c")
    if question.breakdown is not None:
        columns.append(f"{group_sql(question.breakdown, scope, params)} AS g")
    return Query(f"SELECT {', '.join(columns)} FROM events WHERE {where}{shard_sql(shard)}", params.values)


def reduce(question: Retention, scope: Scope, table: pa.Table) -> Visits:
    """One shard's rows as visits."""
    person, unit = numbered(ints(table, "p"))
    period, code = ints(table, "i"), ints(table, "c")
    codes, texts = np.zeros(len(unit), np.int64), [""]
    labels = Labels(np.zeros(len(person), np.int64), texts)
    if question.breakdown is not None:
        codes, texts = value_codes(table["g"].combine_chunks())
        if question.type == "recurring":
            pairs, unit = numbered(unit * len(texts) + codes)
            person, labels = person[pairs // len(texts)], Labels(pairs % len(texts), texts)
    rows = Presence(unit, period, len(person), question.intervals)
    target, returned = rows.where((code & _TARGET) != 0), (code & _RETURN) != 0
    if question.type == "first_time":
        first = _first_targets(unit, ints(table, "k"), codes, (code & _TARGET) != 0)
        target = rows.where(first)
        chosen = np.zeros(len(person), np.int64)
        chosen[unit[first]] = codes[first]
        labels = Labels(chosen, texts)
        returned &= chosen[unit] == codes
    return Visits(person, labels, target.where(target.period >= 0), rows.where(returned & (period >= 0)))


def _first_targets(unit: Ints, at: Ints, codes: Ints, target: Bools) -> Bools:
    """The row of each unit's earliest target, the smallest value of those at one instant."""
    candidates = np.flatnonzero(target)
    order = candidates[np.lexsort((codes[candidates], at[candidates], unit[candidates]))]
    first = np.zeros(len(unit), bool)
    first[order[firsts(unit[order])]] = True
    return first


def _together(target: Matrix, returned: Matrix) -> Ints:
    """How many units were in both, for each pair of periods. Exact: float32 counts to 2^24, more than a slice has."""
    total = np.zeros((target.shape[1], returned.shape[1]), np.int64)
    for low in range(0, len(target), 1 << 22):
        high = low + (1 << 22)
        product = target[low:high].T.astype(np.float32) @ returned[low:high].astype(np.float32)
        total += product.astype(np.int64)
    return total


class RetentionOutcome(NamedTuple):
    """All shards together."""

    question: Retention
    calendar: Calendar
    visits: list[Visits]
    groups: list[Ints]
    """Per shard, the place of each unit's group among `names`."""
    names: list[str]

    def _place(self, name: str) -> int:
        return self.names.index(name) if name in self.names else -1

    def persons(self, cell: RetentionCell) -> Ints:
        """The persons behind a number."""
        found = [np.zeros(0, np.int64)]
        for visits, group in zip(self.visits, self.groups, strict=True):
            units = visits.target.units_in(cell.cohort)
            if cell.interval:
                units = np.intersect1d(units, visits.returned.units_in(cell.cohort + cell.interval))
            if cell.group is not None:
                units = units[group[units] == self._place(cell.group)]
            found.append(visits.person[units])
        return np.unique(np.concatenate(found))

    def _triangle(self, name: str | None) -> list[list[int]]:
        size = self.question.intervals
        counts, sizes = np.zeros((size, size), np.int64), np.zeros(size, np.int64)
        for visits, group in zip(self.visits, self.groups, strict=True):
            for low, high in blocks(len(visits.person), size):
                target, returned = visits.target.block(low, high), visits.returned.block(low, high)
                if name is not None:
                    target = target & (group[low:high] == self._place(name))[:, None]
                sizes += target.sum(axis=0)
                counts += _together(target, returned)
        return [[int(sizes[i]), *counts[i, i + 1 :].tolist()] for i in range(size)]

    def answer(self) -> RetentionMatrix | RetentionGroups:
        """The triangle, or one per group."""
        labels = list(self.calendar.labels)
        if self.question.breakdown is None:
            return RetentionMatrix(labels[0], labels, self._triangle(None))
        return RetentionGroups(labels[0], labels, {name: self._triangle(name) for name in self.names})


def finish(question: Retention, scope: Scope, parts: Sequence[Visits]) -> RetentionOutcome:
    """Put the shards together; name the groups, those with most persons in a cohort first."""
    inside = [np.bincount(part.target.unit, minlength=len(part.person)) > 0 for part in parts]
    limit = GROUPS_MAX if question.breakdown is None else question.breakdown.limit
    names, group = shown_groups([part.labels for part in parts], np.concatenate(inside), limit)
    ends = np.cumsum([len(part.person) for part in parts])
    groups = np.split(group, ends[:-1])
    visits = [_as_one(part, group == limit) for part, group in zip(parts, groups, strict=True)]
    return RetentionOutcome(question, cohorts(question, scope), visits, groups, names)


def _as_one(visits: Visits, other: Bools) -> Visits:
    """All values beyond the limit are one value: a person's units of them become one unit."""
    rows = np.flatnonzero(other)
    if not len(rows):
        return visits
    _, first, place = np.unique(visits.person[rows], return_index=True, return_inverse=True)
    unit = np.arange(len(visits.person))
    unit[rows] = rows[first][place]
    target, returned = visits.target, visits.returned
    return visits._replace(
        target=target._replace(unit=unit[target.unit]), returned=returned._replace(unit=unit[returned.unit])
    )
