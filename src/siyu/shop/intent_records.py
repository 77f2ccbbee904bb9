"""Every SQL statement on intents: what a provider is asked for, until it is known what became of it. `connection` is
raw asyncpg.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

_COLUMNS: Final = "id, number, provider, reference, amount_fen, by, state, because, asks, attempts, at, due_at"
OPEN_GUARD: Final = "AND state = 'open'"
CLAIM_GUARD: Final = "AND due_at <= $1"
ASKS_GUARD: Final = "AND asks = 1"

_OPEN: Final = f"""
INSERT INTO shop_intents AS i ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, 'open', '', 1, 0, $7, $8)
ON CONFLICT (provider, reference) DO UPDATE
  SET state = 'open', asks = CASE WHEN i.state = 'open' THEN i.asks + 1 ELSE 1 END, due_at = excluded.due_at
  WHERE i.number = excluded.number AND i.state IN ('open', 'declined')
RETURNING {_COLUMNS}
"""
_END: Final = f"UPDATE shop_intents SET state = $2, because = '', due_at = NULL WHERE id = $1 {OPEN_GUARD}"
_CLAIM: Final = f"""
UPDATE shop_intents SET attempts = attempts + 1, due_at = $2
WHERE id IN (SELECT id FROM shop_intents WHERE due_at IS NOT NULL {CLAIM_GUARD} ORDER BY due_at LIMIT $3
             FOR UPDATE SKIP LOCKED)
RETURNING {_COLUMNS}
"""
_KNOCK: Final = """
UPDATE shop_intents SET state = 'open', due_at = $3
WHERE provider = $1 AND reference = $2 AND state IN ('open', 'declined', 'closed')
"""


class Asking(NamedTuple):
    """A provider is asked for the money of an order."""

    id: UUID
    number: int
    """Of the order."""
    provider: str
    reference: str
    amount_fen: int
    by: str
    state: str = "open"
    """`open` until it is known what became of it: `booked`, `returned`, `declined`, or `closed` with nothing taken."""
    because: str = ""
    asks: int = 1
    attempts: int = 0
    at: datetime | None = None
    due_at: datetime | None = None


async def write_down(connection: Any, one: Asking, now: datetime, due_at: datetime) -> Asking | None:
    """The intent under this number, opened now or by somebody else before; None when it has an end, or is another
    order's."""
    row = await connection.fetchrow(
        _OPEN, one.id, one.number, one.provider, one.reference, one.amount_fen, one.by, now, due_at
    )
    return None if row is None else Asking(*row)


async def order_of(connection: Any, provider: str, reference: str) -> int | None:
    """Number of the order that a payment was asked for."""
    number: int | None = await connection.fetchval(
        "SELECT number FROM shop_intents WHERE provider = $1 AND reference = $2", provider, reference
    )
    return number


async def end(connection: Any, intent: UUID, state: str) -> bool:
    """It is known what became of it; False when that was known before."""
    status = await connection.execute(_END, intent, state)
    return bool(status.endswith(" 1"))


async def is_open(connection: Any, intent: UUID) -> bool:
    """Whether it is not known yet."""
    found: bool = await connection.fetchval(
        f"SELECT EXISTS (SELECT FROM shop_intents WHERE id = $1 {OPEN_GUARD})", intent
    )
    return found


async def decline(connection: Any, intent: UUID) -> None:
    """The provider declined. Not when somebody else asked under the same number: they may have been given it."""
    await connection.execute(
        f"UPDATE shop_intents SET state = 'declined', due_at = NULL WHERE id = $1 {OPEN_GUARD} {ASKS_GUARD}", intent
    )


async def claim(connection: Any, now: datetime, until: datetime, limit: int) -> list[Asking]:
    """Intents that nobody has said the end of, claimed `until` then: who claims them dies, and another one does."""
    return [Asking(*row) for row in await connection.fetch(_CLAIM, now, until, limit)]


async def put_off(connection: Any, one: Asking, because: str, due_at: datetime) -> None:
    """Not known yet: it is asked again then."""
    await connection.execute(
        f"UPDATE shop_intents SET because = $2, due_at = $3 WHERE id = $1 AND attempts = $4 {OPEN_GUARD}",
        one.id, because, due_at, one.attempts,
    )  # fmt: skip


async def knock(connection: Any, provider: str, reference: str, now: datetime) -> None:
    """The provider says that something happened to a payment: it is asked at once. What is booked or returned stays."""
    await connection.execute(_KNOCK, provider, reference, now)


async def ask_now(connection: Any, number: int, reference: str | None, now: datetime) -> None:
    """What became of payments of an order is asked at once."""
    await connection.execute(
        f"UPDATE shop_intents SET due_at = $3 WHERE number = $1 AND ($2::text IS NULL OR reference = $2) {OPEN_GUARD}",
        number, reference, now,
    )  # fmt: skip


async def open_of(connection: Any, number: int) -> Sequence[Asking]:
    """Payments of an order of which it is not known what became of them."""
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM shop_intents WHERE number = $1 {OPEN_GUARD}", number)
    return [Asking(*row) for row in rows]
