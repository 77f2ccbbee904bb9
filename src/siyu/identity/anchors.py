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

from siyu.ids import identifier_uid, split_key

_DAY_MS = 86_400_000

_FIND = """
SELECT k.n, i.id, i.first_seen, i.last_seen
FROM unnest($1::uuid[]) WITH ORDINALITY k(uid, n) JOIN identifiers i USING (uid)
"""
_ADD = """
INSERT INTO identifiers (id, uid, kind, value, first_seen, last_seen, source)
SELECT nextval('anchor_numbers'), * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[])
ON CONFLICT (uid) DO NOTHING
RETURNING id, uid
"""
_SEEN = """
UPDATE identifiers i
SET first_seen = least(i.first_seen, s.low), last_seen = greatest(i.last_seen, s.high),
    source = CASE WHEN s.low < i.first_seen OR (s.low = i.first_seen AND s.source < i.source) THEN s.source ELSE i.source END
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::text[]) s(id, low, high, source)
WHERE i.id = s.id
"""


class Sightings(NamedTuple):
    """The distinct identifiers of a batch and when they were seen, columns of equal length."""

    keys: list[str]
    low_ms: npt.NDArray[np.int64]
    high_ms: npt.NDArray[np.int64]
    sources: list[str]
    """The source of the earliest sighting."""


class AnchorRegistry:
    """Numbers of identifiers, remembered in this process (≈ 150 bytes each, at most `remembered_max`)."""

    def __init__(self, secret: bytes, remembered_max: int = 4_000_000) -> None:
        self._secret = secret
        self._remembered_max = remembered_max
        self._anchor: dict[str, int] = {}
        self._first: dict[int, int] = {}
        self._last_day: dict[int, int] = {}

    def forget(self) -> None:
        """Drop what is remembered (after an erasure, or when it grew too large)."""
        self._anchor.clear()
        self._first.clear()
        self._last_day.clear()
