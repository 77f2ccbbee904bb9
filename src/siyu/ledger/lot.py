"""Lots: which ones a spend takes, and in which order what it took is given back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

_NEVER: Final = datetime.max.replace(tzinfo=UTC)

PER_TRANSFER_MAX: Final = 1_024
"""Lots that one transfer can make: a lot's id is the transfer's times this, plus its place."""


class Lot(NamedTuple):
    """A part of an account that was earned together and ends together."""

    id: int
    account: int
    earned_at: datetime
    expires_at: datetime | None
    amount: int
    remaining: int

    def due(self, at: datetime) -> bool:
        """Whether it has ended by then."""
        return self.expires_at is not None and self.expires_at <= at


class Part(NamedTuple):
    """So many units of a lot."""

    lot: Lot
    amount: int


def spend_order(lot: Lot, account_place: int = 0) -> tuple[datetime, datetime, int, int]:
    """Earliest expiry first, then earliest earned, then the account named first."""
    return lot.expires_at or _NEVER, lot.earned_at, account_place, lot.id


def take(lots: Iterable[Lot], amount: int) -> list[Part]:
    """The first `amount` units of lots in the order given; less when they hold less."""
    parts = []
    for lot in lots:
        if amount <= 0:
            break
        if used := min(lot.remaining, amount):
            parts.append(Part(lot, used))
            amount -= used
    return parts


def give_back(taken: Sequence[Part], amount: int) -> list[Part]:
    """`amount` of what was taken, the last taken first; less when less was taken."""
    parts = []
    for lot, used in sorted(taken, key=lambda part: spend_order(part.lot), reverse=True):
        if amount <= 0:
            break
        if back := min(used, amount):
            parts.append(Part(lot, back))
            amount -= back
    return parts
