"""Every SQL statement on orders of foreign shops. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID
from zlib import crc32

import msgspec

from siyu.shop.claims import Claim
from siyu.shop.foreign import UNNAMED, About, Told, rest_of
from siyu.shop.order import OURS, Order
from siyu.shop.order_records import text_of

HEARD_LOCK: Final = 0x51_0D
"""Advisory lock of the one process that folds what batches heard."""
CLAIMS_LOCK: Final = 0x51_0E
"""Advisory locks of orders whose money several partitions of the stream may tell of at once."""
_CLAIM_LOCKS: Final = 64
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


async def voided_owners(connection: Any, wanted: Sequence[About]) -> dict[About, list[int]]:
    """Those of whose number `order.voided` has told, with the identifiers of who ordered. What names no shop is the
    same as what names one."""
    rows = await connection.fetch(
        "SELECT n.source, n.order_id, o.anchor FROM unnest($1::text[], $2::text[]) AS n(source, order_id)"
        " JOIN shop_orders o ON o.order_id = n.order_id AND o.source <> 'shop'"
        " WHERE o.voided_fen > 0 AND o.anchor IS NOT NULL AND (o.source = n.source OR $3 IN (o.source, n.source))",
        [one.source for one in wanted], [one.order_id for one in wanted], UNNAMED,
    )  # fmt: skip
    found: dict[About, list[int]] = {}
    for row in rows:
        found.setdefault(About(row[0], row[1]), []).append(row[2])
    return found


async def lock_claims(connection: Any, order_ids: Iterable[str]) -> None:
    """Let the money of these orders be claimed by one transaction at a time: who comes second sees the first."""
    places = sorted({crc32(order_id.encode()) % _CLAIM_LOCKS for order_id in order_ids})
    await connection.execute(
        "SELECT pg_advisory_xact_lock($1, place) FROM unnest($2::int[]) place", CLAIMS_LOCK, places
    )


async def find_claims(connection: Any, order_ids: Sequence[str], each_max: int) -> list[Claim]:
    """What is claimed of these orders, at most so many of each."""
    rows = await connection.fetch(
        "SELECT c.order_id, c.shop, c.name, c.reference, c.source, c.anchor, c.event_id, c.at"
        " FROM unnest($1::text[]) AS n(order_id) CROSS JOIN LATERAL"
        "  (SELECT * FROM shop_claims c WHERE c.order_id = n.order_id ORDER BY c.key LIMIT $2) c",
        list(order_ids), each_max,
    )  # fmt: skip
    return [Claim(*row) for row in rows]


async def add_claims(connection: Any, claims: Mapping[UUID, Claim]) -> None:
    """Keep first tellings under their keys; of those that are known already the first stay."""
    await connection.execute(
        "INSERT INTO shop_claims (order_id, shop, name, reference, source, anchor, event_id, at, key)"
        " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],"
        " $8::timestamptz[], $9::uuid[]) ON CONFLICT DO NOTHING",
        *(list(column) for column in zip(*claims.values(), strict=True)),
        list(claims),
    )


async def any_to_void(connection: Any) -> bool:
    """Whether `order.voided` has to tell of some order."""
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM shop_orders WHERE rest_fen > voided_fen)")
    return found


class Ended(NamedTuple):
    """A foreign order that ended (`foreign.rest_of`), or has the number of one that did."""

    about: About
    anchor: int
    at: datetime
    told: tuple[Told, ...]
    told_fen: int
    """What `order.voided` has told of it."""


async def void(connection: Any, orders_max: int) -> list[Ended]:
    """Note that the rest of these orders is looked at."""
    rows = await connection.fetch(
        "UPDATE shop_orders o SET voided_fen = o.rest_fen FROM (SELECT number FROM shop_orders"
        "  WHERE rest_fen > voided_fen ORDER BY number LIMIT $1 FOR UPDATE) n"
        " WHERE o.number = n.number RETURNING o.source, o.order_id, o.anchor, o.created_at, o.steps, o.told_fen",
        orders_max,
    )
    return [_ended(row) for row in rows]


async def numbered(connection: Any, order_ids: Sequence[str]) -> list[Ended]:
    """All foreign orders of these numbers."""
    rows = await connection.fetch(
        "SELECT source, order_id, anchor, created_at, steps, told_fen FROM shop_orders"
        " WHERE order_id = ANY($1::text[]) AND source <> 'shop'",
        list(order_ids),
    )
    return [_ended(row) for row in rows]


async def add_told(connection: Any, told: Mapping[About, int]) -> None:
    """`order.voided` tells so many fen more of these orders."""
    await connection.execute(
        "UPDATE shop_orders o SET told_fen = o.told_fen + n.fen"
        " FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n(source, order_id, fen)"
        " WHERE o.source = n.source AND o.order_id = n.order_id",
        [one.source for one in told], [one.order_id for one in told], list(told.values()),
    )  # fmt: skip


def _ended(row: Any) -> Ended:
    return Ended(About(row[0], row[1]), row[2], row[3], _told.decode(row[4]), row[5])


async def write_orders(connection: Any, orders: Mapping[About, tuple[Order, Sequence[Told]]], at: datetime) -> None:
    """Write orders as they stand now."""
    rows = [
        (about.source, about.order_id, one.anchor, one.end, one.state.value, one.list_fen, one.payable_fen,
         one.paid_fen, one.refunded_fen, text_of(one.lines), text_of(told), one.created_at, rest_of(told))
        for about, (one, told) in sorted(orders.items())
    ]  # fmt: skip
    if rows:
        await connection.execute(_UPSERT, *(list(column) for column in zip(*rows, strict=True)), at)
