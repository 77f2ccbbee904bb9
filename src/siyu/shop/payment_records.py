"""Every SQL statement on money that goes back, and of the test provider's bank. `connection` is raw asyncpg."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from siyu.shop.order_records import PAYMENT, Payment

CLAIM_GUARD: Final = "AND due_at <= $1"
DECIDE_GUARD: Final = "AND state = 'sending' AND attempts = $5"

_CLAIM: Final = f"""
UPDATE shop_payments SET state = 'sending', attempts = attempts + 1, due_at = $2
WHERE id IN (SELECT id FROM shop_payments WHERE due_at IS NOT NULL {CLAIM_GUARD} ORDER BY due_at LIMIT $3
             FOR UPDATE SKIP LOCKED)
RETURNING {PAYMENT}
"""
_DECIDE: Final = f"""
UPDATE shop_payments SET state = $2, because = $3, due_at = $4 WHERE id = $1 {DECIDE_GUARD}
"""


async def claim(connection: Any, now: datetime, until: datetime, limit: int) -> list[Payment]:
    """Refunds whose time has come, claimed `until` then: who claims them dies, and another one does."""
    return [Payment(*row) for row in await connection.fetch(_CLAIM, now, until, limit)]


async def decide(connection: Any, one: Payment, state: str, because: str, due_at: datetime | None) -> bool:
    """Say what became of a claimed refund; False when the claim was over and somebody else has it."""
    status = await connection.execute(_DECIDE, one.id, state, because, due_at, one.attempts)
    return bool(status.endswith(" 1"))


async def paid_by(connection: Any, numbers: Sequence[int]) -> dict[int, tuple[str, str, int]]:
    """Number of an order → (provider, reference, fen) of its payment."""
    rows = await connection.fetch(
        "SELECT number, provider, reference, amount_fen FROM shop_payments"
        " WHERE kind = 'payment' AND number = ANY($1::bigint[])",
        list(numbers),
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


# The bank of the test provider.


async def bank_take(connection: Any, reference: str, order_id: str, amount_fen: int) -> tuple[str, int]:
    """Remember a payment; (order_id, fen) of the one that has this reference, from now on or since before."""
    await connection.execute(
        "INSERT INTO shop_test_bank (reference, refund, order_id, amount_fen) VALUES ($1, '', $2, $3)"
        " ON CONFLICT DO NOTHING",
        reference, order_id, amount_fen,
    )  # fmt: skip
    row = await connection.fetchrow(
        "SELECT order_id, amount_fen FROM shop_test_bank WHERE reference = $1 AND refund = ''", reference
    )
    return row[0], row[1]


async def bank_hold(connection: Any, reference: str) -> dict[str, int] | None:
    """What was paid ('') and given back of it (refund → fen), locked; None when there is no such payment."""
    if await connection.fetchval(
        "SELECT true FROM shop_test_bank WHERE reference = $1 AND refund = '' FOR UPDATE", reference
    ):
        rows = await connection.fetch("SELECT refund, amount_fen FROM shop_test_bank WHERE reference = $1", reference)
        return {row[0]: row[1] for row in rows}
    return None


async def bank_give(connection: Any, reference: str, refund: UUID | str, amount_fen: int) -> None:
    """Remember a refund of a payment that is held."""
    await connection.execute(
        "INSERT INTO shop_test_bank (reference, refund, order_id, amount_fen)"
        " SELECT reference, $2, order_id, $3 FROM shop_test_bank WHERE reference = $1 AND refund = ''",
        reference, str(refund), amount_fen,
    )  # fmt: skip
