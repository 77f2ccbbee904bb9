"""Sharing whole fen (or points, or units) exactly: the parts always add up. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def share(amount: int, weights: Sequence[int]) -> list[int]:
    """`amount` in proportion to `weights` (none negative), whole, by largest remainder; ties go to the first.

    No part is larger than its weight when `amount` is not larger than their sum. All weights zero: the first gets all.
    Raises ValueError for an amount that nobody can take."""
    total = sum(weights)
    if not weights or amount < 0:
        raise ValueError("Nothing to share among.")
    if total == 0:
        return [amount, *([0] * (len(weights) - 1))]
    parts = [amount * weight // total for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda place: (-(amount * weights[place] % total), place))
    for place in by_rest[: amount - sum(parts)]:
        parts[place] += 1
    return parts


def up_to(total: int, part: int, whole: int) -> int:
    """What the first `part` of `whole` equal units have of `total`: the differences add up to `total` exactly."""
    return total * part // whole
