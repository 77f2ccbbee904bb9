"""Paths (路径): what people do after (or before) something, as the nodes and edges of a Sankey diagram.

A person's behaviour falls into sessions: a pause longer than the session gap begins a new one. Each session gives one
path: its first events, or those from the first `start` on, or those up to the first `end`. Repeats of one event in a
row count as one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siyu.analytics.columns import Bools, Ints, firsts, next_hits
from siyu.analytics.packing import Packing, Sorted, packing_of
from siyu.analytics.presence import numbered
from siyu.analytics.question import (
    NAME_MAX,
    OTHER,
    EventName,
    Interval,
    Question,
    Shape,
    Span,
    Window,
    refuse,
    span_of,
)
from siyu.analytics.scope import (
    Query,
    Scope,
    Shard,
    during_sql,
    names_sql,
    shard_sql,
    stored_names,
)
from siyu.rules import Params

STEPS_MAX: Final = 20
Names = Annotated[list[EventName], msgspec.Meta(max_length=NAME_MAX)]


class PathsCell(Shape, frozen=True, kw_only=True):
    """The persons who were at `name` in column `step`; with `to`, who went on to that in the next column."""

    step: Annotated[int, msgspec.Meta(ge=0, le=STEPS_MAX)]
    name: str
    to: str | None = None


class Paths(Question, frozen=True, kw_only=True, tag="paths", tag_field="kind"):
    """See docs/questions.md, paths."""

    range: Span | None = None
    start: EventName | None = None
    end: EventName | None = None
    only: Names = []
    without: Names = []
    steps_max: Annotated[int, msgspec.Meta(ge=2, le=STEPS_MAX)] = 5
    nodes_max: Annotated[int, msgspec.Meta(ge=1, le=50)] = 8
    session_gap: Window = Window(n=30, unit="minute")
    repeats: bool = False
    cell: PathsCell | None = None


class PathNode(msgspec.Struct):
    """Sessions that are at an event in a column; `ended`: those that do not go on."""

    step: int
    name: str
    count: int
    ended: int


class PathEdge(msgspec.Struct, rename={"from_": "from"}):
    """Sessions that go from a node to one in the next column, and after how many seconds on average."""

    step: int
    from_: str
    to: str
    count: int
    avg_s: float


class PathGraph(msgspec.Struct):
    """A Sankey diagram. Columns count from 0; with an `end`, that event stands in the last column."""

    sessions: int
    persons: int
    nodes: list[PathNode]
    edges: list[PathEdge]


class Routes(NamedTuple):
    """The paths of a shard: each a run of rows; `column` is the row's place in the diagram."""

    person: Ints
    first: Bools
    """The path begins."""
    column: Ints
    at: Ints
    name: Ints
    """Places among `texts`."""
    texts: list[str]


def check(question: Paths) -> None:
    """Refuse what cannot be asked. Raises InvalidQuestion."""
    if question.only and question.without:
        raise refuse("Either only, or without.", "without")
    for field, name in (("start", question.start), ("end", question.end)):
        if name is not None and ((question.only and name not in question.only) or name in question.without):
            raise refuse("This event is left out by only or without.", field)
    if question.start is not None and question.start == question.end:
        raise refuse("A path does not end where it starts.", "end")


def _span(question: Paths, scope: Scope) -> Interval:
    return span_of(question.range, scope.zone, scope.now)


def plan(question: Paths, scope: Scope, shard: Shard) -> Query:
    """Rows of persons, times and names as `packing` has them, all behaviour in the range. Names that are not known
    beforehand travel as texts."""
    params = Params()
    where = f"{during_sql(_span(question, scope), params)} AND {names_sql(_stored(question.only), params)}"
    if question.without:
        where += f" AND name NOT IN {params.add(_stored(question.without), 'Array(String)')}"
    known = scope.stored.names
    if known:
        names = params.add(list(known), "Array(String)")
        # A name that came a moment ago is not among them; it stands after the last.
        code = f"transform(name, {names}, range({len(known)}), {len(known)})"
        columns = _packing(question, scope).sql(scope.person, code)
    else:
        columns = f"{_packing(question, scope).sql(scope.person)}, name"
    return Query(f"SELECT {columns} FROM events WHERE {where}{shard_sql(shard, scope.person)}", params.values)


def _packing(question: Paths, scope: Scope) -> Packing:
    bits = len(scope.stored.names).bit_length()
    return packing_of(_span(question, scope), bits, scope.stored.persons, spare=question.session_gap.milliseconds)


def _stored(events: Sequence[str]) -> list[str]:
    return [name for event in events for name in stored_names(event)]


def reduce(question: Paths, scope: Scope, table: pa.Table) -> Routes:
    """The paths in one shard's rows."""
    rows, code, texts = _read(question, scope, table)
    begins = rows.begins(question.session_gap.milliseconds)
    if not question.repeats:
        kept = np.flatnonzero(begins | firsts(code))
        rows, code, begins = rows.take(kept), code[kept], begins[kept]
    inside, first, column = _cut(question, begins, code, {name: i for i, name in enumerate(texts)})
    if len(inside) < len(code):
        rows, code = rows.take(inside), code[inside]
    return Routes(rows.person, first, column, rows.elapsed, code, texts)


def _read(question: Paths, scope: Scope, table: pa.Table) -> tuple[Sorted, Ints, list[str]]:
    """The rows in order, those of one instant in the order of their names; each one's place among the names."""
    packing, known = _packing(question, scope), list(scope.stored.names)
    if not known:
        codes, texts = _name_codes(table["name"])
        rows = packing.read(table, codes)
        assert rows.beside is not None
        return rows, rows.beside, texts
    rows = packing.read(table)
    if (unknown := rows.low >= len(known)).any():
        rows = rows.take(np.flatnonzero(~unknown))
    return rows, rows.low.astype(np.int16), known


def _name_codes(names: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """Event names as numbers in the order of the names, so that events of one instant stand in that order."""
    if not pa.types.is_dictionary(names.type):
        names = names.dictionary_encode()
    whole = names.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        return np.zeros(0, np.int64), []
    texts = whole.dictionary.to_pylist()
    ordered = sorted(texts)
    place = {text: i for i, text in enumerate(ordered)}
    table = np.array([place[text] for text in texts] or [0], np.int64)
    return table[np.from_dlpack(whole.indices)] if len(whole) else np.zeros(0, np.int64), ordered


def _cut(question: Paths, begins: Bools, code: Ints, place: dict[str, int]) -> tuple[Ints, Bools, npt.NDArray[Any]]:
    """The rows that belong to a path, which of them begin one, and the column of each."""
    if question.start is None and question.end is None:
        nth = _since(begins)
        inside = np.flatnonzero(nth < question.steps_max)
        return (inside, begins, nth) if len(inside) == len(nth) else (inside, begins[inside], nth[inside])
    low = np.flatnonzero(begins)
    ends = np.append(low, len(begins))[1:]
    high = ends
    for name in (question.start, question.end):
        if name is None:
            continue
        named = np.isin(code, [place[stored] for stored in stored_names(name) if stored in place])
        found = next_hits(named, low)
        missing = found >= ends
        if name == question.end:
            high = np.where(missing, low, found + 1)
        else:
            low = np.where(missing, ends, found)
    column = np.zeros(len(low), np.int32)
    if question.end is not None and question.start is None:
        low = np.maximum(low, high - question.steps_max)
        column = (question.steps_max - (high - low)).astype(np.int32)
    size = np.clip(high - low, 0, question.steps_max if question.start is not None else None)
    low, size, column = low[size > 0], size[size > 0], column[size > 0]
    first = np.zeros(int(size.sum()), bool)
    starts = np.cumsum(size) - size
    first[starts] = True
    nth = _since(first)
    return np.repeat(low, size) + nth, first, nth + np.repeat(column, size)


def _since(first: Bools) -> npt.NDArray[Any]:
    """How many rows each stands behind the last that is first."""
    row = np.arange(len(first), dtype=np.int32)
    return row - np.maximum.accumulate(np.where(first, row, 0))


class PathsOutcome(NamedTuple):
    """All shards together; names beyond the limit of their column are OTHER."""

    question: Paths
    routes: Routes
    onward: Bools
    """The next row is the next step of the same path."""

    def persons(self, cell: PathsCell) -> Ints:
        """The persons behind a node or an edge."""
        routes = self.routes
        place = {text: i for i, text in enumerate(routes.texts)}
        here = (routes.column == cell.step) & (routes.name == place.get(cell.name, -1))
        if cell.to is not None:
            here &= self.onward & np.append(routes.name[1:] == place.get(cell.to, -1), False)[: len(here)]
        return np.unique(routes.person[here])

    def answer(self) -> PathGraph:
        """Nodes and edges, the largest of each column first."""
        routes, size = self.routes, len(self.routes.texts)
        cell, onward = routes.column * size + routes.name, np.flatnonzero(self.onward)
        counts, going = np.bincount(cell), np.bincount(cell[onward])
        going = np.append(going, np.zeros(len(counts) - len(going), np.int64))
        nodes = [
            PathNode(at // size, routes.texts[at % size], int(counts[at]), int(counts[at] - going[at]))
            for at in np.flatnonzero(counts).tolist()
        ]
        keys, place = numbered(cell[onward] * size + routes.name[onward + 1])
        taken = np.bincount(place, minlength=len(keys))
        pause = np.bincount(place, weights=routes.at[onward + 1] - routes.at[onward], minlength=len(keys)) / 1000
        edges = [
            PathEdge(key // size**2, routes.texts[key // size % size], routes.texts[key % size], n, seconds / n)
            for key, n, seconds in zip(keys.tolist(), taken.tolist(), pause.tolist(), strict=True)
        ]
        nodes.sort(key=lambda node: (node.step, -node.count, node.name))
        edges.sort(key=lambda edge: (edge.step, -edge.count, edge.from_, edge.to))
        # The paths of a person stand together.
        return PathGraph(int(routes.first.sum()), int(firsts(routes.person).sum()), nodes, edges)


def finish(question: Paths, scope: Scope, parts: Sequence[Routes]) -> PathsOutcome:
    """Put the shards together; keep the most frequent names of each column."""
    texts = sorted({text for part in parts for text in part.texts})
    place = {text: i for i, text in enumerate(texts)}
    names = [
        part.name if part.texts == texts else np.array([place[text] for text in part.texts], np.int64)[part.name]
        for part in parts
    ]
    routes = Routes(
        _together([part.person for part in parts]),
        _together([part.first for part in parts]),
        _together([part.column for part in parts]),
        _together([part.at for part in parts]),
        _together(names),
        texts,
    )
    onward = np.zeros(len(routes.first), bool)
    onward[:-1] = ~routes.first[1:]
    return PathsOutcome(question, _fewer(routes, question.nodes_max), onward)


def _together(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _fewer(routes: Routes, nodes_max: int) -> Routes:
    """Only the names among the `nodes_max` most frequent of a column, and OTHER as the last."""
    size, columns = max(1, len(routes.texts)), int(routes.column.max(initial=-1)) + 1
    cell = routes.column * size + routes.name
    count = np.bincount(cell, minlength=columns * size).reshape(columns, size)
    shown = np.argsort(np.argsort(-count, axis=1, kind="stable"), axis=1) < nodes_max
    used = np.flatnonzero(shown.any(axis=0))
    number = np.full(size, len(used), np.int16)
    number[used] = np.arange(len(used))
    name = np.where(shown, number, len(used)).reshape(-1)[cell]
    return routes._replace(name=name, texts=[*(routes.texts[i] for i in used.tolist()), OTHER])
