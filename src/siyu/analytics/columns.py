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
    return np.concatenate(chunks).astype(np.int64) if chunks else np.zeros(0, np.int64)


def floats(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column of numbers as they are."""
    chunks = [np.from_dlpack(chunk) for chunk in table[name].chunks if len(chunk)]
    return np.concatenate(chunks) if chunks else np.zeros(0)


def sorted_together(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Both columns of numbers ≥ 0, sorted by the first, then the second: as one number where that fits, which is
    several times faster than an argsort."""
    if not len(first):
        return first, second
    bits = int(second.max()).bit_length()
    if bits + int(first.max()).bit_length() > 63:
        order = np.lexsort((second, first))
        return first[order], second[order]
    key = np.sort((first << bits) | second)
    return key >> bits, key & ((1 << bits) - 1)


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
