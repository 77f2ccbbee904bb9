"""Payment: what takes money and gives it back, behind one protocol. Called outside of transactions, under a number that
was written down before (`arriving`).
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
    reference: str
    """Number of the payment: the caller's, else ours."""
    card: str | None = None


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
    moves: bool
    """Whether it moves money: then nothing is asked of it that was not written down before."""

    async def take(self, intent: Intent) -> Taken:
        """Take the money of an order. Raises Refused (PAYMENT_DECLINED, DUPLICATE) when nothing was taken."""

    async def look(self, intent: Intent) -> Taken | None:
        """What was taken under this number; None: nothing yet."""

    async def close(self, intent: Intent) -> Taken | None:
        """From now on nothing is taken under this number; what was taken under it before."""

    async def give_back(self, taken: Taken, refund_id: str, amount_fen: int) -> None:
        """Give money back; again under the same `refund_id` gives nothing more. Raises Refused when it never will."""


class External:
    """Money that the caller took, in cash or by a provider of their own: it is noted, not moved."""

    name = "external"
    moves = False

    async def take(self, intent: Intent) -> Taken:
        """Taken it is."""
        return Taken(self.name, intent.reference, intent.amount_fen)

    async def look(self, intent: Intent) -> None:
        """The caller knows, we do not."""

    async def close(self, intent: Intent) -> None:
        """Nothing is asked of it."""

    async def give_back(self, taken: Taken, refund_id: str, amount_fen: int) -> None:
        """The caller gives it back."""


DECLINED: Final = "4000000000000002"
BALKS: Final = "4000000000005126"
"""Card of a payment whose first refund is refused."""


class TestProvider:
    """A provider without a bank, for trying things out: one card fails, one refuses its first refund, all others pay.
    What it took and gave back it remembers, as a bank does: a refund is one refund however often it is asked for, and
    never more than was paid."""

    __test__ = False  # for pytest: this is no test
    name = "test"
    moves = True

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, intent: Intent) -> Taken:
        """Raises Refused (PAYMENT_DECLINED, DUPLICATE)."""
        if intent.card == DECLINED:
            raise Refused("PAYMENT_DECLINED", "The card was declined.")
        async with self._db.begin() as conn:
            connection = await driver_of(conn)
            known = await records.bank_take(
                connection, intent.reference, intent.order_id, intent.amount_fen, balks=intent.card == BALKS
            )
        if known.closed:
            raise Refused("PAYMENT_DECLINED", f"The payment {intent.reference} was closed.")
        if known[:2] != (intent.order_id, intent.amount_fen):
            raise another_orders(intent.reference)
        return Taken(self.name, intent.reference, intent.amount_fen)

    async def look(self, intent: Intent) -> Taken | None:
        """What it remembers."""
        async with self._db.begin() as conn:
            known = await records.bank_look(await driver_of(conn), intent.reference)
        return self._taken(intent, known)

    async def close(self, intent: Intent) -> Taken | None:
        """It remembers that too."""
        async with self._db.begin() as conn:
            known = await records.bank_take(await driver_of(conn), intent.reference, intent.order_id, 0, closed=True)
        return self._taken(intent, known)

    def _taken(self, intent: Intent, known: records.BankPayment | None) -> Taken | None:
        if known is None or known.closed or known.order_id != intent.order_id:
            return None
        return Taken(self.name, intent.reference, known.amount_fen)

    async def give_back(self, taken: Taken, refund_id: str, amount_fen: int) -> None:
        """Raises Refused (REFUND_DECLINED, IDEMPOTENCY_CONFLICT, PAYMENT_NOT_FOUND, REFUND_EXCEEDS_PAID)."""
        async with self._db.begin() as conn:
            balks = await records.bank_balks(await driver_of(conn), taken.reference)
        if balks:
            raise Refused("REFUND_DECLINED", "The bank of the card refused the refund.")
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


def another_orders(reference: str) -> Refused:
    """A payment pays one order."""
    return Refused("DUPLICATE", f"The payment {reference} is another order's.", payment_id=reference)


def number_of(provider: PaymentProvider, order_id: str) -> str:
    """The number of an order's payment when the caller gives none: always the same, so that nothing is taken twice."""
    if not provider.moves:
        return f"order/{order_id}"
    return f"{provider.name}-{derived_key(f'{provider.name} payment', order_id).hex[:16]}"


def providers(db: Database) -> dict[str, PaymentProvider]:
    """Those there are, by name."""
    return {one.name: one for one in (External(), TestProvider(db))}


def provider(there: Mapping[str, PaymentProvider], name: str) -> PaymentProvider:
    """Raises UnknownProvider."""
    if (found := there.get(name)) is None:
        raise UnknownProvider(f"There is no payment provider {name!r}; there are {', '.join(sorted(there))}.")
    return found
