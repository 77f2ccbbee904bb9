"""Membership on the ledger: points that persons earn, spend and pass on.

Which wallets are a person's, what each request means as a command of the ledger, what time brings. Not here: how units
move and what keeps that right (ledger), who a person is (identity).
"""

from siyu.loyalty.actions import Points, settle_due

__all__ = ["Points", "settle_due"]
