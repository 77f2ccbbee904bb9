"""Forms of coupons and price rules: what stands in their fields, and what a filled-in form means. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from siyu.console.fields import WRONG_EARLY, Fields, local, yuan
from siyu.console.i18n import mark as _
from siyu.console.labels import ENDS
from siyu.coupons.quote import FEN_MAX, Scope
from siyu.coupons.template import PriceRule, Template
from siyu.rules.vocabulary import Lang

ID_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}\Z"
KINDS: Final = ("amount", "percent_pay", "gift", "shipping")
VALIDITIES: Final = ("window", "same_local_day", "days")
STACKS: Final = ("stackable", "exclusive")
RETURNS: Final = ("full_refund", "any_refund", "never")
EFFECTS: Final = ("percent_pay", "off_fen", "price_fen")
COUNT_MAX: Final = 10**9
BUDGET_FEN_MAX: Final = 10**14
PRICE_SCOPE: Final = _("A set price needs products or collections it is for.")

FIELD_WORDS: Final = {
    "kind": _("Kind"),
    "label_zh": _("Name (Chinese)"),
    "label_en": _("Name (English)"),
    "off_fen": _("Money off"),
    "pay_percent": _("Percent to pay"),
    "percent_pay": _("Percent to pay"),
    "price_fen": _("Set price"),
    "max_off_fen": _("At most off"),
    "gift_sku": _("Gift"),
    "gift_qty": _("Number of gifts"),
    "min_spend_fen": _("From an amount on"),
    "scope": _("Scope"),
    "valid": _("Validity"),
    "valid_days": _("Days valid"),
    "starts_at": _("Starts at"),
    "ends_at": _("Ends at"),
    "total": _("Number there is"),
    "per_user": _("Per person"),
    "per_user_per_day": _("Per person and day"),
    "new_user_only": _("Newcomers only"),
    "audience": _("Who may have it"),
    "condition": _("Who may have it"),
    "claimable": _("Can be claimed"),
    "budget_fen": _("Budget"),
    "stack": _("With other discounts"),
    "group": _("Group"),
    "priority": _("Priority"),
    "return_on": _("Comes back"),
    "active": _("Running"),
    "once_per_person": _("Once per person"),
}
"""Field of a template or rule → what people call it."""


def changed_fields(before: msgspec.Struct | None, now: msgspec.Struct) -> list[str]:
    """Names of the fields in which two versions differ; of a first version none."""
    if before is None:
        return []
    return [name for name in now.__struct_fields__ if getattr(before, name) != getattr(now, name)]


def _shared_values(one: Template | PriceRule, zone: ZoneInfo) -> dict[str, str]:
    return {
        "id": one.id, "label_zh": one.label_zh, "label_en": one.label_en,
        "max_off": yuan(one.max_off_fen), "min_spend": yuan(one.min_spend_fen or None),
        "skus": "\n".join(one.scope.skus), "collections": "\n".join(one.scope.collections),
        "except_skus": "\n".join(one.scope.except_skus), "ends": " ".join(one.scope.ends),
        "starts_at": local(one.starts_at, zone), "ends_at": local(one.ends_at, zone),
        "budget": yuan(one.budget_fen), "stack": one.stack, "group": one.group or "",
        "priority": str(one.priority or ""), "active": "1" if one.active else "",
    }  # fmt: skip


def template_values(one: Template | None, zone: ZoneInfo) -> dict[str, str]:
    """The fields of a template; of none: of a new one."""
    if one is None:
        return {"kind": "amount", "valid": "window", "per_user": "1", "claimable": "1", "active": "1",
                "return_on": "full_refund", "stack": "stackable", "gift_qty": "1"}  # fmt: skip
    return _shared_values(one, zone) | {
        "kind": one.kind, "off": yuan(one.off_fen) if one.kind == "amount" else "",
        "ship_off": yuan(one.off_fen) if one.kind == "shipping" else "",
        "pay_percent": str(one.pay_percent or ""), "gift_sku": one.gift_sku or "", "gift_qty": str(one.gift_qty),
        "valid": one.valid, "valid_days": str(one.valid_days or ""), "total": str(one.total or ""),
        "per_user": str(one.per_user or ""), "per_user_per_day": str(one.per_user_per_day or ""),
        "new_user_only": "1" if one.new_user_only else "", "claimable": "1" if one.claimable else "",
        "return_on": one.return_on,
    }  # fmt: skip


def rule_values(one: PriceRule | None, zone: ZoneInfo) -> dict[str, str]:
    """The fields of a price rule; of none: of a new one."""
    if one is None:
        return {"effect": "percent_pay", "active": "1", "stack": "stackable"}
    effect = next(name for name in EFFECTS if getattr(one, name) is not None)
    return _shared_values(one, zone) | {
        "effect": effect, "percent_pay": str(one.percent_pay or ""), "off": yuan(one.off_fen),
        "price": yuan(one.price_fen), "once_per_person": "1" if one.once_per_person else "",
    }  # fmt: skip


def _kept(fields: Fields, name: str, before: datetime | None, zone: ZoneInfo) -> datetime | None:
    """The instant of a field. One that was not touched keeps its seconds, which the field does not show."""
    if before is not None and fields.raw(name) == local(before, zone):
        return before
    return fields.moment(name, zone)


def _shared(fields: Fields, before: Template | PriceRule | None, zone: ZoneInfo) -> dict[str, Any]:
    """What templates and price rules have in common."""
    starts_at = _kept(fields, "starts_at", before.starts_at if before else None, zone)
    ends_at = _kept(fields, "ends_at", before.ends_at if before else None, zone)
    if starts_at is not None and ends_at is not None and starts_at >= ends_at:
        fields.refuse("ends_at", WRONG_EARLY)
    known = (*ENDS, *(before.scope.ends if before else ()))
    scope = Scope(
        fields.listed("skus", 10_000), fields.listed("collections", 1_000), fields.listed("except_skus", 10_000),
        fields.ticked("ends", list(dict.fromkeys(known))),
    )  # fmt: skip
    return {
        "label_zh": fields.text("label_zh"),
        "label_en": fields.text("label_en"),
        "max_off_fen": fields.money("max_off", 1, FEN_MAX),
        "min_spend_fen": fields.money("min_spend", 0, FEN_MAX) or 0,
        "scope": scope,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "budget_fen": fields.money("budget", 0, BUDGET_FEN_MAX),
        "stack": fields.choice("stack", STACKS, "stackable"),
        "group": fields.text("group") or None,
        "priority": fields.whole("priority", -1_000, 1_000) or 0,
    }


def template_from(fields: Fields, before: Template | None, lang: Lang, zone: ZoneInfo) -> Template:
    """The template that a form describes, to be used when nothing in it is wrong. `before`: the version that counts."""
    number = before.id if before else fields.matching("id", ID_PATTERN)
    kind = fields.choice("kind", KINDS, "amount")
    shared = _shared(fields, before, zone)
    if not (shared["label_zh"] or shared["label_en"]):
        fields.text("label_zh", needed=True)
    off = None
    if kind == "amount":
        off = fields.money("off", 1, FEN_MAX, needed=True)
    elif kind == "shipping":
        off = fields.money("ship_off", 1, FEN_MAX)
    if kind != "percent_pay":
        shared["max_off_fen"] = None
    valid = fields.choice("valid", VALIDITIES, "window")
    gift = kind == "gift"
    return Template(
        id=number, kind=kind, off_fen=off,  # type: ignore[arg-type]  # one of KINDS, or noted as wrong
        pay_percent=fields.whole("pay_percent", 1, 99, needed=True) if kind == "percent_pay" else None,
        gift_sku=fields.text("gift_sku", needed=True) or None if gift else None,
        gift_qty=fields.whole("gift_qty", 1, 10_000) or 1 if gift else 1,
        valid=valid,  # type: ignore[arg-type]  # one of VALIDITIES, or noted as wrong
        valid_days=fields.whole("valid_days", 1, 3_660, needed=True) if valid == "days" else None,
        total=fields.whole("total", 1, COUNT_MAX), per_user=fields.whole("per_user", 1, COUNT_MAX),
        per_user_per_day=fields.whole("per_user_per_day", 1, COUNT_MAX), new_user_only=fields.flag("new_user_only"),
        audience=fields.rule("audience", lang, vocabulary="coupons"), claimable=fields.flag("claimable"),
        return_on=fields.choice("return_on", RETURNS, "full_refund"),  # type: ignore[arg-type]  # as above
        active=fields.flag("active"), **shared,
    )  # fmt: skip


def rule_from_form(fields: Fields, before: PriceRule | None, lang: Lang, zone: ZoneInfo) -> PriceRule:
    """The price rule that a form describes, to be used when nothing in it is wrong."""
    number = before.id if before else fields.matching("id", ID_PATTERN)
    effect = fields.choice("effect", EFFECTS, "percent_pay")
    shared = _shared(fields, before, zone)
    if not (shared["label_zh"] or shared["label_en"]):
        fields.text("label_zh", needed=True)
    if effect == "off_fen":
        shared["max_off_fen"] = None
    if effect == "price_fen" and not (shared["scope"].skus or shared["scope"].collections):
        fields.refuse("skus", PRICE_SCOPE)
    return PriceRule(
        id=number,
        percent_pay=fields.whole("percent_pay", 1, 99, needed=True) if effect == "percent_pay" else None,
        off_fen=fields.money("off", 1, FEN_MAX, needed=True) if effect == "off_fen" else None,
        price_fen=fields.money("price", 0, FEN_MAX, needed=True) if effect == "price_fen" else None,
        condition=fields.rule("condition", lang, vocabulary="coupons"),
        once_per_person=fields.flag("once_per_person"), active=fields.flag("active"), **shared,
    )  # fmt: skip
