"""Membership: tiers and check-in.

Which tier a person has (the ladder as data, standings kept by the keeper of segments), what it brings, the member
card; check-ins by local day, their streaks and rewards. Not here: points themselves (loyalty, ledger), what figures
mean (rules).
Invariants: a standing is a function of what is known and of what was decided for the identifiers that are the person's;
a person checks in once per local day, and a reward is given once for what brought it.
"""
