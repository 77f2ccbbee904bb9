"""What a process remembers of pairs of identifiers, so that a sighting that changes nothing costs nanoseconds. Pure.

Most identifiers are only ever seen with one stronger one: that is 12 bytes each in two arrays indexed by anchor.
The few others have their quiet spans in a dictionary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from siyu.identity.contention import Intervals
from siyu.identity.resolution import END

_SHARED_MAX: Final = 1_000_000
"""Pairs in the dictionary, about 200 bytes each; beyond, it is emptied and learned again."""


class PairMemory:
    """Known pairs and when a further sighting of them is quiet (contention.quiet)."""

    def __init__(self) -> None:
        self._partner = np.zeros(1 << 16, np.uint32)
        self._from_ms = np.zeros(1 << 16, np.int64)
        self._shared: dict[int, dict[int, Intervals]] = {}
        self._shared_count = 0

    def unsettled(
        self, owner: npt.NDArray[np.uint32], other: npt.NDArray[np.uint32], at_ms: npt.NDArray[np.int64]
    ) -> list[int]:
        """Places of the sightings that may change something."""
        if not len(other):
            return []
        self._reach(int(other.max()))
        quiet = (self._partner[other] == owner) & (at_ms >= self._from_ms[other])
        places: list[int] = np.flatnonzero(~quiet).tolist()
        if not self._shared:
            return places
        return [
            place for place in places if not self._is_quiet(int(owner[place]), int(other[place]), int(at_ms[place]))
        ]

    def _is_quiet(self, owner: int, other: int, at_ms: int) -> bool:
        intervals = self._shared.get(other, {}).get(owner, ())
        return any(start <= at_ms < end for start, end in intervals)

    def learn(self, owner: int, other: int, quiet: Intervals) -> None:
        """Remember when sightings of this pair are quiet."""
        self._reach(other)
        partner = int(self._partner[other])
        plain = len(quiet) == 1 and quiet[0][1] == END
        if plain and partner in {0, owner}:
            self._partner[other], self._from_ms[other] = owner, quiet[0][0]
            if other in self._shared:
                self._shared[other].pop(owner, None)
            return
        if partner == owner:
            self._partner[other] = 0
        if self._shared_count >= _SHARED_MAX:
            self._shared.clear()
            self._shared_count = 0
        self._shared.setdefault(other, {})[owner] = quiet
        self._shared_count += 1

    def knows(self, owner: int, other: int) -> bool:
        """Whether something is remembered of this pair."""
        return owner in self._shared.get(other, {}) or (
            other < len(self._partner) and int(self._partner[other]) == owner
        )

    def forget(self, others: Iterable[int]) -> None:
        """Drop what is remembered of pairs whose weaker end is one of these."""
        for other in others:
            self._shared.pop(other, None)
            if other < len(self._partner):
                self._partner[other] = 0

    def _reach(self, anchor: int) -> None:
        if anchor >= len(self._partner):
            size = max(anchor + 1, 2 * len(self._partner))
            self._partner = np.concatenate([self._partner, np.zeros(size - len(self._partner), np.uint32)])
            self._from_ms = np.concatenate([self._from_ms, np.zeros(size - len(self._from_ms), np.int64)])
