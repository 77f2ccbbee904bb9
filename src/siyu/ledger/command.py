"""What can be asked of the ledger, and what it answers. Pure.

A command is one transfer: all of its parts happen, or none. Three verbs make everything a brand gives away: units flow
(at once, or set aside first), what was set aside is decided, what arrived is taken back.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.errors import IdempotencyConflict, Refused
from siyu.ledger.account import AccountName

AMOUNT_MAX: Final = 10**15
"""Of one flow. Sums stay far below 2**63."""


class AtEnd(StrEnum):
    """What becomes of what is set aside when its time is over."""

    POST = "post"
    EXPIRE = "expire"


class State(StrEnum):
    """Of a flow: pending, then exactly one of the others."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class Leg(NamedTuple):
    """One way for units to go."""

    source: AccountName
    target: AccountName
    held: AccountName | None = None
    """Where they wait between the two; None: they go at once."""


class Flow(NamedTuple):
    """Units go from sources to targets, at once or, when a leg names where to wait, in two phases."""

    legs: tuple[Leg, ...]
    """Drawn on in lot order across all of them, without lots in this order."""
    amount: int
    repay: tuple[AccountName, ...] = ()
    """Debts that what arrives pays first."""
    ends_at: datetime | None = None
    """Of two phases: when the second comes by itself."""
    at_end: AtEnd = AtEnd.EXPIRE
    expires_at: datetime | None = None
    """Of the lot that arises; None: as its currency says."""
    due_only: bool = False
    """Take lots that have ended, instead of those that have not."""
    reversible: bool = True
    """Whether it may be taken back later: kept as legs."""
    short: str = "INSUFFICIENT"
    """Code of the refusal when the sources do not have `amount`."""


class End(NamedTuple):
    """The second phase of an earlier transfer."""

    transfer: int
    state: State
    amount: int | None = None
    """Units to post, the rest goes back; None: all. Voided and expired post nothing."""
    repay: tuple[AccountName, ...] = ()
    at: datetime | None = None
    """Since when it counts (a due time that has passed); None: now."""


class Reverse(NamedTuple):
    """Units of an earlier transfer go back to where they came from, into the same lots.

    What is pending shrinks. What had arrived in lots is taken from `sources`, its own lots first; what is not there any
    more becomes a debt."""

    transfer: int
    amount: int
    sources: tuple[AccountName, ...] = ()
    debt: AccountName | None = None


Verb = Flow | End | Reverse


class Command(NamedTuple):
    """One transfer as it is asked for."""

    key: UUID
    """Idempotency key: `derived_key`. One key, one effect."""
    request: UUID
    """Hash of what is asked: the same key with another request is refused."""
    kind: str
    """earn, spend, refund, transfer …: for statements."""
    parts: tuple[Verb, ...]
    at: datetime
    """When it is booked."""
    occurred_at: datetime | None = None
    """When what it stands for happened: lots count from then. None: now."""
    reason: str = ""
    cause: str | None = None
    """What brought it: `order/…`, `event/…`, `campaign/…`."""
    by: str = ""
    corrects: int | None = None
    """The transfer it corrects or ends."""
    report: tuple[AccountName, ...] = ()
    """Accounts whose balances, summed by currency and role, are part of the answer."""
    unless: tuple[UUID, ...] = ()
    """Keys of which none may have been used."""


class Refusal(NamedTuple):
    """Why nothing moved."""

    code: str
    message: str
    details: dict[str, Any]


class Outcome(NamedTuple):
    """What became of a command; the same again for the same key."""

    transfer: int
    at: datetime
    balances: dict[str, int]
    """`currency.role` → sum over the reported accounts after the transfer."""
    refused: Refusal | None = None
    """Then nothing moved."""
    fresh: bool = True
    """False: it was answered before."""

    def settled(self) -> Outcome:
        """Itself, when it was not refused. Raises Refused, IdempotencyConflict."""
        if self.refused is None:
            return self
        if self.refused.code == IdempotencyConflict.code:
            raise IdempotencyConflict(self.refused.message)
        raise Refused(self.refused.code, self.refused.message, **self.refused.details)


def derived_key(*parts: object) -> UUID:
    """The idempotency key of an effect named by `parts`: equal parts, equal key."""
    texts = [str(part).encode() for part in parts]
    named = b"".join([piece for text in texts for piece in (len(text).to_bytes(8), text)])
    return UUID(bytes=hashlib.blake2b(named, digest_size=16).digest())
