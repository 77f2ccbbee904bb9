"""Which price rules a quote speaks of when they do not apply. Pure.

A till is told of the rules that are for a line of the basket, not of the whole list of promotions: those that run, by
priority, and the few others that are nearest in time. Stopped rules are not named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Literal, TypeAlias

from siyu.coupons.quote import Line
from siyu.coupons.reasons import Withheld
from siyu.coupons.template import PriceRule, is_live

Naming: TypeAlias = Literal["none", "basket", "all"]
"""None; those of the basket, within the limits below; every rule that is not stopped, for the people who wrote them."""

RUNNING_MAX: Final = 50
"""Rules that run and are for a line of the basket, which a quote names."""
OTHERS_MAX: Final = 10
"""Rules that ended or have not begun, which it names."""
_LOOKED_AT_MAX: Final = 500
"""Of the rules that ended or have not begun so many are looked at, the nearest in time."""


def named_rules(rules: Iterable[PriceRule], lines: Sequence[Line], at: datetime, naming: Naming) -> dict[str, None]:
    """The ids of the rules that a quote speaks of when they do not apply, in their order."""
    if naming == "none":
        return {}
    active = [one for one in rules if one.active]
    if naming == "all":
        return dict.fromkeys(sorted(one.id for one in active))
    running = sorted((one for one in active if is_live(one, at)), key=lambda one: (-one.priority, one.id))
    others = sorted((one for one in active if not is_live(one, at)), key=lambda one: (_away(one, at), one.id))
    found = [
        *islice(_of_basket(running, lines), RUNNING_MAX),
        *islice(_of_basket(others[:_LOOKED_AT_MAX], lines), OTHERS_MAX),
    ]
    return dict.fromkeys(one.id for one in found)


def out_of_time(rule: PriceRule, at: datetime) -> Withheld | None:
    """Why a rule that is not stopped does not run; None: it runs."""
    if rule.starts_at is not None and at < rule.starts_at:
        return Withheld("NOT_STARTED")
    return Withheld("ENDED") if rule.ends_at is not None and at >= rule.ends_at else None


def _of_basket(rules: Iterable[PriceRule], lines: Sequence[Line]) -> Iterable[PriceRule]:
    return (one for one in rules if any(one.scope.takes(line) for line in lines))


def _away(rule: PriceRule, at: datetime) -> timedelta:
    """How far its time is."""
    if rule.starts_at is not None and at < rule.starts_at:
        return rule.starts_at - at
    return at - rule.ends_at if rule.ends_at is not None else timedelta()
