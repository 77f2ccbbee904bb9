"""Rows turned on their side: cells are read column by column, and what a cell says is remembered.

The cells of a column repeat, so most of them cost one look-up in a dict instead of a parser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from siyu.importer.cells import BadCell, Reader, guessed
from siyu.importer.mapping import Column, Mapping
from siyu.importer.reading import MissingColumn, Row

MISSING: Final = object()
"""What an empty cell says."""
_MEMO_MAX: Final = 50_000


class Bad:
    """The rows of a chunk that cannot be used: place → first reason."""

    def __init__(self) -> None:
        self.reasons: dict[int, str] = {}

    def add(self, place: int, reason: str) -> None:
        """The first reason stays."""
        self.reasons.setdefault(place, reason)


class Chunk:
    """Some rows of one file."""

    def __init__(self, rows: Sequence[Row], columnar: bool) -> None:
        self.rows = rows
        self.values = [row.values for row in rows]
        self.columns: list[Sequence[Any]] = list(zip(*self.values, strict=True)) if columnar else []

    def __len__(self) -> int:
        return len(self.rows)


class Cells(Protocol):
    """Gives what one column says, row by row; `MISSING` where it says nothing."""

    def __call__(self, chunk: Chunk, bad: Bad) -> list[Any]: ...


class FileColumns:
    """Finds columns by name, in lists (CSV, Parquet) or in dicts (NDJSON: a dotted name is a path)."""

    def __init__(self, names: list[str] | None, mapping: Mapping) -> None:
        self._names = names
        self._empty = frozenset(mapping.file.empty)
        self._used: set[str] = set()

    def cells(self, column: Column | None, read: Reader, optional: bool = False) -> Cells | None:
        """None when an optional column is not there. Raises MissingColumn."""
        if column is None:
            return None
        wanted = [column] if isinstance(column, str) else column
        if self._names is None:
            self._used.update(wanted)
            return _Remembering(_by_path([(name, name.split(".")) for name in wanted]), read, self._empty)
        found = next((name for name in wanted if name in self._names), None)
        if found is not None:
            self._used.add(found)
            return _Remembering(_by_place(self._names.index(found)), read, self._empty)
        if optional:
            return None
        raise self.missing(wanted)

    def missing(self, wanted: list[str]) -> MissingColumn:
        """The error to raise."""
        said = " / ".join(map(repr, wanted))
        return MissingColumn(f"The file has no column {said}; its columns are: {', '.join(self._names or [])}.")

    def rest(self) -> Callable[[Any], dict[str, Any]]:
        """What a row's values say in columns that no cells were made for. To be called last."""
        used, empty = frozenset(self._used), self._empty
        if self._names is None:
            return lambda values: {
                name: cell for name, cell in values.items() if name not in used and _stated(cell, empty)
            }
        places = [(name, place) for place, name in enumerate(self._names) if name not in used]
        return lambda values: {name: guessed(values[place]) for name, place in places if _stated(values[place], empty)}


def _stated(cell: Any, empty: frozenset[str]) -> bool:
    return cell is not None and not (isinstance(cell, str) and cell.strip() in empty)


class _Remembering:
    """`Cells` of one column."""

    def __init__(self, take: Callable[[Chunk], Sequence[Any]], read: Reader, empty: frozenset[str]) -> None:
        self._take = take
        self._read = read
        self._empty = empty
        self._memo: dict[Any, Any] = {}
        self._met_bad = False

    def __call__(self, chunk: Chunk, bad: Bad) -> list[Any]:
        """What the column says, row by row; bad cells are added to `bad`."""
        column, memo = self._take(chunk), self._memo
        if len(memo) > _MEMO_MAX:
            memo.clear()
        try:
            for raw in set(column) - memo.keys():
                memo[raw] = self._say(raw)
            said = list(map(memo.__getitem__, column))
        except TypeError:  # lists and objects inside NDJSON or Parquet cannot be looked up
            said = list(map(self._say, column))
        if self._met_bad:
            for place, value in enumerate(said):
                if value.__class__ is BadCell:
                    bad.add(place, str(value))
        return said

    def _say(self, raw: Any) -> Any:
        if not _stated(raw, self._empty):
            return MISSING
        try:
            return self._read(raw)
        except BadCell as error:
            self._met_bad = True
            return error


def _by_place(place: int) -> Callable[[Chunk], Sequence[Any]]:
    return lambda chunk: chunk.columns[place]


def _by_path(names: list[tuple[str, list[str]]]) -> Callable[[Chunk], Sequence[Any]]:
    """Of several names the first that says something."""

    def get(values: Any) -> Any:
        for name, path in names:
            cell = values.get(name)
            if cell is None and len(path) > 1:
                cell = values
                for step in path:
                    cell = cell.get(step) if isinstance(cell, dict) else None
            if cell is not None:
                return cell
        return None

    return lambda chunk: list(map(get, chunk.values))
