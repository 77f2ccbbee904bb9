"""The registry of identifiers: each gets one dense number (anchor) for ever.

Registration is insert-only and harmless to repeat, so the processor commits it before anything else of a batch:
what ClickHouse stores refers only to numbers that are durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from siyu.identity import records
from siyu.ids import identifier_digest, split_key

DAY_MS = 86_400_000
_REMEMBERED_MAX = 4_000_000
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

    @property
    def erased_ms(self) -> dict[str, int]:
        """Erased identifiers met so far → the instant before which nothing of theirs comes back."""
        return self._erased_ms

    def forget(self) -> None:
        """Drop what is remembered: a transaction that registered something did not commit."""
        self._anchor.clear()
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
        find = self._anchor.get
        found = [find(key, 0) for key in seen.keys]
        anchors = np.array(found, np.int64)
        unknown = np.flatnonzero(anchors == 0)
        if len(unknown):
            anchors[unknown] = await self._introduce(connection, seen, unknown.tolist())
        await self._widen(connection, seen, anchors)
        return anchors.astype(np.uint32)

    async def _introduce(self, connection: Any, seen: Sightings, places: list[int]) -> list[int]:
        """Anchors for keys this process does not know: read, else insert, else (lost a race) read again."""
        uids = {identifier_digest(seen.keys[i], self._secret): i for i in places}
        erased = await records.find_tombstones(connection, list(uids)) if self._tombstone_seq else []
        for uid, erased_at in erased:
            self._erased_ms[seen.keys[uids[uid]]] = int(erased_at.timestamp() * 1000)
        known = await records.find_identifiers(connection, list(uids))
        missing = [
            uid
            for uid, i in uids.items()
            if uid not in known and seen.high_ms[i] > self._erased_ms.get(seen.keys[i], -1)
        ]
        if missing:
            known |= await self._insert(connection, seen, [(uid, uids[uid]) for uid in missing])
        numbers = []
        for uid, i in uids.items():
            if row := known.get(uid):
                anchor, first_ms, last_ms = row
                self._remember(seen.keys[i], anchor, first_ms, last_ms // DAY_MS)
                numbers.append(anchor)
            else:
                numbers.append(_ERASED)
        return numbers

    async def _insert(
        self, connection: Any, seen: Sightings, new: Sequence[tuple[bytes, int]]
    ) -> dict[bytes, tuple[int, int, int]]:
        rows = []
        for uid, i in new:
            kind, value = split_key(seen.keys[i])
            low = max(int(seen.low_ms[i]), self._erased_ms.get(seen.keys[i], -1) + 1)
            rows.append((uid, kind, value, instant(low), instant(int(seen.high_ms[i])), seen.sources[i]))
        # One order for all processors, so that two of them never wait for each other in a circle.
        rows.sort(key=lambda row: row[0])
        await records.insert_identifiers(connection, rows)
        return await records.find_identifiers(connection, [row[0] for row in rows])

    def _remember(self, key: str, anchor: int, first_ms: int, last_day: int) -> None:
        if anchor >= len(self._first_ms):
            size = max(anchor + 1, 2 * len(self._first_ms))
            self._first_ms = np.resize(self._first_ms, size)
            self._last_day = np.resize(self._last_day, size)
        self._anchor[key] = anchor
        self._first_ms[anchor] = first_ms
        self._last_day[anchor] = last_day

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


def instant(ms: int) -> datetime:
    """Epoch milliseconds → aware UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
