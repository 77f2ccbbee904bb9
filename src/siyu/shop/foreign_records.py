"""Every SQL statement on orders of foreign shops. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from siyu.shop.foreign import About, Told, rest_of
from siyu.shop.order import Order
from siyu.shop.order_records import OURS, text_of

HEARD_LOCK: Final = 0x51_0D
"""Advisory lock of the one process that folds what batches heard."""
_UPSERT: Final = """
INSERT INTO shop_orders (source, order_id, anchor, "end", state, version, list_fen, payable_fen, paid_fen,
  refunded_fen, lines, discounts, steps, created_at, changed_at, state_at, rest_fen)
SELECT n.source, n.order_id, n.anchor, n."end", n.state, 1, n.list_fen, n.payable_fen, n.paid_fen, n.refunded_fen,
  n.lines, '[]', n.steps, n.created_at, $14, $14, n.rest_fen
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
  $9::bigint[], $10::text[], $11::text[], $12::timestamptz[], $13::bigint[])
  AS n(source, order_id, anchor, "end", state, list_fen, payable_fen, paid_fen, refunded_fen, lines, steps, created_at,
    rest_fen)
ON CONFLICT (source, order_id) DO UPDATE SET anchor = excluded.anchor, "end" = excluded."end", state = excluded.state,
  version = shop_orders.version + 1, list_fen = excluded.list_fen, payable_fen = excluded.payable_fen,
  paid_fen = excluded.paid_fen, refunded_fen = excluded.refunded_fen, lines = excluded.lines, steps = excluded.steps,
  created_at = excluded.created_at, changed_at = excluded.changed_at, rest_fen = excluded.rest_fen,
  state_at = CASE WHEN shop_orders.state = excluded.state THEN shop_orders.state_at ELSE excluded.state_at END
"""
_told = msgspec.json.Decoder(tuple[Told, ...])


async def add_heard(connection: Any, steps: int, events: bytes) -> None:
    """A batch heard of so many steps."""
    await connection.execute("INSERT INTO shop_heard (steps, events) VALUES ($1, $2)", steps, events)


async def heard(connection: Any, steps_max: int | None) -> list[tuple[int, bytes]]:
    """The oldest of what was heard, about so many steps (None: all); locked until the transaction ends."""
    rows = await connection.fetch(
        "SELECT seq, events FROM shop_heard WHERE seq IN (SELECT seq FROM ("
        "  SELECT seq, sum(steps) OVER (ORDER BY seq) - steps AS before FROM shop_heard) f"
        " WHERE $1::bigint IS NULL OR before < $1) ORDER BY seq FOR UPDATE",
        steps_max,
    )
    return [(row[0], row[1]) for row in rows]


async def drop_heard(connection: Any, numbers: Sequence[int]) -> None:
    """These are in the orders."""
    await connection.execute("DELETE FROM shop_heard WHERE seq = ANY($1::bigint[])", list(numbers))


async def replace_heard(connection: Any, number: int, events: bytes) -> None:
    """What is left of it after an erasure."""
    await connection.execute("UPDATE shop_heard SET events = $2 WHERE seq = $1", number, events)


async def known_steps(connection: Any, wanted: Sequence[About]) -> dict[About, tuple[Told, ...]]:
    """What was told so far of these orders."""
    rows = await connection.fetch(
        "SELECT o.source, o.order_id, o.steps FROM unnest($1::text[], $2::text[]) AS n(source, order_id)"
        " JOIN shop_orders o ON o.source = n.source AND o.order_id = n.order_id",
        [one.source for one in wanted], [one.order_id for one in wanted],
    )  # fmt: skip
    return {About(row[0], row[1]): _told.decode(row[2]) for row in rows}


async def ours(connection: Any, order_ids: Sequence[str]) -> dict[str, int | None]:
    """Those that are orders of our own, with the identifier of who bought (None: nobody with a name)."""
    rows = await connection.fetch(
        "SELECT order_id, anchor FROM shop_orders WHERE source = $1 AND order_id = ANY($2::text[])",
        OURS, list(order_ids),
    )  # fmt: skip
    return {row[0]: row[1] for row in rows}


async def voided_owners(connection: Any, wanted: Sequence[About]) -> dict[About, int]:
    """Those of which `order.voided` has told, with the identifier of who ordered."""
    rows = await connection.fetch(
        "SELECT o.source, o.order_id, o.anchor FROM unnest($1::text[], $2::text[]) AS n(source, order_id)"
        " JOIN shop_orders o ON o.source = n.source AND o.order_id = n.order_id"
        " WHERE o.voided_fen > 0 AND o.anchor IS NOT NULL",
        [one.source for one in wanted], [one.order_id for one in wanted],
    )  # fmt: skip
    return {About(row[0], row[1]): row[2] for row in rows}


async def any_to_void(connection: Any) -> bool:
    """Whether `order.voided` has to tell of some order."""
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM shop_orders WHERE rest_fen > voided_fen)")
    return found


async def void(connection: Any, orders_max: int) -> list[tuple[About, tuple[Told, ...], int]]:
    """Note that `order.voided` tells of the rest of these orders: each with its steps and the fen told before."""
    rows = await connection.fetch(
        "UPDATE shop_orders o SET voided_fen = o.rest_fen FROM (SELECT number, voided_fen AS before FROM shop_orders"
        "  WHERE rest_fen > voided_fen ORDER BY number LIMIT $1 FOR UPDATE) n"
        " WHERE o.number = n.number RETURNING o.source, o.order_id, o.steps, n.before",
        orders_max,
    )
    return [(About(row[0], row[1]), _told.decode(row[2]), row[3]) for row in rows]


async def write_orders(connection: Any, orders: Mapping[About, tuple[Order, Sequence[Told]]], at: datetime) -> None:
    """Write orders as they stand now."""
    rows = [
        (about.source, about.order_id, one.anchor, one.end, one.state.value, one.list_fen, one.payable_fen,
         one.paid_fen, one.refunded_fen, text_of(one.lines), text_of(told), one.created_at, rest_of(told))
        for about, (one, told) in sorted(orders.items())
    ]  # fmt: skip
    if rows:
        await connection.execute(_UPSERT, *(list(column) for column in zip(*rows, strict=True)), at)
