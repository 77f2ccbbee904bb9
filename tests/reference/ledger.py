"""A slow, obvious ledger of points: dictionaries and lists, no SQL. Stateful tests hold the real one against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Units:
    """Points that were earned together and end together."""

    holder: str
    earned_at: datetime
    expires_at: datetime
    left: int
    born: int
    """Order of creation: the last tie-breaker."""


@dataclass
class Hold:
    """Points set aside, and the lots they came from."""

    number: int
    kind: str
    """`earn`: they come; `spend`: they go."""
    holder: str
    ends_at: datetime
    waiting: int
    taken: list[tuple[Units, int]] = field(default_factory=list)
    used: int = 0


@dataclass
class Model:
    """What everybody has."""

    lots: list[Units] = field(default_factory=list)
    debt: dict[str, int] = field(default_factory=dict)
    redeemed: dict[str, int] = field(default_factory=dict)
    expired: int = 0
    given: int = 0
    holds: dict[int, Hold] = field(default_factory=dict)
    spends: dict[int, list[tuple[Units, int]]] = field(default_factory=dict)
    earned: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Transfer → (holder, points that may still be taken back)."""
    made: dict[int, list[Units]] = field(default_factory=dict)
    born: int = 0

    def usable(self, holders: tuple[str, ...], now: datetime) -> list[Units]:
        """Lots in spending order."""
        mine = [lot for lot in self.lots if lot.holder in holders and lot.left and lot.expires_at > now]
        return sorted(mine, key=lambda lot: (lot.expires_at, lot.earned_at, holders.index(lot.holder), lot.born))

    def available(self, holder: str) -> int:
        """Balance, ended lots included until they are booked as such."""
        return sum(lot.left for lot in self.lots if lot.holder == holder)

    def arrive(self, holders: tuple[str, ...], holder: str, points: int, at: datetime, ends: datetime) -> Units | None:
        """Points come in: debts of all holders first."""
        for one in holders:
            paid = min(points, self.debt.get(one, 0))
            self.debt[one] = self.debt.get(one, 0) - paid
            points -= paid
        if not points:
            return None
        self.born += 1
        lot = Units(holder, at, ends, points, self.born)
        self.lots.append(lot)
        return lot

    def take(self, holders: tuple[str, ...], points: int, now: datetime, first: list[Units]) -> list[tuple[Units, int]]:
        """Take up to `points`, from the lots in `first` first."""
        usable = self.usable(holders, now)
        order = [lot for lot in usable if lot in first] + [lot for lot in usable if lot not in first]
        taken = []
        for lot in order:
            if used := min(lot.left, points):
                lot.left -= used
                points -= used
                taken.append((lot, used))
        return taken

    @staticmethod
    def put_back(taken: list[tuple[Units, int]], points: int) -> list[tuple[Units, int]]:
        """Give `points` back to the lots taken from, the last first; what stays taken."""
        order = sorted(taken, key=lambda pair: (pair[0].expires_at, pair[0].earned_at, pair[0].born))
        while points:
            lot, used = order.pop()
            back = min(used, points)
            lot.left += back
            points -= back
            if used > back:
                order.append((lot, used - back))
        return order
