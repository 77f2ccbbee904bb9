"""Every SQL statement on orders and payments. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from siyu.errors import Contended
from siyu.shop.order import OURS, Back, Discount, Line, Order, State, Step

STUCK: Final = 3
"""Attempts in vain after which money is shown as stuck."""

_COLUMNS: Final = (
    'number, version, source, order_id, anchor, "end", state, list_fen, payable_fen, paid_fen, refunded_fen, lines,'
    " discounts, steps, created_at, expires_at, stock, lock"
)
_INSERT: Final = """
INSERT INTO shop_orders (source, order_id, request, anchor, "end", state, version, list_fen, payable_fen, paid_fen,
  refunded_fen, lines, discounts, steps, created_at, changed_at, state_at, expires_at, stock, lock)
SELECT n.source, n.order_id, n.request, n.anchor, n."end", n.state, 1, n.list_fen, n.payable_fen, n.paid_fen,
  n.refunded_fen, n.lines, n.discounts, n.steps, n.created_at, n.created_at, n.created_at, n.expires_at, n.stock, n.lock
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
  $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::timestamptz[], $15::timestamptz[],
  $16::bigint[], $17::text[])
  AS n(source, order_id, request, anchor, "end", state, list_fen, payable_fen, paid_fen, refunded_fen, lines,
       discounts, steps, created_at, expires_at, stock, lock)
ORDER BY n.order_id ON CONFLICT (source, order_id) DO NOTHING RETURNING order_id, number
"""
VERSION_GUARD: Final = "AND version = $2"
_UPDATE: Final = f"""
UPDATE shop_orders SET version = version + 1, state = $3, paid_fen = $4, refunded_fen = $5, lines = $6, steps = $7,
  changed_at = $8, state_at = CASE WHEN state = $3 THEN state_at ELSE $8 END, expires_at = $9, stock = $10, lock = $11
WHERE number = $1 {VERSION_GUARD}
"""
_lines = msgspec.json.Decoder(tuple[Line, ...])
_discounts = msgspec.json.Decoder(tuple[Discount, ...])
_steps = msgspec.json.Decoder(tuple[Step, ...])


class Payment(NamedTuple):
    """Money that came in or went back."""

    id: UUID
    number: int
    kind: str
    provider: str
    reference: str
    amount_fen: int
    at: datetime
    lines: str
    reason: str
    state: str = "done"
    """Of a refund: `planned`, `sending`, `done`, `failed`."""
    because: str = ""
    """Why its money has not moved."""
    attempts: int = 0
    due_at: datetime | None = None
    """When the provider is asked, or asked again."""


def text_of(value: object) -> str:
    """JSON as text."""
    return msgspec.json.encode(value).decode()


def _order(row: Any) -> Order:
    values = list(row)
    values[6] = State(values[6])
    values[11] = _lines.decode(values[11])
    values[12] = _discounts.decode(values[12])
    values[13] = _steps.decode(values[13])
    return Order(*values)


async def insert_orders(connection: Any, orders: Sequence[tuple[Order, UUID | None]]) -> dict[str, int]:
    """Store new orders of one source; order_id → number of those that were not there."""
    columns = [
        (
            one.source, one.order_id, request, one.anchor, one.end, one.state.value, one.list_fen, one.payable_fen,
            one.paid_fen, one.refunded_fen, text_of(one.lines), text_of(one.discounts), text_of(one.steps),
            one.created_at, one.expires_at, one.stock, one.lock,
        )
        for one, request in orders
    ]  # fmt: skip
    rows = await connection.fetch(_INSERT, *(list(column) for column in zip(*columns, strict=True)))
    return {row[0]: row[1] for row in rows}


async def hold_orders(connection: Any, order_ids: Sequence[str]) -> list[tuple[int, tuple[Discount, ...]]]:
    """Lock these orders of ours, in the order of their numbers; identifier and discounts of those of somebody."""
    rows = await connection.fetch(
        "SELECT anchor, discounts FROM shop_orders WHERE source = $1 AND order_id = ANY($2::text[])"
        " ORDER BY number FOR UPDATE",
        OURS, list(order_ids),
    )  # fmt: skip
    return [(row[0], _discounts.decode(row[1])) for row in rows if row[0] is not None]


async def requests_of(connection: Any, order_ids: Sequence[str]) -> dict[str, UUID]:
    """order_id → hash of what was ordered, of our own orders that exist."""
    rows = await connection.fetch(
        "SELECT order_id, request FROM shop_orders WHERE source = $1 AND order_id = ANY($2::text[])",
        OURS, list(order_ids),
    )  # fmt: skip
    return {row[0]: row[1] for row in rows}


async def find_order(connection: Any, order_id: str, source: str = OURS, *, lock: bool = False) -> Order | None:
    """One order; locked until the transaction ends when asked so."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM shop_orders WHERE source = $1 AND order_id = $2{' FOR UPDATE' if lock else ''}",
        source, order_id,
    )  # fmt: skip
    return None if row is None else _order(row)


async def sources_of(connection: Any, order_id: str) -> list[str]:
    """The shops that have an order of this id, in their order; some of very many."""
    rows = await connection.fetch(
        "SELECT source FROM shop_orders WHERE order_id = $1 ORDER BY source LIMIT 100", order_id
    )
    return [row[0] for row in rows]


async def name_of(connection: Any, number: int) -> tuple[str, str] | None:
    """(source, order_id) of an order by its number in the table."""
    row = await connection.fetchrow(
        "SELECT source, order_id FROM shop_orders WHERE number = $1", min(max(number, 0), 2**62)
    )
    return None if row is None else (row[0], row[1])


async def due_orders(connection: Any, now: datetime, limit: int) -> list[str]:
    """Unpaid orders whose time is over and that nobody else is at work on; locked."""
    rows = await connection.fetch(
        "SELECT order_id FROM shop_orders WHERE state = 'created' AND source = $3 AND expires_at <= $1"
        " ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now, limit, OURS,
    )  # fmt: skip
    return [row[0] for row in rows]


async def update_order(connection: Any, order: Order, at: datetime) -> None:
    """Write what a step changed. Raises Contended when somebody else was faster."""
    status = await connection.execute(
        _UPDATE, order.number, order.version, order.state.value, order.paid_fen, order.refunded_fen,
        text_of(order.lines), text_of(order.steps), at, order.expires_at, order.stock, order.lock,
    )  # fmt: skip
    if not status.endswith(" 1"):
        raise Contended("Another request changed this order; this one is tried again.", retry_after_s=1)


class Filter(NamedTuple):
    """Which orders a list has."""

    state: str | None = None
    source: str | None = None
    end: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    """An order_id begins with it."""
    before: int | None = None
    money: str | None = None
    """`failed`: money that could not go back; `stuck`: money that a provider has been asked about in vain."""


_MONEY: Final = {
    None: "",
    "failed": " AND number IN (SELECT number FROM shop_payments WHERE state = 'failed')",
    "stuck": f" AND number IN (SELECT number FROM shop_payments WHERE due_at IS NOT NULL AND attempts >= {STUCK}"
    f" UNION ALL SELECT number FROM shop_intents WHERE due_at IS NOT NULL AND because <> '' AND attempts >= {STUCK})",
}


async def list_orders(connection: Any, wanted: Filter, limit: int) -> list[Order]:
    """Orders, newest first by number."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM shop_orders WHERE ($1::text IS NULL OR state = $1)"
        " AND ($2::text IS NULL OR source = $2) AND ($3::text IS NULL OR \"end\" = $3)"
        " AND ($4::timestamptz IS NULL OR created_at >= $4) AND ($5::timestamptz IS NULL OR created_at < $5)"
        " AND ($6::text IS NULL OR starts_with(order_id, $6)) AND ($7::bigint IS NULL OR number < $7)"
        f"{_MONEY[wanted.money]} ORDER BY number DESC LIMIT $8",
        *wanted[:7], limit,
    )  # fmt: skip
    return [_order(row) for row in rows]


async def orders_of(
    connection: Any, spans: Sequence[tuple[int, datetime, datetime]], before: int | None, limit: int
) -> list[Order]:
    """Orders made under identifiers while they were somebody's, newest first."""
    anchors, since, until = (list(column) for column in zip(*spans, strict=True))
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM shop_orders o WHERE EXISTS (SELECT FROM"
        " unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS s(anchor, since, until)"
        " WHERE s.anchor = o.anchor AND o.created_at >= s.since AND o.created_at < s.until)"
        " AND o.anchor = ANY($1::bigint[]) AND ($4::bigint IS NULL OR number < $4) ORDER BY number DESC LIMIT $5",
        anchors, since, until, before, limit,
    )  # fmt: skip
    return [_order(row) for row in rows]


async def counts(connection: Any) -> dict[str, int]:
    """How many orders stand in each state."""
    rows = await connection.fetch("SELECT state, count(*) FROM shop_orders GROUP BY state")
    return {row[0]: row[1] for row in rows}


async def trouble(connection: Any) -> dict[str, int]:
    """How many orders have money that could not move, by what `Filter.money` calls it."""
    found = {}
    for name, condition in _MONEY.items():
        if name is not None:
            found[name] = await connection.fetchval(f"SELECT count(*) FROM shop_orders WHERE true{condition}")
    return found


async def uids_of(connection: Any, anchors: Sequence[int]) -> dict[int, UUID]:
    """Public ids of identifiers; erased ones are left out."""
    rows = await connection.fetch("SELECT id, uid FROM identifiers WHERE id = ANY($1::bigint[])", list(anchors))
    return {row[0]: row[1] for row in rows}


async def orders_under_way(connection: Any, state: State, since: datetime, limit: int) -> list[str]:
    """Our own orders that have stood in a state since then or longer, and that nobody else is at work on; locked."""
    rows = await connection.fetch(
        "SELECT order_id FROM shop_orders WHERE state = $1 AND source = $2 AND state_at <= $3"
        " ORDER BY state_at LIMIT $4 FOR UPDATE SKIP LOCKED",
        state.value, OURS, since, limit,
    )  # fmt: skip
    return [row[0] for row in rows]


# Payments.

PAYMENT: Final = (
    "id, number, kind, provider, reference, amount_fen, at, lines, reason, state, because, attempts, due_at"
)


async def add_payment(connection: Any, payment: Payment) -> bool:
    """Note money; False when the provider told of it before."""
    status = await connection.execute(
        f"INSERT INTO shop_payments ({PAYMENT}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
        " ON CONFLICT DO NOTHING",
        *payment,
    )
    return bool(status.endswith(" 1"))


async def payments_of(connection: Any, number: int) -> list[Payment]:
    """Money of an order, in the order of time."""
    rows = await connection.fetch(f"SELECT {PAYMENT} FROM shop_payments WHERE number = $1 ORDER BY at, id", number)
    return [Payment(*row) for row in rows]


def backs_of(payment: Payment) -> list[Back]:
    """Units and money of the lines that a refund gave back."""
    return msgspec.json.decode(payment.lines, type=list[Back])
