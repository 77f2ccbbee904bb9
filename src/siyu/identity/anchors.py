"""The registry of identifiers: each gets one dense number (anchor) for ever.

Registration is insert-only and harmless to repeat, so the processor commits it before anything else of a batch:
what ClickHouse stores refers only to numbers that are durable.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from asyncpg.exceptions import UniqueViolationError

from siyu.errors import Busy
from siyu.identity import records
from siyu.ids import identifier_digests

DAY_MS = 86_400_000
_REMEMBERED_MAX = 4_000_000
_ATTEMPTS_MAX = 5
_ERASED = 0
"""Anchor of an identifier that may not be registered: all its events precede its erasure."""

Int64s = npt.NDArray[np.int64]
Anchors = npt.NDArray[np.uint32]


class Sightings(NamedTuple):
    """The distinct identifiers of a batch and the span in which they were seen; columns of equal length."""

    keys: list[str]
    low_ms: Int64s
    high_ms: Int64s
    sources: list[str]
    """Write key of the earliest sighting."""


class AnchorRegistry:
    """Numbers of identifiers, remembered in this process (about 200 bytes each)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._anchor: dict[str, int] = {}
        self._first_ms = np.zeros(1 << 16, np.int64)
        self._last_day = np.zeros(1 << 16, np.int64)
        self._erased_ms: dict[str, int] = {}
        self._tombstone_seq = 0
        self._surely_new = False
        """The last look at the table found none of the keys asked for: the next ones are added without looking."""

    @property
    def erased_ms(self) -> dict[str, int]:
        """Erased identifiers met so far → the instant before which nothing of theirs comes back."""
        return self._erased_ms

    def forget(self) -> None:
        """Drop what is remembered: a transaction that registered something did not commit."""
        self._anchor.clear()
        self._surely_new = False
        self._erased_ms.clear()
        self._tombstone_seq = 0

    async def notice_erasures(self, connection: Any) -> bool:
        """Forget everything remembered when somebody was erased since the last call; True when so."""
        seq = await records.last_tombstone(connection)
        if seq == self._tombstone_seq:
            return False
        self.forget()
        self._tombstone_seq = seq
        return True

    async def register(self, connection: Any, seen: Sightings) -> Anchors:
        """The anchors of `seen.keys`, registering new ones and widening their first/last day.

        0 stands for an identifier that was erased and seen only before that. Runs in the caller's transaction."""
        if len(self._anchor) > _REMEMBERED_MAX:
            self._anchor.clear()
            self._surely_new = False
        find = self._anchor.get
        anchors = np.array([find(key, 0) for key in seen.keys], np.int64)
        unknown = np.flatnonzero(anchors == 0)
        if len(unknown):
            anchors[unknown] = await self._introduce(connection, _some(seen, unknown))
        await self._widen(connection, seen, anchors)
        return anchors.astype(np.uint32)

    async def _introduce(self, connection: Any, seen: Sightings) -> Int64s:
        """Anchors of keys this process does not know: found in the table, or added to it; 0 = erased and not seen
        since."""
        uids = identifier_digests(seen.keys, self._secret)
        until = await self._erased_until(connection, seen.keys, uids)
        low, numbers = np.maximum(seen.low_ms, until + 1), np.zeros(len(uids), np.int64)
        # Of whom something is only said (a message was sent to them) the first that was said is all there is.
        high = np.maximum(low, seen.high_ms)
        first = low.copy()
        for _ in range(_ATTEMPTS_MAX):
            if not self._surely_new:
                found = await records.find_identifiers(connection, uids)
                for place, anchor, first_ms, last_ms in found:
                    numbers[place], first[place], high[place] = anchor, first_ms, last_ms
                self._surely_new = not found
            # One order for all processors, so that two of them never wait for each other in a circle.
            new = sorted(np.flatnonzero((numbers == 0) & (seen.high_ms > until)).tolist(), key=uids.__getitem__)
            try:
                if new:
                    numbers[new] = await _add(connection, seen, uids, low, new)
                break
            except UniqueViolationError:
                self._surely_new = False
        else:
            raise Busy("Other processors register the same identifiers.", retry_after_s=1)
        self._remember(seen.keys, numbers, first, high // DAY_MS)
        return numbers

    async def _erased_until(self, connection: Any, keys: list[str], uids: list[bytes]) -> Int64s:
        """When each of the keys was erased, epoch ms; -1 = never."""
        until = np.full(len(keys), -1, np.int64)
        if not self._tombstone_seq:
            return until
        for place, erased_at in await records.find_tombstones(connection, uids):
            until[place] = self._erased_ms[keys[place]] = int(erased_at.timestamp() * 1000)
        return until

    def _remember(self, keys: list[str], numbers: Int64s, first_ms: Int64s, last_day: Int64s) -> None:
        top = int(numbers.max())
        if top >= len(self._first_ms):
            size = max(top + 1, 2 * len(self._first_ms))
            self._first_ms = np.resize(self._first_ms, size)
            self._last_day = np.resize(self._last_day, size)
        real = numbers != _ERASED
        self._first_ms[numbers[real]], self._last_day[numbers[real]] = first_ms[real], last_day[real]
        self._anchor.update(
            zip(keys, numbers.tolist(), strict=True)
            if real.all()
            else ((key, number) for key, number in zip(keys, numbers.tolist(), strict=True) if number != _ERASED)
        )

    async def _widen(self, connection: Any, seen: Sightings, anchors: Int64s) -> None:
        """Earlier first_seen exactly; later last_seen only from a later day, which spares a write per event."""
        earlier = seen.low_ms < self._first_ms[anchors]
        later = seen.high_ms // DAY_MS > self._last_day[anchors]
        places = np.flatnonzero((earlier | later) & (anchors != _ERASED))
        if not len(places):
            return
        touched = anchors[places]
        self._first_ms[touched] = np.minimum(self._first_ms[touched], seen.low_ms[places])
        self._last_day[touched] = np.maximum(self._last_day[touched], seen.high_ms[places] // DAY_MS)
        rows = sorted(
            (int(anchors[i]), instant(int(seen.low_ms[i])), instant(int(seen.high_ms[i])), seen.sources[i])
            for i in places.tolist()
        )
        await records.widen_identifiers(connection, rows)


async def _add(connection: Any, seen: Sightings, uids: list[bytes], low_ms: Int64s, places: list[int]) -> list[int]:
    """Add the identifiers at `places`; their anchors. Raises UniqueViolationError, and then has added none."""
    rows = records.NewIdentifiers(
        [uids[i] for i in places],
        [seen.keys[i] for i in places],
        low_ms[places].tolist(),
        np.maximum(low_ms[places], seen.high_ms[places]).tolist(),
        [seen.sources[i] for i in places],
    )
    async with connection.transaction():
        return await records.add_identifiers(connection, rows)


def _some(seen: Sightings, places: npt.NDArray[np.intp]) -> Sightings:
    if len(places) == len(seen.keys):
        return seen
    chosen = places.tolist()
    keys, sources = [seen.keys[i] for i in chosen], [seen.sources[i] for i in chosen]
    return Sightings(keys, seen.low_ms[places], seen.high_ms[places], sources)


def instant(ms: int) -> datetime:
    """Epoch milliseconds → aware UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
