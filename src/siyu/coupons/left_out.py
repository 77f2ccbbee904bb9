"""Why price rules are not part of a quote: for the people who wrote them. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

from siyu.coupons import facts, lock_records, template_records
from siyu.coupons.lines import lines_of
from siyu.coupons.owner import Owner, find_owner
from siyu.coupons.pricing import Pricing, Turn
from siyu.coupons.quote import Line, Quote, Refused
from siyu.coupons.read import budgets_left
from siyu.coupons.request import QuoteRequest
from siyu.coupons.template import PriceRule, condition_of, holds_entitlement
from siyu.rules.explain import Reason

_Why: TypeAlias = tuple[str, str] | tuple[str, str, tuple[Reason, ...]]
"""Code, what it is because of, and the conditions that do not hold."""


async def rules_left_out(
    connection: Any, pricing: Pricing, request: QuoteRequest, found: Quote, now: datetime
) -> list[Refused]:
    """The price rules that took nothing off, by id, each with the first reason why; stopped ones are not named.

    `connection`: raw asyncpg, in the transaction that made the quote `found`. Raises PersonNotFound."""
    at = request.at or now
    owner = None
    if request.person is not None:
        owner = await find_owner(connection, request.person, pricing.secret, now)
    turn = Turn(connection, pricing, at)
    applied = {one.source for one in found.discounts}
    known = await template_records.price_rules(connection)
    rules = {key: one for key, (_, one) in sorted(known.items()) if one.active and f"price_rule/{key}" not in applied}
    whose: dict[str, _Why] = {**await _spent(connection, rules), **await _not_theirs(turn, owner, rules)}
    lines = await lines_of(turn, request)
    return [
        Refused(f"price_rule/{key}", *(_time(one, at) or whose.get(key) or _basket(one, lines, request.end)))
        for key, one in rules.items()
    ]


def _time(rule: PriceRule, at: datetime) -> tuple[str, str] | None:
    if rule.starts_at is not None and at < rule.starts_at:
        return "NOT_STARTED", ""
    return ("ENDED", "") if rule.ends_at is not None and at >= rule.ends_at else None


async def _spent(connection: Any, rules: dict[str, PriceRule]) -> dict[str, tuple[str, str]]:
    """The rules whose budget is used up."""
    sources = {f"price_rule/{key}": key for key, one in rules.items() if one.budget_fen is not None}
    left = await budgets_left(connection, list(sources)) if sources else {}
    return {key: ("BUDGET_EXHAUSTED", "") for source, key in sources.items() if not left.get(source)}


async def _not_theirs(turn: Turn, owner: Owner | None, rules: dict[str, PriceRule]) -> dict[str, _Why]:
    """The rules that are not for the person."""
    conditions = {key: condition_of(one.condition) for key, one in rules.items() if one.condition is not None}
    once = [key for key, one in rules.items() if holds_entitlement(one)]
    if owner is None:
        return dict.fromkeys((*conditions, *once), ("NOT_ELIGIBLE", "person"))
    used = await lock_records.entitled(turn.connection, once, owner.holders) if once else {}
    unmet = await facts.unmet(turn, owner, conditions)
    said: dict[str, _Why] = {key: ("NOT_ELIGIBLE", "condition", reasons) for key, reasons in unmet.items()}
    return said | dict.fromkeys(used, ("LIMIT_REACHED", ""))


def _basket(rule: PriceRule, lines: Sequence[Line], end: str) -> tuple[str, str]:
    """Why it does not fit the basket; what fits and took nothing off lost to others."""
    if rule.scope.ends and end not in rule.scope.ends:
        return "CHANNEL_NOT_ALLOWED", "end"
    meant = [line for line in lines if rule.scope.takes(line)]
    if not meant:
        return "NOT_ELIGIBLE", "scope"
    if sum(line.qty * line.price_fen for line in meant) < rule.min_spend_fen:
        return "NOT_ELIGIBLE", "min_spend"
    if rule.price_fen is not None and all(line.price_fen <= rule.price_fen for line in meant):
        return "NOT_ELIGIBLE", "price"
    return "NOT_STACKABLE", ""
