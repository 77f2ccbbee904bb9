"""Coupons and price rules as offers: what each would do, or why it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from siyu.coupons import records, template_records
from siyu.coupons.code import CODE_CHARS_MAX
from siyu.coupons.eligible import may_have
from siyu.coupons.owner import Owner
from siyu.coupons.pricing import Turn
from siyu.coupons.quote import Effect, Offer, Stage
from siyu.coupons.reasons import Withheld
from siyu.coupons.records import Coupon
from siyu.coupons.template import PriceRule, Template, effect_of, stage_of
from siyu.rules.explain import Reason

Budgets: TypeAlias = Mapping[str, int]
"""What may be given away yet, by source; who has no budget is not there."""

UNUSABLE: Final = {"locked": "LOCKED", "redeemed": "COUPON_USED", "expired": "COUPON_EXPIRED", "revoked": "ENDED"}
"""Why a coupon in this state cannot be used."""
_CHOICES_MAX: Final = 1_000


def budget_holder(source: str) -> str:
    """The holder of a budget in the ledger: no wallet, since it does not begin with a number."""
    return source


def rule_offer(rule: PriceRule, budgets: Budgets, *, told: bool) -> Offer:
    """A price rule whose condition holds. `told`: the quote says why when it does not apply."""
    source = f"price_rule/{rule.id}"
    return Offer(
        rule.id, source, stage_of(rule), effect_of(rule), rule.scope, rule.min_spend_fen, rule.max_off_fen,
        rule.stack == "exclusive", rule.group, rule.priority, budgets.get(source), told=told,
    )  # fmt: skip


def withheld_rule(rule: str, why: Withheld) -> Offer:
    """A price rule that does not apply, of which the quote says why."""
    source = f"price_rule/{rule}"
    return Offer(rule, source, Stage.ORDER, Effect(), code=why.code, because=why.because, why=why.why, told=True)


def template_offer(asked: str, coupon: int, template: Template) -> Offer:
    """A coupon that may be used. Of one template one applies, where it names no group."""
    return Offer(
        f"{template.id}/{coupon:020d}", f"coupon/{template.id}", Stage.COUPON, effect_of(template), template.scope,
        template.min_spend_fen, template.max_off_fen, template.stack == "exclusive",
        template.group or f"coupon/{template.id}", template.priority, template.budget_fen, asked,
    )  # fmt: skip


def shipping_offer(tier: str) -> Offer:
    """Free shipping as a benefit of a tier. It has its turn first among equals, so that no coupon is spent on it."""
    return Offer(f"tier/{tier}", f"tier/{tier}", Stage.ORDER, Effect(shipping=True))


def refused_offer(asked: str, code: str, because: str = "", why: tuple[Reason, ...] = ()) -> Offer:
    """Something that was asked for and cannot be had."""
    return Offer(asked, asked, Stage.COUPON, Effect(), asked=asked, code=code, because=because, why=why)


async def find_coupons(turn: Turn, owner: Owner | None, asked: Sequence[str]) -> dict[str, Coupon]:
    """The coupons meant by codes, or by ids of templates: then the person's usable one that ends first."""
    connection, vault = turn.connection, turn.pricing.vault
    numbers = {text: vault.number(text) for text in asked if len(text) <= 2 * CODE_CHARS_MAX}
    known = await records.by_code(connection, list(numbers.values()))
    found = {text: known[number] for text, number in numbers.items() if number in known}
    rest = [text for text in asked if text not in found]
    if rest and owner is not None:
        theirs = await records.of_holders(connection, owner.anchors, owner.holders, templates=rest, limit=_CHOICES_MAX)
        for coupon in sorted(theirs, key=lambda one: _preference(one, turn.now)):
            found.setdefault(coupon.template, coupon)
    return found


def _preference(coupon: Coupon, at: datetime) -> tuple[Any, ...]:
    """Usable ones first, the one that ends first; of the others the newest."""
    if coupon.state_at(at) != "given":
        return 1, 0.0, -coupon.id
    return 0, coupon.valid_until.timestamp() if coupon.valid_until else float("inf"), coupon.id


async def coupon_offers(turn: Turn, owner: Owner | None, asked: Sequence[str]) -> list[Offer]:
    """The coupons that were asked for; one that was named twice counts once."""
    found = await find_coupons(turn, owner, asked)
    pooled = {one.template for one in found.values() if one.state == "pooled"}
    newest = await template_records.newest(turn.connection, pooled) if pooled else {}
    versions = {(one.template, one.version) for one in found.values() if one.version}
    known = await template_records.versions(turn.connection, versions) if versions else {}
    offers, seen = [], set()
    for text in asked:
        coupon = found.get(text)
        if coupon is None:
            offers.append(refused_offer(text, "COUPON_NOT_FOUND"))
            continue
        if coupon.id in seen:
            continue
        seen.add(coupon.id)
        if coupon.state == "pooled":
            stored = newest[coupon.template]
            why = Withheld("NOT_ELIGIBLE", "person") if owner is None else await may_have(turn, owner, stored)
            template = stored.template
        else:
            why = Withheld(code) if (code := why_not(coupon, owner, turn.now)) else None
            template = known[coupon.template, coupon.version]
        offers.append(refused_offer(text, *why) if why else template_offer(text, coupon.id, template))
    return offers


def why_not(coupon: Coupon, owner: Owner | None, at: datetime) -> str | None:
    """The code of the reason why a coupon that was given cannot be used; None: it can."""
    if owner is None or coupon.holder not in owner.wallets.holders:
        return "COUPON_NOT_YOURS"
    state = coupon.state_at(at)
    if state != "given":
        return UNUSABLE[state]
    return "NOT_STARTED" if coupon.valid_from is not None and coupon.valid_from > at else None
