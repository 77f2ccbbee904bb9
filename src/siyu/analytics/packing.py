"""A row as one number: person, time and a small number beside each other, so that rows are sent and sorted as plain
numbers, several times faster than columns. Where the bits do not suffice a row travels as three columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siyu.analytics.columns import Bools, Ints, ints, sort_runs, sorted_together
from siyu.analytics.question import Interval
from siyu.analytics.scope import MILLIS

T = TypeVar("T")

_BITS: Final = 63
BLOCK_ROWS: Final = 65_536
THREADS: Final = 2
"""Blocks at once: numpy lets go of the interpreter while it counts."""


class Packing(NamedTuple):
    """How rows (person, milliseconds since `start`, a number of `low_bits` ≤ 32 bits, or none) travel."""

    start: int
    time_bits: int
    low_bits: int
    fits: bool
    spare: int
    """So many milliseconds at least the last time of a person is before the first of the next, as numbers."""

    def sql(self, person: str, low: str = "0") -> str:
        """The columns of the statement, given the SQL of the person and of the small number."""
        elapsed = f"({MILLIS} - {self.start})"
        if not self.fits:
            return f"toUInt32({person}) AS p, toUInt64{elapsed} AS k, toUInt32({low}) AS m"
        scales = 1 << (self.time_bits + self.low_bits), 1 << self.low_bits
        return f"toInt64({person}) * {scales[0]} + {elapsed} * {scales[1]} + ({low}) AS w"

    def read(self, table: pa.Table, beside: Ints | None = None) -> Sorted:
        """The rows of the statement in order of person, time, small number and, at last, of `beside`."""
        names = ("w",) if self.fits else ("p", "k", "m")
        columns = [ints(table, name) for name in names]
        if beside is not None:
            *columns, beside = sorted_together(*columns, beside)
        elif self.fits:
            sort_runs(columns[0])
        else:
            columns = list(sorted_together(*columns))
        return Sorted(self, tuple(columns), beside)


class Sorted(NamedTuple):
    """Rows in order, unpacked when asked for."""

    packing: Packing
    columns: tuple[Ints, ...]
    beside: Ints | None

    def blocks(self, size: int) -> Iterator[Sorted]:
        """The rows in pieces of about `size`, no person in two of them. Work on pieces stays in the processor's cache
        and in memory that is used again: columns of millions of rows are fresh memory each time."""
        column = self.columns[0]
        shift = self.packing.time_bits + self.packing.low_bits if self.packing.fits else 0
        low = 0
        while low < len(column):
            high = low + size
            if high < len(column):
                last = int(column[high]) >> shift
                high = int(np.searchsorted(column, last << shift))
                if high <= low:
                    high = int(np.searchsorted(column, (last + 1) << shift))
            columns = tuple(one[low:high] for one in self.columns)
            yield Sorted(self.packing, columns, None if self.beside is None else self.beside[low:high])
            low = high

    def take(self, rows: Ints) -> Sorted:
        """Only these rows, each at most once, in order."""
        if len(rows) == len(self.columns[0]):
            return self
        columns = tuple(column[rows] for column in self.columns)
        return Sorted(self.packing, columns, None if self.beside is None else self.beside[rows])

    @property
    def person(self) -> Ints:
        """The persons' numbers."""
        if not self.packing.fits:
            return self.columns[0]
        person: Ints = self.columns[0] >> (self.packing.time_bits + self.packing.low_bits)
        return person

    @property
    def elapsed(self) -> Ints:
        """Milliseconds since the start."""
        if not self.packing.fits:
            return self.columns[1]
        elapsed: Ints = (self.columns[0] >> self.packing.low_bits) & ((1 << self.packing.time_bits) - 1)
        return elapsed

    @property
    def low(self) -> npt.NDArray[Any]:
        """The small numbers."""
        if not self.packing.fits:
            return self.columns[2]
        return self.columns[0].astype(np.uint32) & np.uint32((1 << self.packing.low_bits) - 1)

    def beside_equal(self) -> Bools:
        """Which rows stand beside one of the same person and time."""
        again = np.zeros(len(self.columns[0]) + 1, bool)
        if self.packing.fits:
            again[1:-1] = (self.columns[0][1:] ^ self.columns[0][:-1]) < 1 << self.packing.low_bits
        else:
            person, elapsed, _ = self.columns
            again[1:-1] = (person[1:] == person[:-1]) & (elapsed[1:] == elapsed[:-1])
        return again[:-1] | again[1:]

    def begins(self, pause: int) -> Bools:
        """Where a person's rows begin, and those after a pause longer than `pause` milliseconds."""
        first = np.ones(len(self.columns[0]), bool)
        if self.packing.fits and self.packing.spare >= pause:
            word = self.columns[0] >> self.packing.low_bits
            first[1:] = word[1:] - word[:-1] > pause
        else:
            person, elapsed = self.person, self.elapsed
            first[1:] = (person[1:] != person[:-1]) | (elapsed[1:] - elapsed[:-1] > pause)
        return first

    def of_persons(self, persons: Ints) -> Bools:
        """Which rows are of these persons."""
        every = self.person
        inside = np.zeros(len(every), bool)
        bounds = np.searchsorted(every, persons), np.searchsorted(every, persons, side="right")
        for low, high in zip(*(bound.tolist() for bound in bounds), strict=True):
            inside[low:high] = True
        return inside


def in_blocks(rows: Sorted, work: Callable[[Sorted], T]) -> list[T]:
    """What `work` makes of each block, in their order; at least of one, be it empty."""
    if len(rows.columns[0]) <= BLOCK_ROWS:
        return [work(rows)]
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(work, rows.blocks(BLOCK_ROWS)))


def packing_of(span: Interval, low_bits: int, person_max: int, spare: int = 0) -> Packing:
    """Room for every row of a range. One bit stays free: persons may come while the question is asked."""
    length = span.end - span.start
    time_bits = (length + spare).bit_length()
    fits = time_bits + low_bits + person_max.bit_length() + 1 <= _BITS
    return Packing(span.start, time_bits, low_bits, fits, (1 << time_bits) - length)
