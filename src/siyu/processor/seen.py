"""Which events were stored already: exact, by 64-bit hashes kept per UTC day of the event.

A sender that repeats an event repeats its time of happening, so only its day and the neighbours are looked at.
Hashes of a day are read from ClickHouse when the day is first met and kept as sorted runs (8 bytes an event).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Loader = Callable[[list[int]], Awaitable[dict[int, Hashes]]]
"""Reads the hashes stored for some days (days since 1970)."""

_RUNS_MAX = 6


class _Day:
    """Hashes of one day as a few sorted runs, each at least twice the next, so that adding stays cheap."""

    def __init__(self, stored: Hashes) -> None:
        self.runs: list[Hashes] = [np.sort(stored)] if len(stored) else []

    def holds(self, sorted_hashes: Hashes) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(sorted_hashes), np.bool_)
        for run in self.runs:
            place = np.searchsorted(run, sorted_hashes)
            place[place == len(run)] = 0
            found |= run[place] == sorted_hashes
        return found

    def add(self, sorted_hashes: Hashes) -> None:
        self.runs.append(sorted_hashes)
        while len(self.runs) > 1 and (len(self.runs) > _RUNS_MAX or len(self.runs[-2]) < 2 * len(self.runs[-1])):
            merged = np.concatenate([self.runs.pop(), self.runs.pop()])
            merged.sort(kind="stable")
            self.runs.append(merged)

    def __len__(self) -> int:
        return sum(len(run) for run in self.runs)


class Seen:
    """The memory of one processor; at most `hashes_max` hashes (least recently used days leave first)."""

    def __init__(self, load: Loader, hashes_max: int = 60_000_000) -> None:
        self._load = load
        self._hashes_max = hashes_max
        self._days: OrderedDict[int, _Day] = OrderedDict()

    async def first_sightings(self, hashes: Hashes, days: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which rows of a batch are new: not stored before and not a repeat inside the batch. Remembers them."""
        order = np.argsort(hashes, kind="stable")
        ordered, ordered_days = hashes[order], days[order]
        fresh = np.ones(len(hashes), np.bool_)
        fresh[1:] = ordered[1:] != ordered[:-1]
        present = np.unique(days).tolist()
        await self._ensure(sorted({day + step for day in present for step in (-1, 0, 1)}))
        for day in present:
            rows = np.flatnonzero(ordered_days == day) if len(present) > 1 else slice(None)
            mine = ordered[rows]
            for step in (-1, 0, 1):
                fresh[rows] &= ~self._days[day + step].holds(mine)
        for day in present:
            added = ordered[fresh & (ordered_days == day)]
            if len(added):
                self._days[day].add(added)
        result = np.empty(len(hashes), np.bool_)
        result[order] = fresh
        self._shrink(keep=present)
        return result

    async def _ensure(self, days: list[int]) -> None:
        missing = [day for day in days if day not in self._days]
        if missing:
            stored = await self._load(missing)
            for day in missing:
                self._days[day] = _Day(stored.get(day, np.empty(0, np.uint64)))
        for day in days:
            self._days.move_to_end(day)

    def _shrink(self, keep: Iterable[int]) -> None:
        kept = set(keep)
        total = sum(len(day) for day in self._days.values())
        for day in list(self._days):
            if total <= self._hashes_max:
                return
            if day not in kept:
                total -= len(self._days.pop(day))
