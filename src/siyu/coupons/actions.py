"""The verb of pricing: find what applies to a person and a basket, and price it.

`quote` reads only. With `hold=True` (for an order that is being made) it first locks the person's rows, so that until
the transaction ends no other order of theirs is priced, and frees what older locks of theirs held too long: what is
quoted then can be locked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from siyu.coupons import facts, lock_records, template_records
from siyu.coupons.earns import earns_of
from siyu.coupons.left_out import Naming, named_rules, out_of_time
from siyu.coupons.lines import lines_of
from siyu.coupons.offers import Budgets, budget_holder, coupon_offers, rule_offer, shipping_offer, withheld_rule
from siyu.coupons.owner import Owner, find_owner
from siyu.coupons.pricing import Pricing, Turn
from siyu.coupons.quote import Basket, Earns, Line, Offer, Quote, priced
from siyu.coupons.reasons import Withheld
from siyu.coupons.request import QuoteRequest
from siyu.coupons.settle import settle_budgets, settle_person
from siyu.coupons.template import PriceRule, condition_of, holds_entitlement, is_live
from siyu.ledger import Role
from siyu.ledger.read_records import balances
from siyu.loyalty.records import Benefits, benefits
from siyu.loyalty.request import POINTS
from siyu.profile.tiers import tiers_at


async def quote(
    connection: Any,
    pricing: Pricing,
    request: QuoteRequest,
    now: datetime,
    *,
    hold: bool = False,
    order_id: str | None = None,
    naming: Naming = "basket",
) -> Quote:
    """The price of a basket with everything that applies, and why what was asked for, and price rules, do not.

    `connection`: raw asyncpg, in the caller's transaction. `order_id`: the order that is priced, when it has a lock
    already. `naming`: of which price rules it says why they do not apply; an order that is being made is refused for
    what it asked for alone, so with `hold` of none. Raises PersonNotFound, what `lines_of` raises, EngineUnavailable
    (only where a rule counts events)."""
    at = now if hold or request.at is None else request.at
    owner = None
    if request.person is not None:
        owner = await find_owner(connection, request.person, pricing.secret, now, hold=hold)
        await settle_person(connection, pricing.ledger, owner, now)
    turn = Turn(connection, pricing, at, order_id)
    lines = await lines_of(turn, request)
    rules = await _rules(turn, owner, lines, "none" if hold else naming)
    asked = list(dict.fromkeys(request.coupons))
    coupons = await coupon_offers(turn, owner, asked) if asked else []
    budgets = await _budgets(turn._replace(now=now), rules.theirs, coupons)
    offers = [rule_offer(rule, budgets, told=key in rules.named) for key, rule in rules.theirs.items()]
    offers += [withheld_rule(key, why) for key, why in rules.withheld.items()]
    offers += [one._replace(budget_fen=budgets.get(one.source)) for one in coupons]
    tier, given = await _benefits(turn, owner)
    if given.free_shipping and request.shipping_fen:
        offers.append(shipping_offer(tier))
    there = await _points(connection, owner) if owner is not None and request.points else None
    basket = Basket(lines, request.end, request.shipping_fen, request.points, there, pricing.points_per_yuan)
    found = priced(basket, offers)
    earned = (
        await earns_of(turn, owner, found.payable_fen, given.percent, request.end) if owner is not None else Earns()
    )
    return msgspec.structs.replace(found, earns=earned)


async def _benefits(turn: Turn, owner: Owner | None) -> tuple[str, Benefits]:
    """The person's tier, and what it gives."""
    known = await benefits(turn.connection) if owner is not None else {}
    if owner is None or all(one == Benefits() for one in known.values()):
        return "", Benefits()
    (tier,) = await tiers_at(turn.connection, [(owner.named.person, turn.now)])
    return tier or "", known.get(tier or "", Benefits())


async def _points(connection: Any, owner: Owner) -> int:
    held = await balances(connection, owner.holders)
    return sum(one.balance for one in held if (one.currency, one.role) == (POINTS, Role.AVAILABLE))


class _Rules(NamedTuple):
    """The price rules as they are for a person, at an instant."""

    theirs: dict[str, PriceRule]
    """Those that run, whose condition holds of the person, and that they have not used up."""
    named: Mapping[str, None]
    """Those of which the quote says why they do not apply."""
    withheld: dict[str, Withheld]
    """Of the named ones those that are not theirs."""


async def _rules(turn: Turn, owner: Owner | None, lines: Sequence[Line], naming: Naming) -> _Rules:
    known = {key: rule for key, (_, rule) in (await template_records.price_rules(turn.connection)).items()}
    named = named_rules(known.values(), lines, turn.now, naming)
    live = {key: rule for key, rule in known.items() if is_live(rule, turn.now)}
    once = [key for key, one in live.items() if holds_entitlement(one)]
    wanted = {key: condition_of(one.condition) for key, one in live.items() if one.condition is not None}
    if owner is None:
        not_theirs = dict.fromkeys((*wanted, *once), Withheld("NOT_ELIGIBLE", "person"))
    else:
        used = await lock_records.entitled(turn.connection, once, owner.holders) if once else {}
        wanted = {key: rule for key, rule in wanted.items() if key not in used}
        held, unmet = await facts.judged(turn, owner, wanted, named)
        not_theirs = {
            key: Withheld("NOT_ELIGIBLE", "condition", unmet.get(key, ())) for key in wanted if key not in held
        }
        not_theirs |= dict.fromkeys(used, Withheld("LIMIT_REACHED"))
    theirs = {key: one for key, one in live.items() if key not in not_theirs}
    whys = {key: not_theirs.get(key) or out_of_time(known[key], turn.now) for key in named}
    return _Rules(theirs, named, {key: why for key, why in whys.items() if why is not None})


async def _budgets(turn: Turn, rules: Mapping[str, PriceRule], coupons: Sequence[Offer]) -> Budgets:
    """What is left of the budgets, by source."""
    sources = [f"price_rule/{key}" for key, one in rules.items() if one.budget_fen is not None]
    sources += [one.source for one in coupons if one.budget_fen is not None]
    if not sources:
        return {}
    holders = [budget_holder(source) for source in sources]
    await settle_budgets(turn.connection, turn.pricing.ledger, holders, turn.now)
    held = await balances(turn.connection, holders)
    left = {one.holder: one.balance for one in held if one.role is Role.AVAILABLE}
    return {source: left.get(budget_holder(source), 0) for source in sources}
