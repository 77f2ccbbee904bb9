"""Who was there in which period: the common ground of retention, lifecycle and stickiness.

Rows say "unit u was there in period i", any number of times. Blocks of units are laid out as boolean matrices
(units x periods), small enough to stay in memory however many persons there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from siyu.analytics.columns import Ints

Matrix: TypeAlias = npt.NDArray[np.bool_]

CELLS_MAX: Final = 50_000_000
"""Cells of one matrix: 50 MB."""


class Presence(NamedTuple):
    """Rows (unit, period) in any order."""

    unit: Ints
    period: Ints
    units: int
    periods: int

    def where(self, rows: npt.NDArray[np.bool_]) -> Presence:
        """Only these rows."""
        return Presence(self.unit[rows], self.period[rows], self.units, self.periods)

    def block(self, low: int, high: int) -> Matrix:
        """The matrix of units [low, high)."""
        matrix = np.zeros((high - low, self.periods), bool)
        if high - low == self.units:
            matrix.reshape(-1)[self.unit * self.periods + self.period] = True
        else:
            mine = (self.unit >= low) & (self.unit < high)
            matrix[self.unit[mine] - low, self.period[mine]] = True
        return matrix

    def distinct(self) -> Presence:
        """The same with each row once, so that what is kept grows with units and periods, not with events."""
        units, periods = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for low, high in blocks(self.units, self.periods):
            unit, period = np.nonzero(self.block(low, high))
            units.append(unit + low)
            periods.append(period)
        return self._replace(unit=np.concatenate(units), period=np.concatenate(periods))

    def units_in(self, period: int) -> Ints:
        """The units that were there in a period, ascending."""
        return np.unique(self.unit[self.period == period])


def blocks(units: int, periods: int) -> Iterator[tuple[int, int]]:
    """Ranges of units whose matrix has at most CELLS_MAX cells."""
    size = max(1, CELLS_MAX // max(1, periods))
    for low in range(0, units, size):
        yield low, min(units, low + size)


def numbered(person: Ints) -> tuple[Ints, Ints]:
    """The different numbers ascending, and for each row the place of its number among them."""
    if not len(person):
        return person, person
    top = int(person.max())
    if top > 4 * len(person) + 1_000_000:
        different, place = np.unique(person, return_inverse=True)
        return different, place.astype(np.int64)
    seen = np.zeros(top + 1, bool)
    seen[person] = True
    different = np.flatnonzero(seen)
    places = np.cumsum(seen) - 1
    return different, places[person]
