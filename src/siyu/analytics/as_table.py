"""Any answer as one flat table: for `siyu ask`, for CSV files, for people who like rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from siyu.analytics.activity import STATES, LifecycleCounts, StickinessCounts
from siyu.analytics.attribution import AttributionAnswer
from siyu.analytics.clv import ClvAnswer
from siyu.analytics.funnel import FunnelFigures, FunnelGroups
from siyu.analytics.pages import PersonPage
from siyu.analytics.paths import PathGraph
from siyu.analytics.retention import RetentionGroups, RetentionMatrix
from siyu.analytics.rfm import RfmCounts
from siyu.analytics.segment_size import SegmentCount
from siyu.analytics.trend import Line, TrendGroups, TrendLines
from siyu.cells import harmless
from siyu.profile.timeline import Timeline

Cell: TypeAlias = str | int | float | None
Table: TypeAlias = tuple[list[str], list[list[Cell]]]
Rows: TypeAlias = tuple[list[str], Iterable[Sequence[Cell]]]


def to_table(answer: msgspec.Struct) -> Table:
    """Header and rows of an answer. Raises TypeError for what is none."""
    for shape, build in _BUILDERS.items():
        if isinstance(answer, shape):
            header, rows = build(answer)
            return header, [list(row) for row in rows]
    raise TypeError(f"{type(answer).__name__} is not an answer.")


def to_csv(answer: msgspec.Struct) -> str:
    """The table as CSV (RFC 4180). A text that a spreadsheet would run as a formula gets an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    header, rows = to_table(answer)
    writer.writerow(header)
    writer.writerows([[harmless(cell) for cell in row] for row in rows])
    return out.getvalue()


def _funnel_rows(figures: FunnelFigures) -> Iterator[list[Cell]]:
    for k, count in enumerate(figures.counts):
        share = count / figures.counts[0] if figures.counts[0] else None
        yield [k, count, share, figures.avg_conversion_s[k], figures.median_conversion_s[k]]


_FUNNEL: Final = ["step", "persons", "share_of_first", "avg_conversion_s", "median_conversion_s"]


def _funnel(answer: FunnelFigures) -> Rows:
    return _FUNNEL, _funnel_rows(answer)


def _funnel_groups(answer: FunnelGroups) -> Rows:
    rows = ([name, *row] for name, figures in answer.groups.items() for row in _funnel_rows(figures))
    return ["group", *_FUNNEL], rows


def _triangle_rows(cohorts: Sequence[str], matrix: Sequence[Sequence[int]]) -> Iterator[list[Cell]]:
    for label, row in zip(cohorts, matrix, strict=True):
        yield [label, *row, *[None] * (len(matrix) - len(row))]


def _retention(answer: RetentionMatrix) -> Rows:
    columns = [str(k) for k in range(len(answer.matrix))]
    return ["cohort", *columns], _triangle_rows(answer.cohorts, answer.matrix)


def _retention_groups(answer: RetentionGroups) -> Rows:
    columns = [str(k) for k in range(len(answer.cohorts))]
    rows = ([name, *row] for name, m in answer.groups.items() for row in _triangle_rows(answer.cohorts, m))
    return ["group", "cohort", *columns], rows


def _line_rows(labels: Sequence[str], lines: Sequence[Line]) -> Iterator[list[Cell]]:
    for i, label in enumerate(labels):
        yield [label, *(line.values[i] for line in lines)]


def _trend(answer: TrendLines) -> Rows:
    return ["interval", *(line.name for line in answer.series)], _line_rows(answer.labels, answer.series)


def _trend_groups(answer: TrendGroups) -> Rows:
    names = [line.name for line in next(iter(answer.groups.values()), [])]
    rows = ([group, *row] for group, lines in answer.groups.items() for row in _line_rows(answer.labels, lines))
    return ["group", "interval", *names], rows


def _lifecycle(answer: LifecycleCounts) -> Rows:
    columns = (answer.labels, answer.new, answer.returning, answer.resurrecting, answer.dormant)
    return ["interval", *STATES], zip(*columns, strict=True)


def _stickiness(answer: StickinessCounts) -> Rows:
    rows = zip(range(1, len(answer.exactly) + 1), answer.exactly, answer.at_least, strict=True)
    return ["intervals", "exactly", "at_least"], rows


def _rfm(answer: RfmCounts) -> Rows:
    return ["r", "f", "m", "persons", "value"], ([g.r, g.f, g.m, g.persons, g.value] for g in answer.groups)


def _paths(answer: PathGraph) -> Rows:
    rows: list[list[Cell]] = [[edge.step, edge.from_, edge.to, edge.count, edge.avg_s] for edge in answer.edges]
    return ["step", "from", "to", "sessions", "avg_s"], rows


def _segment(answer: SegmentCount) -> Rows:
    return ["count", "total"], iter([[answer.count, answer.total]])


def _attribution(answer: AttributionAnswer) -> Rows:
    models = list(answer.channels[0].conversions) if answer.channels else []
    header = ["channel", "journeys", *models, *(f"{model}_value" for model in models)]
    return header, (
        [line.channel, line.journeys, *line.conversions.values(), *line.value.values()] for line in answer.channels
    )


def _clv(answer: ClvAnswer) -> Rows:
    header = ["decile", "persons", "expected_purchases", "expected_value", "alive"]
    return header, ([d.decile, d.persons, d.expected_purchases, d.expected_value, d.alive] for d in answer.deciles)


def _persons(answer: PersonPage) -> Rows:
    return ["person_id"], ([person] for person in answer.persons)


def _timeline(answer: Timeline) -> Rows:
    header = ["occurred_at", "name", "end", "event_id", "properties"]
    rows = (
        [
            item.occurred_at.isoformat(),
            item.name,
            item.end,
            item.event_id,
            msgspec.json.encode(item.properties).decode(),
        ]
        for item in answer.items
    )
    return header, rows


_BUILDERS: Final[Mapping[type, Callable[[Any], Rows]]] = {
    FunnelFigures: _funnel,
    FunnelGroups: _funnel_groups,
    RetentionMatrix: _retention,
    RetentionGroups: _retention_groups,
    TrendLines: _trend,
    TrendGroups: _trend_groups,
    LifecycleCounts: _lifecycle,
    StickinessCounts: _stickiness,
    RfmCounts: _rfm,
    PathGraph: _paths,
    SegmentCount: _segment,
    AttributionAnswer: _attribution,
    ClvAnswer: _clv,
    PersonPage: _persons,
    Timeline: _timeline,
}
