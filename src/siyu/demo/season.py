"""When people of the demo shop: days of sale, weekends, hours of the day. Local time, Asia/Shanghai. Pure."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DAYS: Final = 180
ENCORE_DAYS: Final = 28
"""After the period its last four weeks of visits come again and again."""

_PEAKS: Final = (
    (6, 18, 3.4), (6, 17, 2.2), (6, 16, 1.7), (6, 1, 1.8), (8, 18, 1.5), (9, 9, 1.5),
    (11, 11, 3.8), (11, 10, 2.0), (11, 1, 1.6), (12, 12, 2.2), (1, 15, 1.8), (3, 8, 1.8), (5, 20, 1.7),
)  # fmt: skip
"""(month, day, how many times a plain day)"""
_WEEKDAYS: Final = (0.93, 0.9, 0.92, 0.95, 1.05, 1.28, 1.22)
_HOURS: Final = (
    1.0, 0.5, 0.25, 0.15, 0.15, 0.3, 0.8, 1.6, 2.2, 2.6, 2.9, 3.1, 3.9, 3.2, 2.7, 2.7, 2.8, 3.0, 3.4, 4.3, 5.6, 6.4,
    5.2, 2.6,
)  # fmt: skip


def first_day(end: date) -> date:
    """The first local day of a period that ends with the day `end`."""
    return end - timedelta(days=DAYS - 1)


def day_weights(end: date) -> Floats:
    """How busy each day of the period is, mean about 1."""
    start = first_day(end)
    peaks = {(month, day): factor for month, day, factor in _PEAKS}
    days = [start + timedelta(days=offset) for offset in range(DAYS)]
    return np.array([_WEEKDAYS[day.weekday()] * peaks.get((day.month, day.day), 1.0) for day in days])


def hour_parts() -> Floats:
    """How a day's visits spread over its 24 hours; sums to 1."""
    hours = np.array(_HOURS)
    parts: Floats = hours / hours.sum()
    return parts
