"""What paying a basket would earn, by the earn rules that are live."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from siyu.collect.catalogue import spellings
from siyu.coupons.owner import Owner
from siyu.coupons.pricing import Turn
from siyu.coupons.quote import WHOLE, Earns
from siyu.ledger.read_records import used_keys
from siyu.loyalty.audience import audiences_asked
from siyu.loyalty.earning import (
    EarnRule,
    Money,
    Occurrence,
    Once,
    audience_of,
    condition_of,
    keys_of,
    points_for,
    takes,
)
from siyu.loyalty.react import all_rules
from siyu.loyalty.request import GROWTH, POINTS
from siyu.segments.one import Question, holding

PAID: Final = "order.paid"
NOBODY: Final = UUID(int=0)
"""Nothing was paid yet: the money has no key."""


async def earns_of(turn: Turn, owner: Owner, payable_fen: int, percent: int, end: str) -> Earns:
    """Points and growth for paying so much: per yuan, and what an order gives as such. `percent`: what the person's
    tier makes of points."""
    connection, at, zone = turn.connection, turn.now, turn.pricing.zone
    rules = [
        rule
        for rule in await all_rules(connection)
        if rule.active and rule.currency in (POINTS, GROWTH) and PAID in spellings(rule.event)
    ]
    paying = Occurrence(PAID, owner.anchor, at, "", "", payable_fen, {}, end)
    rules = [rule for rule in rules if takes(rule, condition_of(rule), paying)]
    audiences = {rule.id: audience for rule in rules if (audience := audience_of(rule)) is not None}
    if audiences:
        asked = audiences_asked(connection, turn.pricing.events, zone)
        (fit,) = await holding(asked, [Question(owner.named, at, audiences)])
        rules = [rule for rule in rules if rule.audience is None or rule.id in fit]
    once = [rule for rule in rules if not rule.points_per_yuan and rule.once_per in (Once.DAY, Once.PERSON)]
    given = await _given(connection, owner, once, at, zone) if once else set()
    sums = {POINTS: 0, GROWTH: 0}
    for rule in rules:
        mine = percent if rule.by_tier else WHOLE
        if rule.points_per_yuan:
            paid = Money(NOBODY, "", owner.anchor, payable_fen, rule.id, mine)
            sums[rule.currency] += points_for(rule, (paid,))
        elif rule.id not in given:
            sums[rule.currency] += rule.points * mine // WHOLE
    return Earns(sums[POINTS], sums[GROWTH])


async def _given(connection: Any, owner: Owner, rules: Sequence[EarnRule], at: datetime, zone: ZoneInfo) -> set[str]:
    """Of the rules that give once, those that gave."""
    event = Occurrence(PAID, owner.anchor, at, "", "", 0, {})
    keys = {}
    for rule in rules:
        key, others = keys_of(rule, event, owner.anchor, owner.anchors, zone)
        keys[rule.id] = {key, *others}
    used = await used_keys(connection, sorted({key for some in keys.values() for key in some}))
    return {name for name, some in keys.items() if not used.isdisjoint(some)}
