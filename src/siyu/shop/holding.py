"""What a group of requests locks before it does the first of them.

Requests of a group are done one after the other, each with the accounts of its person. Locked so, one by one, two
accounts stand in the order of the requests, and whoever has the second and wants the first (a batch of events that earn
points) waits for ever: PostgreSQL ends one of the two after a second, for which everybody waits (decision 0480).
So everywhere: orders, identifiers, accounts of persons in the order of their ids; then stock and budgets.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from siyu.coupons.owner import find_owners, owners_of
from siyu.coupons.quote import POINTS
from siyu.coupons.records import hold_anchors
from siyu.errors import PersonNotFound
from siyu.ledger.records import lock_holders
from siyu.loyalty.request import uid_of
from siyu.shop import order_records
from siyu.shop.mall import SOURCE
from siyu.shop.order import Discount
from siyu.shop.request import Place


async def hold(
    connection: Any, order_ids: Collection[str], places: Sequence[Place], secret: bytes, now: datetime
) -> None:
    """Lock these orders, who places new ones that are quoted, and the accounts of points that either pay with."""
    orders = await order_records.hold_orders(connection, sorted(order_ids)) if order_ids else []
    paying = await owners_of(connection, [anchor for anchor, discounts in orders if of_points(discounts)], now)
    named = [(uid, place) for place in places if (uid := _uid(place, secret)) is not None]
    buyers = await find_owners(connection, {uid for uid, _ in named}, now)
    paying += [buyers[uid] for uid, place in named if place.points and uid in buyers]
    if anchors := {anchor for one in buyers.values() for anchor in one.anchors}:
        await hold_anchors(connection, sorted(anchors))
    if holders := {holder for one in paying for holder in one.holders}:
        await lock_holders(connection, sorted(holders))


def of_points(discounts: Sequence[Discount]) -> bool:
    """Whether points pay a part, in an order or in the mall. Pure."""
    return any(one.source == POINTS or one.source.startswith(SOURCE) for one in discounts)


def _uid(place: Place, secret: bytes) -> UUID | None:
    try:
        return None if place.person is None else uid_of(place.person, secret)
    except PersonNotFound:
        return None  # said again, to who asked
