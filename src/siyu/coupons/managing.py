"""Verbs of those who run promotions: templates, price rules, pools of codes. Budgets are accounts of the ledger that
are topped up or drawn down to what the newest version says."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from siyu.coupons import template_records
from siyu.coupons.code import Codes, draw, usable
from siyu.coupons.offers import budget_holder
from siyu.coupons.pricing import Pricing, Turn
from siyu.coupons.request import TemplateNotFound
from siyu.coupons.template import PriceRule, Template, check_price_rule, check_template
from siyu.coupons.template_records import Stored
from siyu.errors import Conflict, Refused, TooLarge
from siyu.ledger import AccountName, Command, Flow, Leg, Role, derived_key
from siyu.ledger.read_records import balances

CODES_MAX: Final = 1_000_000
"""Codes of one call."""
POOLS_MAX: Final = 1_000
TEMPLATES_MAX: Final = 10_000
RULES_MAX: Final = 500
FEN: Final = "fen"


async def put_template(connection: Any, pricing: Pricing, one: Template, now: datetime) -> Stored:
    """Store the next version of a template. Coupons that were given keep the version they were given under.

    Raises InvalidTemplate, InvalidRule, Refused (LIMIT_REACHED: more were given than `total`; BUDGET_EXHAUSTED: more
    was given away than `budget_fen`), TooLarge."""
    check_template(one)
    await template_records.lock_definitions(connection)
    known = await template_records.newest(connection)
    if one.id not in known and len(known) >= TEMPLATES_MAX:
        raise TooLarge(f"There are at most {TEMPLATES_MAX} templates.")
    version = await template_records.add_template(connection, one, now)
    if version is None:
        raise Refused("LIMIT_REACHED", "More than that have been given.", issued=known[one.id].issued)
    await _fund(Turn(connection, pricing, now), f"coupon/{one.id}", one.budget_fen, version)
    return (await template_records.newest(connection, {one.id}))[one.id]


async def put_price_rule(connection: Any, pricing: Pricing, one: PriceRule, now: datetime) -> tuple[int, PriceRule]:
    """Store the next version of a price rule. Raises InvalidTemplate, InvalidRule, Refused (BUDGET_EXHAUSTED)."""
    check_price_rule(one)
    await template_records.lock_definitions(connection)
    known = await template_records.price_rules(connection)
    if one.id not in known and len(known) >= RULES_MAX:
        raise TooLarge(f"There are at most {RULES_MAX} price rules.")
    version = await template_records.add_price_rule(connection, one, now)
    await _fund(Turn(connection, pricing, now), f"price_rule/{one.id}", one.budget_fen, version)
    return version, one


async def _fund(turn: Turn, source: str, wanted: int | None, version: int) -> None:
    """Bring what was ever put into a budget to `wanted`; None: it has none, and what is left in it is taken out."""
    holder = budget_holder(source)
    held = {one.role: one.balance for one in await balances(turn.connection, [holder]) if one.currency == FEN}
    funded = -held.get(Role.ISSUED, 0)
    target = funded - held.get(Role.AVAILABLE, 0) if wanted is None else wanted
    if target == funded:
        return
    issued, available = (AccountName(FEN, holder, role) for role in (Role.ISSUED, Role.AVAILABLE))
    leg = Leg(issued, available) if target > funded else Leg(available, issued)
    flow = Flow((leg,), abs(target - funded), reversible=False, short="BUDGET_EXHAUSTED")
    key = derived_key("budget", source, version)
    kind = "earn" if target > funded else "adjust"
    (outcome,) = await turn.pricing.ledger.post(
        turn.connection, [Command(key, key, kind, (flow,), turn.now, by="budget")]
    )
    outcome.settled()


class PoolTaken(Conflict):
    """There is a pool of this name for another template."""

    code = "POOL_TAKEN"


async def open_pool(connection: Any, template: str, pool: str, now: datetime) -> None:
    """A pool of a template, made when it is not there. Raises TemplateNotFound, PoolTaken, TooLarge."""
    if template not in await template_records.newest(connection, {template}):
        raise TemplateNotFound(f"There is no template {template[:80]!r}.")
    if not await template_records.add_pool(connection, pool, template, now):
        if await template_records.find_pool(connection, pool) != template:
            raise PoolTaken(f"The pool {pool!r} belongs to another template.")
    elif len(await template_records.pool_names(connection, template)) > POOLS_MAX:
        raise TooLarge(f"A template has at most {POOLS_MAX} pools.")


async def fill(connection: Any, pool: str, template: str, codes: Codes) -> None:
    """Put codes that were just made into a pool."""
    await template_records.copy_codes(connection, pool, template, codes)
    await template_records.count_codes(connection, pool, len(codes), 0)


def fresh_codes(pricing: Pricing, count: int) -> Codes:
    """What is stored of new codes. Takes a second of CPU for a million: for a thread."""
    return pricing.vault.blocks(draw(count, pricing.random))


async def bring(connection: Any, pricing: Pricing, pool: str, template: str, codes: list[str]) -> tuple[int, int]:
    """Put codes from outside into a pool: (how many are new, how many were left out as known or unusable)."""
    cleaned = pricing.vault.seal_all(usable(codes))
    added = await template_records.put_codes(connection, pool, template, cleaned)
    await template_records.count_codes(connection, pool, added, added)
    return added, len(codes) - added
