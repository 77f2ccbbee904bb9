"""SQL of erasure and archive. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from siyu.shop.order import OURS

_ORDERS: Final = """
UPDATE shop_orders SET anchor = NULL, request = NULL, version = version + 1,
  steps = (SELECT coalesce(json_agg(json_build_object('name', s ->> 'name', 'at', s ->> 'at',
                                                      'amount_fen', coalesce((s ->> 'amount_fen')::bigint, 0))), '[]')
           FROM json_array_elements(steps::json) s)::text
WHERE source = $2 AND anchor = ANY($1::bigint[])
"""
_REASONS: Final = """
UPDATE shop_payments p SET reason = '' FROM shop_orders o
WHERE o.number = p.number AND o.source = $2 AND o.anchor = ANY($1::bigint[]) AND p.reason <> ''
"""


async def forget(connection: Any, anchors: Sequence[int]) -> dict[str, int]:
    """Remove what speaks of these identifiers; rows by name."""
    removed = {}
    await connection.execute(_REASONS, list(anchors), OURS)
    removed["shop_orders"] = _count(await connection.execute(_ORDERS, list(anchors), OURS))
    for name, table in (
        ("foreign_orders", "shop_orders"),
        ("shop_claims", "shop_claims"),
        ("shop_carts", "shop_carts"),
        ("mall_redemptions", "mall_redemptions"),
    ):
        status = await connection.execute(f"DELETE FROM {table} WHERE anchor = ANY($1::bigint[])", list(anchors))
        removed[name] = _count(status)
    return removed


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])


async def redemptions_of(connection: Any, anchors: Sequence[int]) -> list[dict[str, Any]]:
    """What somebody took out of the points mall."""
    rows = await connection.fetch(
        "SELECT id::text, item, points, money_fen, state, gives, at FROM mall_redemptions"
        " WHERE anchor = ANY($1::bigint[]) ORDER BY at, id",
        list(anchors),
    )
    return [
        {
            "redemption_id": row[0],
            "item": row[1],
            "points": row[2],
            "money_fen": row[3],
            "state": row[4],
            "gives": msgspec.json.decode(row[5]),
            "at": row[6],
        }
        for row in rows
    ]
