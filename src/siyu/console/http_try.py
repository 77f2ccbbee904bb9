"""A basket to try prices with: the real quote of it, what took how much off, and why the rest did not."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from litestar import Response, get, post

from siyu.collect.catalogue import fen
from siyu.console.fields import NEEDED, NO_MONEY, NO_NUMBER, Fields
from siyu.console.http_coupons import WHO, ends_of
from siyu.console.i18n import mark as _
from siyu.console.refusals import quoted
from siyu.console.visit import AnyRequest, Visit
from siyu.coupons import template_records
from siyu.coupons.actions import quote
from siyu.coupons.pricing import Pricing
from siyu.coupons.quote import FEN_MAX, Quote
from siyu.coupons.request import COUPONS_MAX, BasketLine, QuoteRequest
from siyu.errors import MalformedRequest, NotFound
from siyu.loyalty.request import Identifier
from siyu.shop import product_records
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

LINES_SHOWN: Final = 50
PRODUCTS_OFFERED: Final = 200
NO_PRICE: Final = _("The shop does not know %s: type its price.")
NO_PERSON: Final = _("Nobody is known by this.")
POINTS: Final = _("Points")
TIER: Final = _("Benefit of the tier")


class Off(NamedTuple):
    """Something that took money off, in words."""

    name: str
    amount_fen: int
    address: str
    kind: str


class Why(NamedTuple):
    """Something that did not count, and why."""

    name: str
    reason: str


@get("/price-rules/-try", include_in_schema=False)
async def basket(visit: Visit, db: Database) -> Response[str]:
    """An empty basket, with what the shop sells."""
    async with db.driver() as connection:
        sold = await product_records.products(connection, limit=PRODUCTS_OFFERED)
    offered = [
        (sku.sku, f"{one.name} {sku.label}".strip(), sku.price_fen) for one in sold if one.on_sale for sku in one.skus
    ]
    values = {"end": "mini_program", "kind": "phone"}
    return visit.page(
        "price_try.html", offered=offered[:PRODUCTS_OFFERED], ends=ends_of(visit, ()), values=values, wrong={},
        first=offered[0][0] if offered else "",
    )  # fmt: skip


@post("/price-rules/-try", include_in_schema=False, status_code=200)
async def price(request: AnyRequest, visit: Visit, db: Database, pricing: Pricing) -> Response[str]:
    """What the basket costs."""
    visit.operator.require("persons")
    form = await request.form()
    fields = Fields(form, visit.face.text)
    asked = await _asked(form, fields, db, visit)
    tried: Quote | None = None
    if not fields.wrong and asked is not None:
        wanted = asked

        async def do(connection: Any) -> Quote:
            return await quote(connection, pricing, wanted, visit.moment.now, naming="all")

        try:
            tried = await once(db, Asked(None, "console try", wanted), Quote, do, lambda: visit.moment.now)
        except NotFound:
            fields.refuse("value", NO_PERSON)
        except MalformedRequest as error:
            fields.refuse("", visit.said(error))
    if tried is None:
        return visit.page("price_tried.html", quote=None, wrong=fields.wrong)
    return await _shown(visit, db, tried)


async def _asked(form: Any, fields: Fields, db: Database, visit: Visit) -> QuoteRequest | None:
    end = fields.text("end", needed=True)
    lines = await _lines(form, fields, db, end)
    kind, value = fields.choice("kind", WHO, "phone"), fields.text("value")
    coupons = fields.listed("coupons", COUPONS_MAX, 128)
    points = fields.whole("points", 0, 10**12) or 0
    shipping = fields.money("shipping", 0, FEN_MAX) or 0
    at = fields.moment("at", visit.moment.zone)
    if not lines:
        fields.refuse("lines", NEEDED)
    if fields.wrong:
        return None
    return QuoteRequest(
        lines=tuple(lines), end=end, person=Identifier(kind, value) if value else None, coupons=coupons,
        points=points, at=at, shipping_fen=shipping,
    )  # fmt: skip


async def _lines(form: Any, fields: Fields, db: Database, end: str) -> list[BasketLine]:
    columns = [[str(value).strip() for value in form.getall(name, [])] for name in ("sku", "qty", "price")]
    rows = [row for row in zip(*columns, strict=False) if row[0]][:LINES_SHOWN]
    async with db.driver() as connection:
        known = await product_records.offers(connection, [row[0] for row in rows])
    lines = []
    for sku, qty, typed in rows:
        amount = fen(typed, unit_fen=100) if typed else None
        if not typed and sku in known:
            amount = known[sku].sku.price_at(end)
        if not (qty or "1").isdecimal() or not 1 <= int(qty or "1") <= 10_000:
            fields.refuse("lines", NO_NUMBER)
        elif amount is None or not 0 <= amount <= FEN_MAX:
            fields.refuse("lines", NO_MONEY if typed else NO_PRICE, *([] if typed else [sku[:50]]))
        else:
            lines.append(BasketLine(sku[:200], int(qty or "1"), amount))
    return lines


async def _shown(visit: Visit, db: Database, tried: Quote) -> Response[str]:
    async with db.driver() as connection:
        rules = await template_records.price_rules(connection)
        templates = await template_records.newest(connection)
    zh = visit.locale.startswith("zh")

    def named(source: str) -> tuple[str, str, str]:
        """(what people call it, its page, its kind) of `coupon/ID`, `price_rule/ID`, `points` or `tier/…`."""
        kind, _slash, key = source.partition("/")
        one: Any = rules[key][1] if kind == "price_rule" and key in rules else None
        one = templates[key].template if kind == "coupon" and key in templates else one
        if one is None:
            words = {"points": POINTS, "tier": TIER}
            return visit.face.text(words[kind]) if kind in words else source, "", kind
        label = (one.label_zh if zh else one.label_en) or one.label_zh or one.label_en or key
        return label, f"/console/{'coupons' if kind == 'coupon' else 'price-rules'}/{key}", kind

    sums: dict[str, int] = {}
    for each in tried.discounts:
        sums[each.source] = sums.get(each.source, 0) + each.amount_fen
    offs = [Off(named(source)[0], amount, *named(source)[1:]) for source, amount in sums.items()]
    left = [Why(named(one.what)[0], quoted(visit, one.code, one.because, one.why)) for one in tried.refused]
    return visit.page("price_tried.html", quote=tried, offs=offs, left=left, wrong={})


routes: list[Any] = [basket, price]
"""Pages of the tester."""
