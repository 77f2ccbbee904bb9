"""Coupons and price rules as they count now: what they do, for whom, how many were given, what is left of a budget."""

from __future__ import annotations

from typing import Any, NamedTuple

from litestar import Response, get

from siyu.console.visit import Visit
from siyu.coupons import read, template_records
from siyu.coupons.template import COUPON_WORDS, PriceRule, Template, condition_of
from siyu.rules.sentence import say
from siyu.store.postgres import Database


class TemplateShown(NamedTuple):
    """A template with its condition in words."""

    one: Template
    issued: int
    sentence: str
    left_fen: int | None


class RuleShown(NamedTuple):
    """A price rule with its condition in words."""

    one: PriceRule
    sentence: str
    left_fen: int | None


def _sentence(visit: Visit, condition: dict[str, Any] | None) -> str:
    lang: Any = "zh" if visit.locale.startswith("zh") else "en"
    return "" if condition is None else say(condition_of(condition), COUPON_WORDS, lang)


@get("/coupons", include_in_schema=False)
async def coupons(visit: Visit, db: Database) -> Response[str]:
    """All templates and price rules, by id."""
    async with db.driver() as connection:
        templates = await template_records.newest(connection)
        rules = await template_records.price_rules(connection)
        left = await read.budgets_left(
            connection, [*(f"coupon/{key}" for key in templates), *(f"price_rule/{key}" for key in rules)]
        )
    return visit.page(
        "coupons.html",
        templates=[
            TemplateShown(
                one.template, one.issued, _sentence(visit, one.template.audience),
                left.get(f"coupon/{key}", 0) if one.template.budget_fen is not None else None,
            )
            for key, one in templates.items()
        ],
        rules=[
            RuleShown(
                rule, _sentence(visit, rule.condition),
                left.get(f"price_rule/{key}", 0) if rule.budget_fen is not None else None,
            )
            for key, (_, rule) in rules.items()
        ],
    )  # fmt: skip


routes: list[Any] = [coupons]
