"""Trends (趋势): series over intervals of a calendar, totals, breakdowns and formulas, added up inside the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, Protocol

import msgspec
import pyarrow as pa

from siyu.analytics.calendar import Calendar, Unit, WeekStart, covering, index_sql
from siyu.analytics.columns import Ints, ints
from siyu.analytics.formula import Formula, parse_formula
from siyu.analytics.question import (
    OTHER,
    SERIES_MAX,
    Breakdown,
    EventName,
    Interval,
    Matcher,
    Question,
    Shape,
    Span,
    Step,
    Where,
    check_breakdown,
    field_of,
    refuse,
    span_of,
)
from siyu.analytics.scope import (
    Query,
    Scope,
    Shard,
    any_of_sql,
    during_sql,
    group_sql,
    matcher,
    matcher_sql,
    person_column,
)
from siyu.rules import Params, field_text_sql, numeric_sql

LETTERS = "ABCDEFGHIJ"
VALUES_MAX: Final = 200_000
"""Values of a breakdown, each in each interval, that are counted at once; with more the most frequent are looked for
first."""
ADDITIVE = frozenset({"count", "persons", "sum"})
"""Measures that are 0, not unknown, where nothing happened."""


class Aggregate(Protocol):
    """Writes an aggregate function of the events as SQL."""

    def __call__(self, function: str, arguments: str, parameters: str = "") -> str:
        """The value."""


class Series(Shape, frozen=True, kw_only=True):
    """One line: what is counted of which events."""

    event: EventName | None = None
    where: Where | None = None
    math: Literal["count", "persons", "per_person", "sum", "avg", "min", "max", "percentile"] = "count"
    property: str | None = None
    percentile: Annotated[int, msgspec.Meta(ge=1, le=99)] = 50


class TrendCell(Shape, frozen=True, kw_only=True):
    """The persons behind a point: series by its letter; without `interval`, of the whole range."""

    series: str = "A"
    interval: Annotated[int, msgspec.Meta(ge=0)] | None = None
    group: str | None = None


class Trend(Question, frozen=True, kw_only=True, tag="trend", tag_field="kind"):
    """See docs/questions.md, trend."""

    series: Annotated[list[Series], msgspec.Meta(min_length=1, max_length=SERIES_MAX)]
    formula: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    interval: Unit = "day"
    week_start: WeekStart = "monday"
    range: Span | None = None
    breakdown: Breakdown | None = None
    cell: TrendCell | None = None


class Line(msgspec.Struct):
    """A series: its letter (or `formula`), a value per interval, and the value of the whole range."""

    name: str
    values: list[float | int | None]
    total: float | int | None


class TrendLines(msgspec.Struct):
    """Lines over the intervals called `labels` (their local beginnings)."""

    labels: list[str]
    series: list[Line]


class TrendGroups(msgspec.Struct):
    """Lines per value of the breakdown, the most frequent value first."""

    labels: list[str]
    groups: dict[str, list[Line]]


def check(question: Trend) -> None:
    """Refuse what cannot be asked. Raises InvalidQuestion."""
    check_breakdown(question.breakdown)
    for i, series in enumerate(question.series):
        needs = series.math in ("sum", "avg", "min", "max", "percentile")
        if needs and series.property is None:
            raise refuse(f"{series.math} needs a property.", f"series[{i}].property")
        if not needs and series.math != "per_person" and series.property is not None:
            raise refuse(f"{series.math} takes no property.", f"series[{i}].property")
        if series.property is not None:
            field_of(series.property, f"series[{i}].property")
    if question.formula is not None:
        parse_formula(question.formula, LETTERS[: len(question.series)])
    if question.cell is not None:
        if question.cell.series not in LETTERS[: len(question.series)] or len(question.cell.series) != 1:
            raise refuse("A cell names a series by its letter.", "cell.series")
        if (question.breakdown is None) != (question.cell.group is None):
            raise refuse("A cell names a group exactly when there is a breakdown.", "cell.group")


def _calendar(question: Trend, scope: Scope) -> tuple[Interval, Calendar]:
    span = span_of(question.range, scope.zone, scope.now)
    return span, covering(scope.zone, question.interval, span, question.week_start)


def _number_sql(name: str, params: Params) -> str:
    field = field_of(name, "property")
    return "toNullable(value_fen)" if field.root == "value_fen" else numeric_sql(field_text_sql(field, params))


def _measure(series: Series, matches: str, params: Params, aggregate: Aggregate) -> str:
    """The value of one series."""
    number = "" if series.property is None else _number_sql(series.property, params)
    if series.math == "count":
        return aggregate("countIf", matches)
    if series.math == "persons":
        return aggregate("uniqExactIf", f"p, {matches}")
    if series.math == "per_person":
        count = aggregate("countIf", matches)
        amount = f"ifNull({aggregate('sumIf', f'{number}, {matches}')}, 0)" if number else count
        return f"if({count} = 0, NULL, {amount} / {aggregate('uniqExactIf', f'p, {matches}')})"
    if series.math == "sum":
        return f"ifNull({aggregate('sumIf', f'{number}, {matches}')}, 0)"
    function = {"avg": "avg", "min": "min", "max": "max"}.get(series.math)
    if function is None:
        return aggregate("quantileExactOrNullIf", f"{number}, {matches}", f"({series.percentile / 100})")
    return aggregate(f"{function}OrNullIf", f"{number}, {matches}")


def _at_once(function: str, arguments: str, parameters: str = "") -> str:
    return f"{function}{parameters}({arguments})"


class _States:
    """Aggregates in two steps: `columns` are their states, and calling answers what becomes of these."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, function: str, arguments: str, parameters: str = "") -> str:
        """Remember the aggregate; the value of its states put together."""
        name = self._known.setdefault(f"{function}State{parameters}({arguments})", f"a{len(self._known)}")
        return f"{function}Merge{parameters}({name})"

    @property
    def columns(self) -> str:
        """The states, as columns."""
        return ", ".join(f"{sql} AS {name}" for sql, name in self._known.items())


class _Parts(NamedTuple):
    """The pieces of a statement."""

    items: list[Matcher]
    tests: list[str]
    """SQL: whether an event is of a series."""
    columns: str
    """Of an event: everything, its person and its interval."""
    where: str
    params: Params


def _parts(question: Trend, scope: Scope) -> _Parts:
    (span, calendar), params = _calendar(question, scope), Params()
    items = [matcher(Step(event=s.event, where=s.where), f"series[{i}]") for i, s in enumerate(question.series)]
    if question.cell is not None:
        items = [items[LETTERS.index(question.cell.series)]]
    tests = [matcher_sql(item, params) for item in items]
    columns = f"*, {person_column(scope)}, {index_sql(calendar, params)} AS i"
    where = f"{during_sql(span, params)} AND ({any_of_sql(items, params)})"
    return _Parts(items, tests, columns, where, params)


def plan(question: Trend, scope: Scope, shard: Shard) -> Query:
    """Rows (g, whole, i, s0, s1 …), `whole` 1 for the range as a whole; for a cell, its persons p.

    With a breakdown all its values are counted, up to VALUES_MAX, before those beyond the limit become OTHER: so a
    property is read once (decision 0385)."""
    if question.breakdown is None or question.cell is not None:
        return plan_wide(question, scope, shard)
    parts, states = _parts(question, scope), _States()
    params = parts.params
    columns = _columns(question, parts, states)
    value = group_sql(question.breakdown, scope, params)
    counted = (
        f"SELECT v, i, count() AS n, {states.columns} FROM (SELECT {parts.columns}, {value} AS v FROM events"
        f" WHERE {parts.where}) GROUP BY v, i"
    )
    ranked = (
        "SELECT *, dense_rank() OVER (ORDER BY total DESC, v) AS place"
        f" FROM (SELECT *, sum(n) OVER (PARTITION BY v) AS total FROM ({counted}))"
    )
    shown = f"if(place <= {int(question.breakdown.limit)}, v, {params.add(OTHER)})"
    sql = (
        f"SELECT g, grouping(i) AS whole, i, {columns}, sum(c) AS n FROM (SELECT *, n AS c, {shown} AS g"
        f" FROM ({ranked})) GROUP BY GROUPING SETS ((g, i), (g))"
        f" SETTINGS max_rows_to_group_by = {VALUES_MAX}, group_by_overflow_mode = 'throw'"
    )
    return Query(sql, params.values)


def plan_wide(question: Trend, scope: Scope, shard: Shard) -> Query:
    """The same, whatever the number of values: the most frequent are found first."""
    parts = _parts(question, scope)
    group = "''" if question.breakdown is None else _limited(question.breakdown, scope, parts)
    source = f"SELECT {parts.columns}, {group} AS g FROM events WHERE {parts.where}"
    if question.cell is not None:
        return Query(_persons_sql(question.cell, source, parts.params), parts.params.values)
    columns = _columns(question, parts, _at_once)
    sql = (
        f"SELECT g, grouping(i) AS whole, i, {columns}, count() AS n FROM ({source})"
        " GROUP BY GROUPING SETS ((g, i), (g))"
    )
    return Query(sql, parts.params.values)


def _columns(question: Trend, parts: _Parts, aggregate: Aggregate) -> str:
    measures = [
        _measure(series, test, parts.params, aggregate)
        for series, test in zip(question.series, parts.tests, strict=True)
    ]
    return ", ".join(f"{measure} AS s{n}" for n, measure in enumerate(measures))


def _limited(breakdown: Breakdown, scope: Scope, parts: _Parts) -> str:
    """The value of the breakdown; OTHER for those beyond the limit, by number of events of all series."""
    value = group_sql(breakdown, scope, parts.params)
    top = (
        f"SELECT groupArray(v) FROM (SELECT {value} AS v FROM events WHERE {parts.where}"
        f" GROUP BY v ORDER BY count() DESC, v LIMIT {int(breakdown.limit)})"
    )
    return f"if(has(({top}), {value}), {value}, {parts.params.add(OTHER)})"


def _persons_sql(cell: TrendCell, source: str, params: Params) -> str:
    wanted = [] if cell.interval is None else [f"i = {params.add(cell.interval, 'UInt32')}"]
    if cell.group is not None:
        wanted.append(f"g = {params.add(cell.group)}")
    return f"SELECT DISTINCT p FROM ({source}) WHERE {' AND '.join(wanted) or '1'} ORDER BY p"


def reduce(question: Trend, scope: Scope, table: pa.Table) -> pa.Table:
    """The engine's rows as they are."""
    return table


class TrendOutcome(NamedTuple):
    """The engine's rows and what they mean."""

    question: Trend
    calendar: Calendar
    table: pa.Table

    def persons(self, cell: TrendCell) -> Ints:
        """The persons behind a point."""
        return ints(self.table, "p")

    def answer(self) -> TrendLines | TrendGroups:
        """The lines, or the lines of each group."""
        labels = list(self.calendar.labels)
        grouped: dict[str, list[dict[str, Any]]] = {}
        for row in self.table.to_pylist():
            grouped.setdefault(row["g"], []).append(row)
        if self.question.breakdown is None:
            return TrendLines(labels, self._lines(grouped.get("", [])))
        sizes = {name: sum(row["n"] for row in rows if row["whole"]) for name, rows in grouped.items()}
        names = sorted(grouped, key=lambda name: (name == OTHER, -sizes[name], name))
        return TrendGroups(labels, {name: self._lines(grouped[name]) for name in names})

    def _lines(self, rows: list[dict[str, Any]]) -> list[Line]:
        size = self.calendar.intervals
        lines = []
        for n, series in enumerate(self.question.series):
            empty = 0 if series.math in ADDITIVE else None
            line = Line(LETTERS[n], [empty] * size, empty)
            for row in rows:
                if row["whole"]:
                    line.total = row[f"s{n}"]
                else:
                    line.values[row["i"]] = row[f"s{n}"]
            lines.append(line)
        if self.question.formula is not None:
            lines.append(self._computed(parse_formula(self.question.formula, LETTERS[: len(lines)]), lines))
        return lines

    def _computed(self, formula: Formula, lines: list[Line]) -> Line:
        points = [formula({line.name: line.values[i] for line in lines}) for i in range(self.calendar.intervals)]
        return Line("formula", list(points), formula({line.name: line.total for line in lines}))


def finish(question: Trend, scope: Scope, parts: Sequence[pa.Table]) -> TrendOutcome:
    """One statement, one table."""
    return TrendOutcome(question, _calendar(question, scope)[1], parts[0])
