"""Accounts: who holds what in which role, and on which side of zero. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Role(StrEnum):
    """What an account is for. A holder has one of each kind and currency, made when first needed."""

    ISSUED = "issued"
    """Where the brand takes from when it gives: below zero by what was given and not taken back."""
    AVAILABLE = "available"
    PENDING = "pending"
    """Given, not usable yet."""
    LOCKED = "locked"
    """Set aside for a purchase that is not certain yet."""
    REDEEMED = "redeemed"
    """Used (points spent, stock sold)."""
    EXPIRED = "expired"
    DEBT = "debt"
    """Taken back after it was spent: below zero by what is owed."""
    CORRECTED = "corrected"
    """The other side of adjustments by hand."""


SIGN: Final = {
    Role.ISSUED: -1,
    Role.AVAILABLE: 1,
    Role.PENDING: 1,
    Role.LOCKED: 1,
    Role.REDEEMED: 1,
    Role.EXPIRED: 1,
    Role.DEBT: -1,
    Role.CORRECTED: 0,
}
"""+1: never below zero, -1: never above, 0: either. A CHECK in the database."""


class AccountName(NamedTuple):
    """Names an account. `holder` means nothing to the ledger."""

    currency: str
    holder: str
    role: Role


class Account(NamedTuple):
    """An account as it stands."""

    id: int
    name: AccountName
    balance: int
    version: int
    """Number of its newest entry; 0: none yet."""
