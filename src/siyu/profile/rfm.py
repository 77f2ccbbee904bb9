"""RFM: how recently, how often, for how much a person bought, and the scores 1 to 5 against all buyers. Pure.

A score is a function of the value alone: 1 + the number of cut points below it. So equal values always get
equal scores, however many persons share them.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import date
from typing import Final, NamedTuple

SCORES: Final = 5


class Rfm(NamedTuple):
    """Figures of one person; scores are None until there is a population to compare with, or without a purchase."""

    recency_days: int | None
    """Whole days from the last purchase's local day to today's; None without a purchase."""
    frequency: int
    """Different local days with a purchase, ever. Refunds do not lower it."""
    monetary_fen: int
    """Purchases minus refunds, ever, in fen."""
    r: int | None
    f: int | None
    m: int | None


class Cuts(NamedTuple):
    """The 20, 40, 60 and 80 % points of all buyers from the worst up (so the days of recency fall), each a value that
    occurs; empty where there are no buyers."""

    recency_days: tuple[int, ...]
    frequency: tuple[int, ...]
    monetary_fen: tuple[int, ...]
    recency_day: date | None
    """The day on which recency was measured: older cut points age with the calendar."""


NO_CUTS: Final = Cuts((), (), (), None)


def rfm(last_day: date | None, frequency: int, monetary_fen: int, today: date, cuts: Cuts = NO_CUTS) -> Rfm:
    """Figures and scores of a person on `today` (local). The most recent, most frequent, dearest fifth scores 5."""
    if last_day is None:
        return Rfm(None, frequency, monetary_fen, None, None, None)
    recency = max(0, (today - last_day).days)
    if cuts.recency_day is None or not cuts.recency_days:  # made before anybody bought
        return Rfm(recency, frequency, monetary_fen, None, None, None)
    drift = (today - cuts.recency_day).days
    return Rfm(
        recency,
        frequency,
        monetary_fen,
        1 + sum(recency < cut + drift for cut in cuts.recency_days),
        1 + bisect_left(cuts.frequency, frequency),
        1 + bisect_left(cuts.monetary_fen, monetary_fen),
    )
