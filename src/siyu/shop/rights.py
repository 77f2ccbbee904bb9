"""What the shop holds of a person, for their archive, and what of it an erasure removes.

Money that was taken stays countable: of an order that was made here its number, lines and amounts stay without the
person; what speaks of the person (who, notes, steps) goes. Orders of foreign shops are removed whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from siyu.coupons.owner import find_owners
from siyu.identity.spans import END_MS
from siyu.profile.rights import Erasing
from siyu.shop import foreign_records, order_records, product_records, rights_records
from siyu.shop.foreign import pack
from siyu.shop.react import forget
from siyu.shop.request import view

ORDERS_FILE: Final = "orders.json"
EXPORT_MAX: Final = 100_000


async def orders_file(connection: Any, person_id: UUID, at: datetime) -> tuple[str, Any]:
    """Orders, cart and redemptions of the person; empty for an id that nobody has."""
    buyer = (await find_owners(connection, [person_id], at)).get(person_id)
    if buyer is None:
        return ORDERS_FILE, {"orders": [], "cart": [], "redemptions": []}
    orders = await order_records.orders_of(connection, buyer.spans, None, EXPORT_MAX)
    cart = await product_records.cart(connection, buyer.current)
    return ORDERS_FILE, {
        "orders": [view(one) for one in orders],
        "cart": [{"sku": sku, "qty": qty, "added_at": added} for sku, qty, added, _ in cart],
        "redemptions": await rights_records.redemptions_of(connection, buyer.current),
    }


async def scrub_shop(connection: Any, erasing: Erasing) -> Mapping[str, int]:
    """Remove what speaks of the person; of shared identifiers only while they are theirs."""
    anchors = sorted({one.anchor for one in erasing.spans if one.until_ms == END_MS})
    removed = {"shop_heard": await _scrub_heard(connection, set(anchors))}
    return removed | await rights_records.forget(connection, anchors)


async def _scrub_heard(connection: Any, anchors: set[int]) -> int:
    """Steps that were heard and are not in an order yet. The rows are held, so that nobody makes an order of them."""
    gone = 0
    for number, blob in await foreign_records.heard(connection, None):
        left, removed = forget(blob, anchors)
        if removed:
            gone += removed
            await foreign_records.replace_heard(connection, number, pack(left))
    return gone
