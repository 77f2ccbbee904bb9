"""Payment: what takes money and gives it back, behind one protocol. Called outside of transactions, never twice for one
order and reference.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from siyu.errors import MalformedRequest, Refused
from siyu.ledger import derived_key


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
        """Give money back; again under the same `refund_id` gives nothing more."""


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
    """A provider without a bank, for trying things out: one card fails, all others pay."""

    __test__ = False  # for pytest: this is no test
    name = "test"

    async def take(self, intent: Intent) -> Taken:
        """The reference follows from the order, as a bank's does from its idempotency key."""
        if intent.card == DECLINED:
            raise Refused("PAYMENT_DECLINED", "The card was declined.")
        reference = intent.reference or f"test-{derived_key('test payment', intent.order_id).hex[:16]}"
        return Taken(self.name, reference, intent.amount_fen)

    async def give_back(self, taken: Taken, refund_id: str, amount_fen: int) -> None:
        """Nothing to move."""


PROVIDERS: Final[dict[str, PaymentProvider]] = {one.name: one for one in (External(), TestProvider())}


def provider(name: str) -> PaymentProvider:
    """Raises UnknownProvider."""
    if (found := PROVIDERS.get(name)) is None:
        raise UnknownProvider(f"There is no payment provider {name!r}; there are {', '.join(sorted(PROVIDERS))}.")
    return found
