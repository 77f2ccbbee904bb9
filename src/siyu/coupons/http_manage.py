"""Routes of those who run promotions: templates, price rules, pools of codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import get, post, put
from litestar.params import Parameter
from litestar.response import Stream

from siyu.cells import harmless
from siyu.clock import Now
from siyu.coupons import giving, managing, read, records, template_records
from siyu.coupons.code import CODE_CHARS_MAX, shown
from siyu.coupons.pricing import Pricing
from siyu.coupons.request import CouponNotFound, CouponSeen, TemplateNotFound
from siyu.coupons.template import InvalidTemplate, PriceRule, Template
from siyu.coupons.template_records import Stored
from siyu.idempotency import Key
from siyu.loyalty.request import Reason
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

_PAGE: Final = 10_000


class TemplateSeen(msgspec.Struct, frozen=True):
    """A template as it counts now."""

    template: Template
    version: int
    issued: int
    """Coupons given so far."""


class TemplatesPage(msgspec.Struct, frozen=True):
    """All templates, by id."""

    items: list[TemplateSeen]


def _shown(stored: Stored) -> TemplateSeen:
    return TemplateSeen(stored.template, stored.version, stored.issued)


@put("/api/coupons/templates/{template_id:str}", summary="Make or change a template", tags=["coupons"])
async def put_template(
    *, template_id: str, data: Template, db: Database, pricing: Pricing, now: Now, idempotency_key: Key = None
) -> TemplateSeen:
    """Stores the next version; coupons that were given keep theirs. 422 INVALID_TEMPLATE, INVALID_RULE; 409
    LIMIT_REACHED, BUDGET_EXHAUSTED when more than the new limit is gone already."""
    if data.id != template_id:
        raise InvalidTemplate("The template has another id than the address.", path="id")

    async def store(connection: Any) -> TemplateSeen:
        return _shown(await managing.put_template(connection, pricing, data, now()))

    return await once(db, Asked(idempotency_key, "template", data), TemplateSeen, store, now)


@get("/api/coupons/templates", summary="All templates", tags=["coupons"])
async def templates(db: Database) -> TemplatesPage:
    """The version that counts of each, with how many were given."""
    async with db.driver() as connection:
        return TemplatesPage([_shown(one) for one in (await template_records.newest(connection)).values()])


@get("/api/coupons/templates/{template_id:str}", summary="A template", tags=["coupons"])
async def show_template(template_id: str, db: Database) -> TemplateSeen:
    """404 TEMPLATE_NOT_FOUND."""
    return _shown(await _template(template_id, db))


async def _template(template_id: str, db: Database) -> Stored:
    async with db.driver() as connection:
        found = (await template_records.newest(connection, {template_id})).get(template_id)
    if found is None:
        raise TemplateNotFound(f"There is no template {template_id[:80]!r}.")
    return found


class PriceRuleSeen(msgspec.Struct, frozen=True):
    """A price rule as it counts now."""

    rule: PriceRule
    version: int


class PriceRulesPage(msgspec.Struct, frozen=True):
    """All price rules, by id."""

    items: list[PriceRuleSeen]


@put("/api/price-rules/{rule_id:str}", summary="Make or change a price rule", tags=["coupons"])
async def put_price_rule(
    *, rule_id: str, data: PriceRule, db: Database, pricing: Pricing, now: Now, idempotency_key: Key = None
) -> PriceRuleSeen:
    """Stores the next version; it counts from the next quote on. 422 INVALID_TEMPLATE, INVALID_RULE."""
    if data.id != rule_id:
        raise InvalidTemplate("The rule has another id than the address.", path="id")

    async def store(connection: Any) -> PriceRuleSeen:
        version, rule = await managing.put_price_rule(connection, pricing, data, now())
        return PriceRuleSeen(rule, version)

    return await once(db, Asked(idempotency_key, "price rule", data), PriceRuleSeen, store, now)


@get("/api/price-rules", summary="All price rules", tags=["coupons"])
async def price_rules(db: Database) -> PriceRulesPage:
    """The version that counts of each."""
    async with db.driver() as connection:
        known = await template_records.price_rules(connection)
    return PriceRulesPage([PriceRuleSeen(rule, version) for version, rule in known.values()])


class PoolSeen(msgspec.Struct, frozen=True):
    """A pool of codes."""

    pool: str
    template: str
    codes: int
    imported: int
    left: int
    """That nobody has yet."""
    at: datetime


class PoolsPage(msgspec.Struct, frozen=True):
    """The pools of a template, by name."""

    items: list[PoolSeen]


class Fill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either `count` codes are made, or `codes` are brought."""

    count: Annotated[int, msgspec.Meta(ge=1, le=managing.CODES_MAX)] | None = None
    codes: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=2 * CODE_CHARS_MAX)], ...], msgspec.Meta(max_length=200_000)
    ] = ()


class Filled(msgspec.Struct, frozen=True):
    """What became of it."""

    pool: str
    added: int
    left_out: int
    """Brought, but known already, or shorter than 4 or longer than 64 characters."""


@post(
    "/api/coupons/templates/{template_id:str}/pools/{pool:str}/codes",
    summary="Fill a pool of codes",
    status_code=200,
    tags=["coupons"],
)
async def fill_pool(
    *, template_id: str, pool: Annotated[str, Parameter(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$")], data: Fill,
    db: Database, pricing: Pricing, now: Now, idempotency_key: Key = None,
) -> Filled:  # fmt: skip
    """Makes up to a million unguessable codes, or takes codes from outside. From then on coupons of this template come
    out of its pools, and a code that nobody has can be used by whoever has it in hand."""
    if (data.count is None) == (not data.codes):
        raise InvalidTemplate("Give count or codes, one of them.", path="count")
    await _template(template_id, db)
    # Made before the transaction begins: nobody waits for the CPU with a row locked.
    fresh = None if data.count is None else await asyncio.to_thread(managing.fresh_codes, pricing, data.count)

    async def do(connection: Any) -> Filled:
        await managing.open_pool(connection, template_id, pool, now())
        if fresh is not None:
            await managing.fill(connection, pool, template_id, fresh)
            return Filled(pool, len(fresh), 0)
        added, left_out = await managing.bring(connection, pricing, pool, template_id, list(data.codes))
        return Filled(pool, added, left_out)

    return await once(db, Asked(idempotency_key, f"pool {template_id} {pool}", data), Filled, do, now)


@get("/api/coupons/templates/{template_id:str}/pools", summary="The pools of a template", tags=["coupons"])
async def pools(template_id: str, db: Database) -> PoolsPage:
    """With how many codes nobody has yet."""
    async with db.driver() as connection:
        found = await template_records.pools(connection, template_id)
    return PoolsPage([PoolSeen(one.id, one.template, one.codes, one.imported, one.left, one.at) for one in found])


@get(
    "/api/coupons/templates/{template_id:str}/pools/{pool:str}/codes.csv",
    summary="The codes of a pool as CSV",
    tags=["coupons"],
)
async def export_pool(template_id: str, pool: str, db: Database, pricing: Pricing) -> Stream:
    """For the printer: code and state, in the order they were made."""
    async with db.driver() as connection:
        if await template_records.find_pool(connection, pool) != template_id:
            raise TemplateNotFound(f"The template {template_id[:80]!r} has no pool {pool[:80]!r}.")
    name = f'attachment; filename="codes-{pool}.csv"'
    return Stream(
        codes_csv(db, pricing, pool), media_type="text/csv; charset=utf-8", headers={"Content-Disposition": name}
    )


async def codes_csv(db: Database, pricing: Pricing, pool: str) -> AsyncIterator[bytes]:
    """Lines of CSV: code and state, in the order they were made."""
    vault, after = pricing.vault, 0
    yield b"code,state\n"
    while True:
        async with db.driver() as connection:
            rows = await template_records.pool_page(connection, pool, after, _PAGE)
        yield "".join(f"{_cell(shown(vault.open(code, sealed)))},{state}\n" for _, code, sealed, state in rows).encode()
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def _cell(text: str) -> str:
    """A cell of CSV."""
    safe = harmless(text)
    return '"' + safe.replace('"', '""') + '"' if any(mark in safe for mark in '",\n') else safe


class Revoke(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason = ""


@post("/api/coupons/{coupon_id:int}/revoke", summary="Take a coupon back", status_code=200, tags=["coupons"])
async def revoke(
    *, coupon_id: int, data: Revoke, db: Database, pricing: Pricing, now: Now, idempotency_key: Key = None
) -> CouponSeen:
    """One that nobody used or holds. 409 COUPON_USED, LOCKED, COUPON_EXPIRED."""
    if not 0 < coupon_id < 2**62:
        raise CouponNotFound("There is no such coupon.")

    async def take(connection: Any) -> int:
        return (await giving.revoke(connection, coupon_id, now(), data.reason)).id

    await once(db, Asked(idempotency_key, f"revoke {coupon_id}", data), int, take, now)
    async with db.driver() as connection:
        found = await records.by_id(connection, coupon_id)
        if found is None:
            raise CouponNotFound("There is no such coupon.")
        return await read.one_seen(connection, pricing, found, now())


routes: list[Any] = [
    put_template, templates, show_template, put_price_rule, price_rules, fill_pool, pools, export_pool, revoke,
]  # fmt: skip
