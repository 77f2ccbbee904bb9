"""What an API token may call: everything, what only reads, or what a till needs. Pure.

A till hangs in a shop and gets lost: its token sells, looks members and coupons up and uses coupons and points, but
makes no value, shows nobody's behaviour, and changes no rule.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from siyu.collect.keys import Scope

READING_POSTS: Final = frozenset(
    {
        "/api/questions",
        "/api/quotes",
        "/api/segments/preview",
        "/api/points/rules/estimate",
        "/api/rules/explain",
    }
)
"""They ask with a body and change nothing."""
GIVES_VALUE_AWAY: Final = frozenset(
    {
        "/api/coupons/templates/{template_id:str}/pools/{pool:str}/codes.csv",
        "/api/persons/{person_id:str}/coupons",
        "/api/persons/{person_id:str}/redemptions",
    }
)
"""They show codes: who reads one has it."""
TILL: Final = frozenset(
    {
        ("GET", "/api/persons/lookup"),
        ("GET", "/api/persons/{person_id:str}/accounts"),
        ("GET", "/api/persons/{person_id:str}/card"),
        ("GET", "/api/persons/{person_id:str}/card.svg"),
        ("GET", "/api/persons/{person_id:str}/coupons"),
        ("GET", "/api/persons/{person_id:str}/tier"),
        ("GET", "/api/products"),
        ("GET", "/api/products/{product_id:str}"),
        ("GET", "/api/stock/{sku:str}"),
        ("POST", "/api/quotes"),
        ("GET", "/api/coupons/codes/{code:str}"),
        ("POST", "/api/coupons/redeem"),
        ("POST", "/api/locks"),
        ("GET", "/api/locks/{lock_id:str}"),
        ("POST", "/api/locks/{lock_id:str}/commit"),
        ("POST", "/api/locks/{lock_id:str}/release"),
        ("POST", "/api/locks/{lock_id:str}/rollback"),
        ("POST", "/api/points/spend"),
        ("POST", "/api/points/refund"),
        ("POST", "/api/stock/{sku:str}/hold"),
        ("POST", "/api/stock/holds/{hold_id:int}/commit"),
        ("POST", "/api/stock/holds/{hold_id:int}/release"),
        ("POST", "/api/orders"),
        ("GET", "/api/orders/{order_id:str}"),
        ("POST", "/api/orders/{order_id:str}/pay"),
        ("POST", "/api/orders/{order_id:str}/cancel"),
    }
)


def allows(scope: Scope, methods: Collection[str], paths: Collection[str]) -> bool:
    """Whether a token may call the route with these methods and path templates."""
    if scope == "till":
        return all((method, path) in TILL for method in methods for path in paths)
    if scope == "read":
        return all(_reads(method, path) for method in methods for path in paths)
    return True


def _reads(method: str, path: str) -> bool:
    return path in READING_POSTS if method == "POST" else method == "GET" and path not in GIVES_VALUE_AWAY
