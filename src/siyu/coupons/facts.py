"""Of which conditions a person is: what segments may ask (`segments.one`), and whether the order would be their first.

Events count once they are processed (about a second after they came); an order that was locked here counts at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from siyu.coupons import lock_records
from siyu.coupons.owner import Owner
from siyu.coupons.pricing import Turn
from siyu.coupons.template import COUPON_WORDS, FIRST_PAID_ORDER
from siyu.identity.spans import BEGINNING_MS, END_MS
from siyu.profile.attribute_records import has_bought
from siyu.rules import explain
from siyu.rules.explain import Reason
from siyu.rules.judge import compile_rule
from siyu.rules.rule import Rule, attributes_of
from siyu.rules.window import Setting
from siyu.segments import one
from siyu.segments.explain import Judged
from siyu.segments.explain import judged as conditions_judged


async def judged(
    turn: Turn, owner: Owner, rules: Mapping[str, Rule], told: Collection[str] = ()
) -> tuple[set[str], dict[str, tuple[Reason, ...]]]:
    """Of these rules those that hold of the person; and of those in `told` that do not, the conditions to blame. What
    is seen is read once for all. Raises EngineUnavailable, QueryTooExpensive."""
    if not rules:
        return set(), {}
    asking, questions = await _asked(turn, owner, rules)
    (seen,) = await one.facts_of(asking, questions)
    setting = Setting(turn.now, asking.zone)
    held = {key for key, rule in rules.items() if compile_rule(rule, COUPON_WORDS)(seen, setting)}
    blamed = [key for key in told if key in rules and key not in held]
    return held, {key: explain.unmet(rules[key], seen, setting, COUPON_WORDS) for key in blamed}


async def unmet(turn: Turn, owner: Owner, rule: Rule) -> tuple[Reason, ...]:
    """The conditions of a rule that are to blame that it does not hold of the person; none: it holds.

    Raises EngineUnavailable, QueryTooExpensive."""
    return (await judged(turn, owner, {"": rule}, {""}))[1].get("", ())


async def looked_at(turn: Turn, owner: Owner, rule: Rule) -> list[Judged]:
    """Each condition of a rule, held or not, with what was seen. Raises EngineUnavailable, QueryTooExpensive."""
    asking, (question,) = await _asked(turn, owner, {"": rule})
    return await conditions_judged(asking, question)


async def _asked(turn: Turn, owner: Owner, rules: Mapping[str, Rule]) -> tuple[one.Asking, list[one.Question]]:
    names = {name for rule in rules.values() for name in attributes_of(rule)}
    known = {FIRST_PAID_ORDER: await is_new(turn, owner)} if FIRST_PAID_ORDER in names else {}
    asking = one.Asking(turn.connection, turn.pricing.events, COUPON_WORDS, turn.pricing.zone)
    return asking, [one.Question(owner.named, turn.now, rules, known)]


async def is_new(turn: Turn, owner: Owner) -> bool:
    """Whether the person has neither paid for an order nor has one open."""
    if await lock_records.has_ordered(turn.connection, owner.anchors, owner.holders, turn.now, turn.order_id):
        return False
    spans = [(member.anchor, _instant(member.since_ms), _instant(member.until_ms)) for member in owner.named.members]
    return not await has_bought(turn.connection, spans)


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(min(max(at_ms, BEGINNING_MS), END_MS) / 1000, UTC)
