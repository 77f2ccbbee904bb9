"""One ledger for all value a brand gives away: points, growth, stock, seats, budgets, commission; sealed for proof.

Double entry over accounts (currency, holder, role). A command is one transfer of several parts, all or none; two-phase
where a decision comes later; lots where what is held ends. What is committed is sealed beside it (`sealing`), with
`trust`. Not here: who a person is, what earns what.
Invariants: docs/ledger.md; `check.violations` looks for breaches of each.
"""

from siyu.ledger.account import Account, AccountName, Role
from siyu.ledger.actions import Ledger, UnknownCurrency
from siyu.ledger.command import (
    AtEnd,
    Command,
    End,
    Flow,
    Leg,
    Outcome,
    Reverse,
    State,
    derived_key,
)
from siyu.ledger.currency import Currency, Rounding
from siyu.ledger.desk import Desk

__all__ = [
    "Account",
    "AccountName",
    "AtEnd",
    "Command",
    "Currency",
    "Desk",
    "End",
    "Flow",
    "Ledger",
    "Leg",
    "Outcome",
    "Reverse",
    "Role",
    "Rounding",
    "State",
    "UnknownCurrency",
    "derived_key",
]
