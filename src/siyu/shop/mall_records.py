"""Every SQL statement of the points mall. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from siyu.shop.mall import Item, Redemption

_COLUMNS: Final = "id, item, anchor, nth, points, money_fen, transfer, state, gives, order_id, at"
_TAKE_CODE: Final = """
UPDATE mall_codes SET redemption = $2 WHERE (item, code) = (
  SELECT item, code FROM mall_codes WHERE item = $1 AND redemption IS NULL ORDER BY code LIMIT 1 FOR UPDATE SKIP LOCKED)
AND redemption IS NULL RETURNING code
"""


def _item(text: str) -> Item:
    return msgspec.json.decode(text, type=Item)


async def put_item(connection: Any, item: Item, at: datetime) -> bool:
    """Store the first or next version; False when it is not that."""
    status = await connection.execute(
        "INSERT INTO mall_items AS i (id, item, version, changed_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (id) DO UPDATE SET item = $2, version = $3, changed_at = $4 WHERE i.version = $3 - 1",
        item.id, msgspec.json.encode(item).decode(), item.version, at,
    )  # fmt: skip
    return bool(status.endswith(" 1"))


async def find_item(connection: Any, number: str) -> Item | None:
    """One item."""
    text = await connection.fetchval("SELECT item FROM mall_items WHERE id = $1", number)
    return None if text is None else _item(text)


async def items(connection: Any, after: str, limit: int) -> list[Item]:
    """Items by id."""
    rows = await connection.fetch("SELECT item FROM mall_items WHERE id > $1 ORDER BY id LIMIT $2", after, limit)
    return [_item(row[0]) for row in rows]


async def add_codes(connection: Any, item: str, codes: Sequence[str]) -> int:
    """Codes to hand out; how many were not there."""
    status = await connection.execute(
        "INSERT INTO mall_codes (item, code) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING", item, list(codes)
    )
    return int(status.rpartition(" ")[2])


async def free_codes(connection: Any, wanted: Sequence[str]) -> dict[str, int]:
    """Item → codes that nobody has."""
    rows = await connection.fetch(
        "SELECT item, count(*) FROM mall_codes WHERE item = ANY($1::text[]) AND redemption IS NULL GROUP BY item",
        list(wanted),
    )
    return {row[0]: row[1] for row in rows}


async def take_code(connection: Any, item: str, redemption: UUID) -> str | None:
    """A code that nobody has, from now on theirs; None when there is none."""
    code: str | None = await connection.fetchval(_TAKE_CODE, item, redemption)
    return code


async def taken(connection: Any, item: str, anchors: Sequence[int]) -> list[tuple[int, int]]:
    """(anchor, nth) of what these identifiers took of an item and keep."""
    rows = await connection.fetch(
        "SELECT anchor, nth FROM mall_redemptions WHERE item = $1 AND anchor = ANY($2::bigint[])"
        " AND state <> 'cancelled'",
        item, list(anchors),
    )  # fmt: skip
    return [(row[0], row[1]) for row in rows]


async def add_redemption(connection: Any, one: Redemption) -> bool:
    """Store one; False when the person took this one at the same time elsewhere."""
    status = await connection.execute(
        f"INSERT INTO mall_redemptions ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        " ON CONFLICT DO NOTHING",
        *one,
    )
    return bool(status.endswith(" 1"))


async def of_order(connection: Any, order_id: str) -> Redemption | None:
    """The redemption that made an order; locked."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM mall_redemptions WHERE order_id = $1 FOR UPDATE", order_id)
    return None if row is None else Redemption(*row)


async def decide(connection: Any, number: UUID, before: str, after: str) -> bool:
    """From one state to another; False when it is not in the first."""
    status = await connection.execute(
        "UPDATE mall_redemptions SET state = $3 WHERE id = $1 AND state = $2", number, before, after
    )
    return bool(status.endswith(" 1"))


async def redemptions(
    connection: Any, *, anchors: Sequence[int] | None, item: str | None, limit: int
) -> list[Redemption]:
    """Newest first."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM mall_redemptions WHERE ($1::bigint[] IS NULL OR anchor = ANY($1::bigint[]))"
        " AND ($2::text IS NULL OR item = $2) ORDER BY at DESC, id LIMIT $3",
        None if anchors is None else list(anchors), item, limit,
    )  # fmt: skip
    return [Redemption(*row) for row in rows]


async def counts(connection: Any, wanted: Sequence[str]) -> dict[str, int]:
    """Item → how often it was taken and kept."""
    rows = await connection.fetch(
        "SELECT item, count(*) FROM mall_redemptions WHERE item = ANY($1::text[]) AND state <> 'cancelled'"
        " GROUP BY item",
        list(wanted),
    )
    return {row[0]: row[1] for row in rows}
