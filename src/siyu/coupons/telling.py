"""What happened to coupons as events. Pure.

An event names the coupon by its number, never by its code: who reads events shall not be able to use coupons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from siyu.coupons.lock_records import Lock
from siyu.coupons.records import Coupon
from siyu.identity.outbox import Told


def told_of_coupon(name: str, coupon: Coupon, at: datetime, more: Mapping[str, Any] | None = None) -> Told:
    """Something happened to a coupon that somebody has: once in its life, or once for the `lock_id` in `more`."""
    assert coupon.anchor is not None
    more = more or {}
    properties = {
        "coupon_id": str(coupon.id),
        "template": coupon.template,
        "valid_until": None if coupon.valid_until is None else coupon.valid_until.isoformat(),
        **more,
    }
    event_id = "/".join(str(part) for part in (name, coupon.id, more.get("lock_id")) if part is not None)
    return Told(event_id, name, at, properties, coupon.anchor, end=str(more.get("end") or ""))


def told_of_lock(name: str, lock: Lock, at: datetime, more: Mapping[str, Any] | None = None) -> Told:
    """Something happened to a lock of somebody."""
    assert lock.anchor is not None
    properties = {"lock_id": str(lock.id), "order_id": lock.order_id, "points": lock.points, **(more or {})}
    return Told(f"{name}/{lock.id}", name, at, properties, lock.anchor, end=lock.end)
