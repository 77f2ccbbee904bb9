"""What happened to coupons as events: what is written into the outbox. Pure.

An event names the coupon by its number, never by its code: who reads events shall not be able to use coupons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from siyu.coupons.lock_records import Lock
from siyu.coupons.records import Coupon

Told = tuple[str, int, datetime, str, str]
"""name, anchor, at, end, properties as JSON: `lock_records.add_events`."""


def told_of_coupon(name: str, coupon: Coupon, at: datetime, more: Mapping[str, Any] | None = None) -> Told:
    """Something happened to a coupon that somebody has."""
    assert coupon.anchor is not None
    properties = {
        "coupon_id": str(coupon.id),
        "template": coupon.template,
        "valid_until": None if coupon.valid_until is None else coupon.valid_until.isoformat(),
    }
    end = str((more or {}).get("end", ""))
    return name, coupon.anchor, at, end, msgspec.json.encode(properties | dict(more or {})).decode()


def told_of_lock(name: str, lock: Lock, at: datetime, more: Mapping[str, Any] | None = None) -> Told:
    """Something happened to a lock of somebody."""
    assert lock.anchor is not None
    properties = {"lock_id": str(lock.id), "order_id": lock.order_id, "points": lock.points}
    return name, lock.anchor, at, lock.end, msgspec.json.encode(properties | dict(more or {})).decode()
