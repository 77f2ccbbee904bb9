"""What becomes of a redemption when its order is paid, given up or refunded."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from siyu.coupons.owner import owner_of
from siyu.errors import Refused
from siyu.ledger import State
from siyu.ledger.records import legs_of
from siyu.shop import mall, mall_records
from siyu.shop.mall import SOURCE
from siyu.shop.order import Order
from siyu.shop.placing import Tools


def of_mall(order: Order) -> bool:
    """Whether points paid a part of it in the mall."""
    return any(one.source.startswith(SOURCE) for one in order.discounts)


async def order_paid(connection: Any, order: Order, tools: Tools, now: datetime) -> None:
    """Points and stock that were held are used. Raises Refused(ENDED) when their time was over."""
    if not of_mall(order) or (one := await mall_records.of_order(connection, order.order_id)) is None:
        return
    (outcome,) = await tools.ledger.post(connection, [mall.decide(one, State.POSTED, now)])
    if outcome.refused is not None or not await mall_records.decide(connection, one.id, "held", "done"):
        raise Refused("ENDED", f"The order {order.order_id} was not paid in time.")


async def order_given_up(connection: Any, order: Order, tools: Tools, now: datetime, *, by_time: bool) -> None:
    """Points and stock that were held are free again."""
    if not of_mall(order) or (one := await mall_records.of_order(connection, order.order_id)) is None:
        return
    if await mall_records.decide(connection, one.id, "held", "cancelled"):
        state = State.EXPIRED if by_time else State.VOIDED
        await tools.ledger.post(connection, [mall.decide(one, state, now)])


async def order_refunded(connection: Any, order: Order, tools: Tools, now: datetime) -> int:
    """Points go back into the lots they came from; how many."""
    if not of_mall(order) or (one := await mall_records.of_order(connection, order.order_id)) is None:
        return 0
    if not await mall_records.decide(connection, one.id, "done", "cancelled"):
        return 0
    owner = await owner_of(connection, one.anchor, now)
    legs, _ = await legs_of(connection, [one.transfer])
    amount = sum(leg.reversible for leg in legs)
    (outcome,) = await tools.ledger.post(connection, [mall.give_back(one, amount, owner.wallets, now)])
    outcome.settled()
    return one.points
