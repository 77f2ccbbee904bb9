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
from siyu.analytics.packing import Packing, Sorted, in_blocks, packing_of
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
_DENSE_MAX: Final = 1 << 17
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
    """The paths of some persons: each a run of rows; `column` is the row's place in the diagram."""

    person: Ints
    column: npt.NDArray[Any]
    name: npt.NDArray[Any]
    """Places among the texts."""
    onward: Ints
    """The rows whose next row is the next step of the same path."""


class Counted(NamedTuple):
    """What the paths of some persons come to."""

    texts: list[str]
    """The names, by their places."""
    sessions: int
    persons: int
    nodes: Tally
    """By column * names + name."""
    edges: Tally
    """By the node * names + the next name; the milliseconds between."""
    routes: Routes | None
    """Kept where persons are asked for."""


class Tally(NamedTuple):
    """How often each number came, and what its rows sum up to."""

    keys: Ints
    rows: Ints
    total: npt.NDArray[np.float64]


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


def reduce(question: Paths, scope: Scope, table: pa.Table) -> list[Counted]:
    """The paths in one shard's rows, counted in blocks of persons, two at a time."""
    rows, texts = _read(question, scope, table)
    return in_blocks(rows, lambda block: _counted(question, block, texts))


def _read(question: Paths, scope: Scope, table: pa.Table) -> tuple[Sorted, list[str]]:
    """The rows in order, those of one instant in the order of their names; the names by their places."""
    packing, known = _packing(question, scope), list(scope.stored.names)
    if known:
        return packing.read(table), known
    codes, texts = _name_codes(table["name"])
    return packing.read(table, codes), texts


def _counted(question: Paths, rows: Sorted, texts: list[str]) -> Counted:
    code: npt.NDArray[Any] = rows.low.astype(np.int16) if rows.beside is None else rows.beside
    if (unknown := code >= len(texts)).any():
        kept = np.flatnonzero(~unknown)
        rows, code = rows.take(kept), code[kept]
    begins = rows.begins(question.session_gap.milliseconds)
    if not question.repeats:
        kept = np.flatnonzero(begins | firsts(code))
        rows, code, begins = rows.take(kept), code[kept], begins[kept]
    inside, first, column = _cut(question, begins, code, {name: i for i, name in enumerate(texts)})
    if len(inside) < len(code):
        rows, code = rows.take(inside), code[inside]
    person, onward = rows.person, np.flatnonzero(~first[1:])
    node, at = column * len(texts) + code, rows.elapsed
    # The paths of a person stand together.
    return Counted(
        texts,
        int(first.sum()),
        int(firsts(person).sum()) if len(person) else 0,
        _tallied(node, None),
        _tallied(node[onward].astype(np.int64) * len(texts) + code[onward + 1], at[onward + 1] - at[onward]),
        None if question.cell is None else Routes(person, column, code, onward),
    )


def _tallied(keys: npt.NDArray[Any], weight: npt.NDArray[Any] | None, count: Ints | None = None) -> Tally:
    """Each different number with the sums over its rows; a row counts once where `count` does not say more."""
    if int(keys.max(initial=0)) < _DENSE_MAX:
        different, place = np.arange(int(keys.max(initial=-1)) + 1), keys
    else:
        different, place = numbered(keys.astype(np.int64, copy=False))
    size = len(different)
    counts = np.bincount(place, count, minlength=size).astype(np.int64, copy=False)
    totals = np.zeros(size) if weight is None else np.bincount(place, weight, minlength=size).astype(float)
    there = np.flatnonzero(counts)
    return Tally(different[there], counts[there], totals[there])


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

    texts: list[str]
    sessions: int
    seen: int
    """Persons."""
    nodes: Tally
    edges: Tally
    routes: list[Routes]
    folded: npt.NDArray[Any]
    """Node → the place among `shown` that its name has in its column."""
    shown: list[str]

    def persons(self, cell: PathsCell) -> Ints:
        """The persons behind a node or an edge."""
        place = {text: i for i, text in enumerate(self.shown)}
        found = [np.zeros(0, np.int64)]
        for routes in self.routes:
            name = self.folded[routes.column * len(self.texts) + routes.name]
            rows = np.flatnonzero((routes.column == cell.step) & (name == place.get(cell.name, -1)))
            if cell.to is not None:
                rows = np.intersect1d(rows, routes.onward, assume_unique=True)
                rows = rows[name[rows + 1] == place.get(cell.to, -1)]
            found.append(routes.person[rows])
        return np.unique(np.concatenate(found))

    def answer(self) -> PathGraph:
        """Nodes and edges, the largest of each column first."""
        size, shown = max(1, len(self.texts)), len(self.shown)
        counts = _tallied(self.nodes.keys // size * shown + self.folded[self.nodes.keys], None, self.nodes.rows)
        node, following = np.divmod(self.edges.keys, size)
        goal = self.folded[(node // size + 1) * size + following] if len(node) else following
        keys = (node // size * shown + self.folded[node]) * shown + goal
        edges = _tallied(keys, self.edges.total, self.edges.rows)
        going = _tallied(edges.keys // shown, None, edges.rows)
        onward = dict(zip(going.keys.tolist(), going.rows.tolist(), strict=True))
        nodes = [
            PathNode(at // shown, self.shown[at % shown], n, n - onward.get(at, 0))
            for at, n in zip(counts.keys.tolist(), counts.rows.tolist(), strict=True)
        ]
        lines = [
            PathEdge(key // shown**2, self.shown[key // shown % shown], self.shown[key % shown], n, ms / 1000 / n)
            for key, n, ms in zip(edges.keys.tolist(), edges.rows.tolist(), edges.total.tolist(), strict=True)
        ]
        nodes.sort(key=lambda node: (node.step, -node.count, node.name))
        lines.sort(key=lambda edge: (edge.step, -edge.count, edge.from_, edge.to))
        return PathGraph(self.sessions, self.seen, nodes, lines)


def finish(question: Paths, scope: Scope, parts: Sequence[list[Counted]]) -> PathsOutcome:
    """Put the shards together; keep the most frequent names of each column."""
    every = [one for part in parts for one in part]
    texts = sorted({text for part in parts for one in part[:1] for text in one.texts})
    if any(one.texts != texts for part in parts for one in part[:1]):
        place = {text: i for i, text in enumerate(texts)}
        every = [_renamed(one, np.array([place[text] for text in one.texts], np.int64), len(texts)) for one in every]
    nodes = _summed([one.nodes for one in every])
    folded, shown = _folded(nodes, texts, question.nodes_max)
    return PathsOutcome(
        texts,
        sum(one.sessions for one in every),
        sum(one.persons for one in every),
        nodes,
        _summed([one.edges for one in every]),
        [one.routes for one in every if one.routes is not None],
        folded,
        shown,
    )


def _renamed(one: Counted, place: Ints, size: int) -> Counted:
    """The same with the places of names among `size` texts."""
    old = len(one.texts)

    def node(keys: Ints) -> Ints:
        renamed: Ints = keys // old * size + place[keys % old]
        return renamed

    nodes = one.nodes._replace(keys=node(one.nodes.keys))
    edges = one.edges._replace(keys=node(one.edges.keys // old) * size + place[one.edges.keys % old])
    routes = None if one.routes is None else one.routes._replace(name=place[one.routes.name])
    return one._replace(nodes=nodes, edges=edges, routes=routes)


def _summed(parts: Sequence[Tally]) -> Tally:
    none = Tally(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    keys, rows, total = (np.concatenate(columns) for columns in zip(none, *parts, strict=True))
    return _tallied(keys, total, rows)


def _folded(nodes: Tally, texts: list[str], nodes_max: int) -> tuple[npt.NDArray[Any], list[str]]:
    """Node → the place of its name among those shown, and these: the names among the `nodes_max` most frequent of a
    column, and OTHER as the last."""
    size, columns = max(1, len(texts)), int(nodes.keys.max(initial=-1)) // max(1, len(texts)) + 1
    count = np.zeros(columns * size, np.int64)
    count[nodes.keys] = nodes.rows
    ranks = np.argsort(np.argsort(-count.reshape(columns, size), axis=1, kind="stable"), axis=1)
    shown = ranks < nodes_max
    used = np.flatnonzero(shown.any(axis=0))
    number = np.full(size, len(used), np.int64)
    number[used] = np.arange(len(used))
    return np.where(shown, number, len(used)).reshape(-1), [*(texts[i] for i in used.tolist() if i < len(texts)), OTHER]
