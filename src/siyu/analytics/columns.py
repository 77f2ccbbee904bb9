"""Columns of whole numbers: sorting two as one, numbering, walking runs."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]


def ints(table: pa.Table, name: str) -> Ints:
    """A column of whole numbers."""
    chunks = [np.from_dlpack(chunk) for chunk in table[name].chunks if len(chunk)]  # to_numpy would import pandas
    return np.concatenate(chunks).astype(np.int64, copy=False) if chunks else np.zeros(0, np.int64)


def floats(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column of numbers as they are."""
    chunks = [np.from_dlpack(chunk) for chunk in table[name].chunks if len(chunk)]
    return np.concatenate(chunks) if chunks else np.zeros(0)


def sorted_together(*columns: Ints) -> tuple[Ints, ...]:
    """Columns of numbers ≥ 0, sorted by the first, then the second and so on: as one number where that fits into 63
    bits, which is several times faster than sorting places."""
    if not len(columns[0]):
        return columns
    bits = [max(1, int(column.max()).bit_length()) for column in columns]
    if sum(bits) > 63:
        order = np.lexsort(columns[::-1])
        return tuple(column[order] for column in columns)
    key = columns[0]
    for column, width in zip(columns[1:], bits[1:], strict=True):
        key = (key << width) | column
    key = np.sort(key)
    found = []
    for width in bits[:0:-1]:
        found.append(key & ((1 << width) - 1))
        key = key >> width
    return (key, *found[::-1])


def firsts(values: Ints) -> Bools:
    """True where a run of equal values begins."""
    first = np.ones(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    return first


def next_row(hits: Bools) -> Ints:
    """For each row, and one past the end, the first row from it on that is hit; len(hits) when there is none."""
    size = len(hits)
    rows = np.where(hits, np.arange(size), size)
    found = np.minimum.accumulate(rows[::-1])[::-1] if size else rows
    return np.append(found, size)
