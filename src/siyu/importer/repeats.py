"""How often a row's content stood in the file before: exact up to 64-bit hashes, 8 bytes a row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


class Repeats:
    """Counts equal rows in the order of the file.

    Nearly all rows of a real file are unique, so hashes are kept as a few sorted runs (a dict would take 100 bytes a
    row) and only repeated ones are counted."""

    def __init__(self) -> None:
        self._runs: list[Hashes] = []
        self._counts: dict[int, int] = {}
        """hash → rows seen, for hashes seen at least twice."""

    def ordinals(self, hashes: Hashes) -> list[int]:
        """For each row of the next chunk: 0 for the first of its content, 1 for the second, and so on."""
        result = [0] * len(hashes)
        distinct, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        known = np.zeros(len(distinct), np.bool_)
        for run in self._runs:
            place = np.searchsorted(run, distinct)
            place[place == len(run)] = 0
            known |= run[place] == distinct
        for row in np.flatnonzero((known | (counts > 1))[inverse]).tolist():
            value = int(hashes[row])
            before = self._counts.get(value)
            if before is None:
                before = int(known[inverse[row]])
            result[row] = before
            self._counts[value] = before + 1
        self._add(distinct[~known])
        return result

    def _add(self, distinct: Hashes) -> None:
        if len(distinct) == 0:
            return
        self._runs.append(distinct)
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort(kind="stable")
            self._runs.append(merged)
