"""Lifecycle (生命周期): new, active, sleeping, lost, vip, from a few dates and figures. Pure.

Read from the top, the first that fits:
  lost      nothing happened for `lost_days` or longer
  sleeping  nothing happened for `sleeping_days` or longer
  vip       at least `vip_spend_fen` spent, or `vip_orders` orders, in the last `vip_window_days`
  new       first seen less than `new_days` ago
  active    everybody else
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

DAY_MS = 86_400_000
Lifecycle = Literal["new", "active", "sleeping", "lost", "vip"]


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one stage ends and the next begins. Kept as data: `PUT /api/lifecycle` changes them."""

    new_days: int = 30
    sleeping_days: int = 60
    lost_days: int = 180
    vip_spend_fen: int = 100_000
    vip_orders: int = 10
    vip_window_days: int = 365


DEFAULTS = Thresholds()


class Figures(NamedTuple):
    """What the stage is read from."""

    first_seen: datetime
    last_seen: datetime
    spend_fen: int
    """Purchases minus refunds in the last `Thresholds.vip_window_days`."""
    orders: int
    """Purchases in the same days."""


def lifecycle(figures: Figures, now: datetime, limits: Thresholds = DEFAULTS) -> Lifecycle:
    """The stage of a person at `now`."""
    quiet, known = (_milliseconds(now - at) for at in (figures.last_seen, figures.first_seen))
    return stage(quiet, known, figures.spend_fen, figures.orders, limits)


def stage(quiet_ms: int, known_ms: int, spend_fen: int, orders: int, limits: Thresholds) -> Lifecycle:
    """The stage of a person last seen `quiet_ms` and first seen `known_ms` milliseconds ago."""
    if quiet_ms >= limits.lost_days * DAY_MS:
        return "lost"
    if quiet_ms >= limits.sleeping_days * DAY_MS:
        return "sleeping"
    if spend_fen >= limits.vip_spend_fen or orders >= limits.vip_orders:
        return "vip"
    return "new" if known_ms < limits.new_days * DAY_MS else "active"


def _milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
