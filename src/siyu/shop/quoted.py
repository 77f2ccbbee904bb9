"""Orders that cost something else than the list says: quoted, and locked with coupon and points, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from siyu.coupons import actions, locks, template_records
from siyu.coupons.holding import SAID
from siyu.coupons.quote import Quote
from siyu.coupons.reasons import details_of, worded
from siyu.coupons.request import BasketLine, OrderLock, QuoteRequest
from siyu.coupons.template import is_live
from siyu.errors import Refused, SiyuError
from siyu.loyalty.records import benefits
from siyu.shop import product_records
from siyu.shop.order import Discount, Line, Order
from siyu.shop.placing import (
    SHIPPING,
    Asked,
    Draft,
    Tools,
    again,
    buyer_of,
    look_up,
    numbered,
    order_of,
    reserve_all,
    write_new,
)
from siyu.shop.request import OrderView, view

_WORDS: Final = SAID | {
    "INSUFFICIENT": "There are not so many points.",
    "NOT_STACKABLE": "It does not go together with another discount.",
    "COUPON_NOT_FOUND": "There is no such coupon.",
    "CHANNEL_NOT_ALLOWED": "It is not for this end.",
    "BUDGET_EXHAUSTED": "What it may take off altogether is used up.",
    "scope": "It is for articles that are not in this order.",
    "min_spend": "The order comes to less than it asks for.",
    "condition": "It is not for this person.",
    "person": "It is for certain persons: say whose order it is.",
    "nothing_left": "There is nothing left to take off.",
}
"""Of what is asked for and does not apply, by code or by what it is because of."""


async def needs_quote(connection: Any, asked: Sequence[Asked], now: datetime) -> set[UUID]:
    """Numbers of the requests that cannot be made at list price: with coupons or points, with shipping where a tier has
    it free, or all while a price rule is live."""
    if not asked:
        return set()
    rules = await template_records.price_rules(connection)
    if any(is_live(rule, now) for _, rule in rules.values()):
        return {one.number for one in asked}
    free = any(one.free_shipping for one in (await benefits(connection)).values())
    return {
        one.number
        for one in asked
        if one.place.coupons or one.place.points or (free and one.place.shipping_fen and one.place.person is not None)
    }


async def place_quoted(connection: Any, asked: Asked, tools: Tools, now: datetime) -> OrderView:
    """Make one order: price it, set its stock aside, lock what it uses. Raises PersonNotFound, WrongOrder, Refused with
    the true reason (of a coupon that was asked for and does not apply too), Contended."""
    place = asked.place
    world = await look_up(connection, [asked], tools, now)
    if (known := world.known.get(place.order_id)) is not None:
        return await again(connection, asked, known)
    order = order_of(asked, world.offers, buyer_of(asked, world, tools.secret), tools, now)
    quote = await actions.quote(
        connection, tools.pricing, _request(asked, order), now, hold=True, order_id=place.order_id
    )
    for one in quote.refused:
        words = _WORDS.get(one.code) or _WORDS.get(one.because, "It does not apply to this order.")
        raise Refused(one.code, worded(words, one.why), what=one.what, **details_of(one.because, one.why))
    order = await _priced(connection, order, quote)
    (reserved,) = await reserve_all(connection, [Draft(asked, order)], tools, now)
    if isinstance(reserved, SiyuError):
        raise reserved
    assert reserved.expires_at is not None
    wanted = OrderLock(
        person=place.person,
        order_id=place.order_id,
        ttl_s=round((reserved.expires_at - now).total_seconds()),
        quote=quote,
        end=place.end,
    )
    lock = await locks.lock(connection, tools.pricing, wanted, now)
    made = replace(reserved, lock=str(lock.id))
    numbers = await write_new(connection, [Draft(asked, made)])
    return view(numbered(made, numbers))


def _request(asked: Asked, order: Order) -> QuoteRequest:
    """The order as the basket of a quote, at today's list prices."""
    given = {line.sku: line.collections for line in asked.place.lines}
    return QuoteRequest(
        lines=tuple(
            BasketLine(line.sku, line.qty, line.price_fen, given.get(line.sku, ()))
            for line in order.lines
            if line.sku != SHIPPING
        ),
        end=asked.place.end,
        person=asked.place.person,
        coupons=asked.place.coupons,
        points=asked.place.points,
        shipping_fen=asked.place.shipping_fen,
    )


async def _priced(connection: Any, order: Order, quote: Quote) -> Order:
    """The order with the quote's prices: the shares of its lines, shipping, gifts."""
    goods = [line for line in order.lines if line.sku != SHIPPING]
    lines = [replace(line, payable_fen=one.payable_fen) for line, one in zip(goods, quote.lines, strict=True)]
    lines += [replace(line, payable_fen=quote.shipping_fen) for line in order.lines if line.sku == SHIPPING]
    gifts = await product_records.offers(connection, [gift.sku for gift in quote.gifts]) if quote.gifts else {}
    for gift in quote.gifts:
        offer = gifts.get(gift.sku)
        if offer is None:
            lines.append(Line(gift.sku, gift.qty, 0, 0))
        else:
            product = offer.product
            lines.append(Line(gift.sku, gift.qty, 0, 0, product.name, product.id, product.category, offer.sku.tracked))
    discounts = tuple(Discount(one.source, one.amount_fen, one.line, one.coupon or "") for one in quote.discounts)
    return replace(
        order, list_fen=quote.list_fen, payable_fen=quote.payable_fen, lines=tuple(lines), discounts=discounts
    )
