"""Paths (路径): what people do after (or before) something, as the nodes and edges of a Sankey diagram.

A person's behaviour falls into sessions: a pause longer than the session gap begins a new one. Each session gives one
path: its first events, or those from the first `start` on, or those up to the first `end`. Repeats of one event in a
row count as one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from siyu.analytics.columns import Bools, Ints, firsts, ints, next_row, sorted_together
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
    MILLIS,
    Query,
    Scope,
    Shard,
    during_sql,
    names_sql,
    person_column,
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
    path: Ints
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
    """Rows (p, k, name): all behaviour in the range, k in milliseconds since its beginning."""
    span, params = _span(question, scope), Params()
    where = f"{during_sql(span, params)} AND {names_sql(_stored(question.only), params)}"
    if question.without:
        where += f" AND name NOT IN {params.add(_stored(question.without), 'Array(String)')}"
    columns = f"{person_column(scope)}, toUInt64({MILLIS} - {span.start}) AS k, name"
    return Query(f"SELECT {columns} FROM events WHERE {where}{shard_sql(shard)}", params.values)


def _stored(events: Sequence[str]) -> list[str]:
    return [name for event in events for name in stored_names(event)]


def reduce(question: Paths, scope: Scope, table: pa.Table) -> Routes:
    """The paths in one shard's rows."""
    codes, texts = _name_codes(table["name"])
    bits = max(1, (len(texts) - 1).bit_length())
    person, k = sorted_together(ints(table, "p"), (ints(table, "k") << bits) | codes)
    code, at = k & ((1 << bits) - 1), k >> bits
    session = _sessions(person, at, question.session_gap.milliseconds)
    if not question.repeats:
        keep = firsts(session) | firsts(code)
        person, at, code, session = person[keep], at[keep], code[keep], session[keep]
    place = {name: i for i, name in enumerate(texts)}
    inside, column = _cut(question, session, code, place)
    return Routes(person[inside], session[inside], column, at[inside], code[inside], texts)


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


def _sessions(person: Ints, at: Ints, gap_ms: int) -> Ints:
    """The number of each row's session."""
    begins = firsts(person)
    begins[1:] |= at[1:] - at[:-1] > gap_ms
    return np.cumsum(begins) - 1


def _cut(question: Paths, session: Ints, code: Ints, place: dict[str, int]) -> tuple[Bools, Ints]:
    """Which rows belong to a path, and their columns."""
    size = len(session)
    row = np.arange(size)
    begins = np.flatnonzero(firsts(session))
    ends = np.append(begins[1:], size)
    low, high = begins.copy(), ends.copy()
    for name in (question.start, question.end):
        if name is None:
            continue
        found = next_row(np.isin(code, [place[stored] for stored in stored_names(name) if stored in place]))[low]
        missing = found >= ends
        if name == question.end:
            high = np.where(missing, low, found + 1)
        else:
            low = np.where(missing, ends, found)
    if question.end is not None and question.start is None:
        low = np.maximum(low, high - question.steps_max)
        first_column = question.steps_max - (high - low)
    else:
        high = np.minimum(high, low + question.steps_max)
        first_column = np.zeros(len(low), np.int64)
    inside = (row >= low[session]) & (row < high[session])
    return inside, (row - low[session] + first_column[session])[inside]


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
        routes = self.routes
        nodes, edges = _tally(routes, self.onward, edges=False), _tally(routes, self.onward, edges=True)
        texts = routes.texts
        return PathGraph(
            int(firsts(routes.path).sum()),
            len(numbered(routes.person)[0]),
            [PathNode(c, texts[a], n, n - on) for c, a, _, n, on, _ in nodes],
            [PathEdge(c, texts[a], texts[b], n, s) for c, a, b, n, _, s in edges],
        )


def _tally(routes: Routes, onward: Bools, *, edges: bool) -> list[tuple[int, int, int, int, int, float]]:
    """(column, name, next name, rows, rows that go on, mean seconds to the next), sorted by column, then number; of all
    rows, or of those that go on told apart by the next name."""
    used, code = numbered(routes.name)
    size = max(1, len(used))
    rows = np.flatnonzero(onward) if edges else np.arange(len(code))
    following = np.append(code[1:], 0)[rows] if edges else 0
    keys, place = numbered((routes.column[rows] * size + code[rows]) * size + following)
    counts = np.bincount(place, minlength=len(keys))
    pause = np.append(routes.at[1:] - routes.at[:-1], 0)[rows] if len(code) else np.zeros(0)
    going = np.bincount(place, weights=onward[rows], minlength=len(keys))
    seconds = np.bincount(place, weights=np.where(onward[rows], pause, 0), minlength=len(keys)) / 1000
    found = [
        (k // size**2, int(used[k // size % size]), int(used[k % size]), n, int(on), s / on if on else 0.0)
        for k, n, on, s in zip(keys.tolist(), counts.tolist(), going.tolist(), seconds.tolist(), strict=True)
    ]
    return sorted(found, key=lambda item: (item[0], -item[3], routes.texts[item[1]], routes.texts[item[2]]))


def finish(question: Paths, scope: Scope, parts: Sequence[Routes]) -> PathsOutcome:
    """Put the shards together; keep the most frequent names of each column."""
    offsets = np.cumsum([0, *(int(part.path[-1]) + 1 if len(part.path) else 0 for part in parts)])
    texts = sorted({text for part in parts for text in part.texts})
    place = {text: i for i, text in enumerate(texts)}
    names = [np.array([place[text] for text in part.texts], np.int64)[part.name] for part in parts]
    routes = Routes(
        np.concatenate([part.person for part in parts]),
        np.concatenate([part.path + offset for part, offset in zip(parts, offsets[:-1], strict=True)]),
        np.concatenate([part.column for part in parts]),
        np.concatenate([part.at for part in parts]),
        np.concatenate(names),
        [*texts, OTHER],
    )
    onward = np.zeros(len(routes.path), bool)
    onward[:-1] = routes.path[1:] == routes.path[:-1]
    return PathsOutcome(question, routes._replace(name=_fewer(routes, question.nodes_max)), onward)


def _fewer(routes: Routes, nodes_max: int) -> Ints:
    """Names, with OTHER (the last text) for those beyond the `nodes_max` most frequent of their column."""
    if not len(routes.name):
        return routes.name
    size = len(routes.texts)
    cells = (int(routes.column.max()) + 1) * size
    count = np.bincount(routes.column * size + routes.name, minlength=cells).reshape(-1, size)
    rank = np.argsort(np.argsort(-count, axis=1, kind="stable"), axis=1)
    return np.where(rank[routes.column, routes.name] < nodes_max, routes.name, size - 1)
