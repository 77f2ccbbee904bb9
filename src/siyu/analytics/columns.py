"""Columns of whole numbers: sorting two as one, numbering, walking runs."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

_LOOK: Final = 65_536
"""Rows compared at once: few enough that it needs no fresh memory."""
_RUN_MIN: Final = 64
"""Rows of a run, on the average, from which on joining runs is quicker."""


def ints(table: pa.Table, name: str) -> Ints:
    """A column of whole numbers."""
    return floats(table, name).astype(np.int64, copy=False)


def floats(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column of numbers as they are."""
    column = table[name]
    if pa.types.is_dictionary(column.type):  # what the engine makes of a condition that is never or always true
        column = column.cast(column.type.value_type)
    chunks = [np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)]  # to_numpy would import pandas
    return np.concatenate(chunks) if chunks else np.zeros(0)


def sort_runs(column: Ints) -> None:
    """Sort in place. The event store tells rows in runs that are sorted already, as many as it has parts and merged
    identifiers; a sort that joins runs takes a tenth of the time of one that does not look at them, unless they are
    short."""
    falls = sum(
        int(np.count_nonzero(column[low + 1 : low + _LOOK + 1] < column[low : low + _LOOK][: len(column) - low - 1]))
        for low in range(0, len(column), _LOOK)
    )
    column.sort(kind="stable" if falls < len(column) // _RUN_MIN else None)


def sorted_together(*columns: Ints) -> tuple[Ints, ...]:
    """Columns of numbers ≥ 0, sorted by the first, then the second and so on: as one number where that fits into 63
    bits, which is several times faster than sorting places."""
    if not len(columns[0]):
        return columns
    bits = [max(1, int(column.max()).bit_length()) for column in columns]
    if sum(bits) > 63:
        order = np.lexsort(columns[::-1])
        return tuple(column[order] for column in columns)
    key = columns[0].copy()  # then in place: most of the time goes into fresh memory
    for column, width in zip(columns[1:], bits[1:], strict=True):
        key <<= width
        key |= column
    sort_runs(key)
    found = []
    for width in bits[:0:-1]:
        found.append(key & ((1 << width) - 1))
        key >>= width
    return (key, *found[::-1])


def firsts(values: Ints) -> Bools:
    """True where a run of equal values begins."""
    first = np.ones(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    return first


def next_hits(hits: Bools, rows: Ints) -> Ints:
    """For each of `rows` (0 … len(hits)) the first row from it on that is hit; len(hits) when there is none."""
    places = np.append(np.flatnonzero(hits), len(hits))
    before = np.zeros(len(hits) + 1, np.int64)
    np.cumsum(hits, out=before[1:])
    found: Ints = places[before[rows]]
    return found


def greatest(values: Ints, owner: Ints, least: Ints) -> None:
    """Raise `least[o]` to the greatest of the values of owner o; owners ascend."""
    starts = np.flatnonzero(firsts(owner))
    if len(starts):
        owners = owner[starts]
        least[owners] = np.maximum(least[owners], np.maximum.reduceat(values, starts))
