"""Every SQL statement on money that goes back, and of the test provider's bank. `connection` is raw asyncpg."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.shop.order_records import PAYMENT, Payment

CLAIM_GUARD: Final = "AND due_at <= $1"
RETRY_GUARD: Final = "AND state = 'failed'"
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
_RETRY: Final = f"""
UPDATE shop_payments SET state = 'planned', due_at = $3
WHERE number = $1 AND ($2::text IS NULL OR reference = $2) AND kind IN ('refund', 'return') {RETRY_GUARD}
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


async def try_again(connection: Any, number: int, reference: str | None, now: datetime) -> None:
    """Plan again what failed of the money that an order gives back: one refund or return, or all."""
    await connection.execute(_RETRY, number, reference, now)


# The bank of the test provider.


class BankPayment(NamedTuple):
    """A payment as the test provider remembers it."""

    order_id: str
    amount_fen: int
    closed: bool


async def bank_take(
    connection: Any, reference: str, order_id: str, amount_fen: int, *, closed: bool = False, balks: bool = False
) -> BankPayment:
    """Remember a payment, or that there will be none; what is remembered under this reference, from now on or since
    before."""
    await connection.execute(
        "INSERT INTO shop_test_bank (reference, refund, order_id, amount_fen, closed, balks)"
        " VALUES ($1, '', $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        reference, order_id, amount_fen, closed, balks,
    )  # fmt: skip
    known = await bank_look(connection, reference)
    assert known is not None
    return known


async def bank_look(connection: Any, reference: str) -> BankPayment | None:
    """What is remembered under a reference."""
    row = await connection.fetchrow(
        "SELECT order_id, amount_fen, closed FROM shop_test_bank WHERE reference = $1 AND refund = ''", reference
    )
    return None if row is None else BankPayment(*row)


async def bank_hold(connection: Any, reference: str) -> dict[str, int] | None:
    """What was paid ('') and given back of it (refund → fen), locked; None when there is no such payment."""
    if await connection.fetchval(
        "SELECT true FROM shop_test_bank WHERE reference = $1 AND refund = '' AND NOT closed FOR UPDATE", reference
    ):
        rows = await connection.fetch("SELECT refund, amount_fen FROM shop_test_bank WHERE reference = $1", reference)
        return {row[0]: row[1] for row in rows}
    return None


async def bank_balks(connection: Any, reference: str) -> bool:
    """Whether a refund of this payment is refused now; the next one is not."""
    status = await connection.execute(
        "UPDATE shop_test_bank SET balks = false WHERE reference = $1 AND refund = '' AND balks", reference
    )
    return bool(status.endswith(" 1"))


async def bank_give(connection: Any, reference: str, refund: UUID | str, amount_fen: int) -> None:
    """Remember a refund of a payment that is held."""
    await connection.execute(
        "INSERT INTO shop_test_bank (reference, refund, order_id, amount_fen)"
        " SELECT reference, $2, order_id, $3 FROM shop_test_bank WHERE reference = $1 AND refund = ''",
        reference, str(refund), amount_fen,
    )  # fmt: skip
