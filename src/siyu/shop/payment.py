"""Payment: what takes money and gives it back, behind one protocol. Called outside of transactions, never twice for one
order and reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from siyu.errors import MalformedRequest, Refused
from siyu.ledger import derived_key
from siyu.shop import payment_records as records
from siyu.store.postgres import Database, driver_of


class Intent(NamedTuple):
    """What is to be paid."""

    order_id: str
    amount_fen: int
    reference: str | None
    """What the caller knows the payment as."""
    card: str | None


class Taken(NamedTuple):
    """Money that was taken."""

    provider: str
    reference: str
    amount_fen: int


class UnknownProvider(MalformedRequest):
    """There is no such payment provider."""

    code = "UNKNOWN_PROVIDER"
    status = 422


class PaymentProvider(Protocol):
    """Takes money. The same intent again takes nothing more."""

    name: str

    async def take(self, intent: Intent) -> Taken:
        """Take the money of an order. Raises Refused(PAYMENT_DECLINED)."""

    async def give_back(self, taken: Taken, refund_id: str, amount_fen: int) -> None:
        """Give money back; again under the same `refund_id` gives nothing more. Raises Refused when it never will."""


class External:
    """Money that the caller took, in cash or by a provider of their own: it is noted, not moved."""

    name = "external"

    async def take(self, intent: Intent) -> Taken:
        """Taken it is."""
        return Taken(self.name, intent.reference or f"order/{intent.order_id}", intent.amount_fen)

    async def give_back(self, taken: Taken, refund_id: str, amount_fen: int) -> None:
        """The caller gives it back."""


DECLINED: Final = "4000000000000002"


class TestProvider:
    """A provider without a bank, for trying things out: one card fails, all others pay. What it took and gave back it
    remembers, as a bank does: a refund is one refund however often it is asked for, and never more than was paid."""

    __test__ = False  # for pytest: this is no test
    name = "test"

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, intent: Intent) -> Taken:
        """The reference follows from the order, as a bank's does from its idempotency key. Raises Refused
        (PAYMENT_DECLINED, DUPLICATE)."""
        if intent.card == DECLINED:
            raise Refused("PAYMENT_DECLINED", "The card was declined.")
        reference = intent.reference or f"test-{derived_key('test payment', intent.order_id).hex[:16]}"
        async with self._db.begin() as conn:
            known = await records.bank_take(await driver_of(conn), reference, intent.order_id, intent.amount_fen)
        if known != (intent.order_id, intent.amount_fen):
            raise Refused("DUPLICATE", f"The payment {reference} is another order's.", payment_id=reference)
        return Taken(self.name, reference, intent.amount_fen)

    async def give_back(self, taken: Taken, refund_id: str, amount_fen: int) -> None:
        """Raises Refused (IDEMPOTENCY_CONFLICT, PAYMENT_NOT_FOUND, REFUND_EXCEEDS_PAID)."""
        async with self._db.begin() as conn:
            connection = await driver_of(conn)
            held = await records.bank_hold(connection, taken.reference)
            if held is None:
                raise Refused("PAYMENT_NOT_FOUND", f"There is no payment {taken.reference}.")
            if (known := held.get(refund_id)) is not None:
                if known != amount_fen:
                    raise Refused("IDEMPOTENCY_CONFLICT", f"The refund {refund_id} was one of {known} fen.")
                return
            paid = held.pop("")
            if sum(held.values()) + amount_fen > paid:
                raise Refused("REFUND_EXCEEDS_PAID", f"{paid - sum(held.values())} fen of it are left.")
            await records.bank_give(connection, taken.reference, refund_id, amount_fen)


def providers(db: Database) -> dict[str, PaymentProvider]:
    """Those there are, by name."""
    return {one.name: one for one in (External(), TestProvider(db))}


def provider(there: Mapping[str, PaymentProvider], name: str) -> PaymentProvider:
    """Raises UnknownProvider."""
    if (found := there.get(name)) is None:
        raise UnknownProvider(f"There is no payment provider {name!r}; there are {', '.join(sorted(there))}.")
    return found
