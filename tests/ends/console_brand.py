"""A small brand for tests of the console: always the same, and placed in the last 60 days."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..conftest import remove_home
from .server import Server

PERSONS = 90
"""Enough for 50 buyers, as the model of lifetime value needs."""
PRODUCTS = ("凤凰单丛 鸭屎香 100g", "白毫银针 50g", "主食罐 鸭肉 85g", "Cold brew tea bags")


def brand_events(now: datetime) -> list[dict[str, Any]]:
    """Segment events, oldest first."""
    rng = random.Random(20261122)
    events: list[dict[str, Any]] = []

    def add(at: datetime, person: int, end: str, kind: str, **fields: Any) -> None:
        events.append(
            {
                "type": kind,
                "messageId": f"m-{len(events)}",
                "timestamp": at.astimezone(UTC).isoformat(),
                "anonymousId": f"anon-{end}-{person}",
                "context": {"end": end, "campaign": {"source": "wechat"} if person % 3 else {}},
                **fields,
            }
        )

    for person in range(PERSONS):
        user = f"user-{person}"
        first = now - timedelta(days=rng.randint(1, 60), minutes=rng.randint(0, 900))
        end = ("web", "mini_program", "app")[person % 3]
        traits = {"name": f"客户{person:02}", "city": "广州", "phone": f"138{person:08}"}
        add(first, person, end, "identify", userId=user, traits=traits)
        for _visit in range(rng.randint(1, 6)):
            at = min(
                now - timedelta(minutes=2), first + timedelta(days=rng.randint(0, 30), minutes=rng.randint(0, 600))
            )
            product = rng.choice(PRODUCTS)
            add(at, person, end, "track", userId=user, event="product.viewed", properties={"product": product})
            if rng.random() < 0.6:
                at += timedelta(seconds=40)
                add(at, person, end, "track", userId=user, event="cart.added", properties={"product": product})
                if rng.random() < 0.6:
                    fen = rng.randint(1_900, 39_900)
                    paid = {"product": product, "amount_fen": fen, "order_id": f"o-{len(events)}"}
                    add(
                        at + timedelta(minutes=1),
                        person,
                        end,
                        "track",
                        userId=user,
                        event="order.paid",
                        properties=paid,
                    )
    for person in (0, 1):
        # Both claim one card for ever: the later one is refused and becomes a conflict.
        ids = [{"type": "unionid", "id": "oUnion-shared-by-mistake"}]
        add(now - timedelta(days=1, hours=person), person, "web", "track", userId=f"user-{person}", event="app.opened")
        events[-1]["context"]["externalIds"] = ids
    return sorted(events, key=lambda event: str(event["timestamp"]))


def load_brand(server: Server) -> int:
    """Send the brand through the door and wait for it; the number of events."""
    events = brand_events(datetime.now(UTC))
    for start in range(0, len(events), 100):
        assert server.batch(events[start : start + 100])
    # A track call without an event name is set aside.
    server.batch([{"type": "track", "userId": "user-0", "messageId": "nameless"}])
    server.wait_processed(len(events))
    until = time.monotonic() + 30
    while time.monotonic() < until and server.get("/api/stream")["dead"] < 1:
        time.sleep(0.05)
    return len(events)


def open_shop(server: Server) -> None:
    """Products, an order that was refunded in part and one to be paid, and an item of the points mall."""
    tin = {"sku": "T1", "label": "100g 罐装", "price_fen": 12_800, "tracked": True}
    box = {"sku": "T2", "label": "礼盒 3 罐", "price_fen": 35_800, "tracked": True}
    tea = {"id": "tea", "name": "凤凰单丛 鸭屎香", "category": "乌龙茶", "collections": ["tea"], "skus": [tin, box]}
    server.put("/api/products/tea", tea)
    server.post("/api/stock/import", {"csv": "sku,qty\nT1,20\nT2,5\n", "reason": "首批到货"})
    who = {"kind": "user_id", "value": "user-0"}
    lines = [{"sku": "T1", "qty": 2}, {"sku": "T2", "qty": 1}]
    order = {"order_id": "S-1001", "end": "mini_program", "person": who, "lines": lines, "shipping_fen": 1_000}
    server.post("/api/orders", order)
    server.post("/api/orders/S-1001/pay", {"provider": "test"})
    server.post("/api/orders/S-1001/refund", {"lines": [{"sku": "T1", "qty": 1}], "reason": "少发一罐"})
    server.post("/api/orders", {**order, "order_id": "S-1002", "lines": lines[:1]})
    item = {"id": "vip", "label": "茶友会门票", "gives": "code", "points": 200, "per_person": 1}
    server.put("/api/mall/items/vip", item)
    server.post("/api/mall/items/vip/codes", {"codes": ["TEA-1", "TEA-2"]})
    server.post("/api/points/earn", {"person": who, "points": 500})
    run_promotions(server)
    server.post("/api/mall/items/vip/redeem", {"person": who})
    until = time.monotonic() + 30
    while time.monotonic() < until and not server.get("/api/orders?source=events")["items"]:
        time.sleep(0.1)


def run_promotions(server: Server) -> None:
    """A coupon with everything that may stand on its page, a price rule, a foreign shop."""
    coupon = {
        "id": "TEA88", "kind": "percent_pay", "pay_percent": 88, "label_zh": "茶友 88 折券", "label_en": "12% off tea",
        "max_off_fen": 5_000, "min_spend_fen": 10_000, "valid": "days", "valid_days": 1, "total": 500, "per_user": 1,
        "budget_fen": 500_000, "scope": {"collections": ["tea"], "ends": ["mini_program"]}, "stack": "exclusive",
        "audience": {"person": "trait.city", "op": "eq", "value": "广州"},
    }  # fmt: skip
    server.put("/api/coupons/templates/TEA88", coupon)
    server.put("/api/coupons/templates/TEA88", coupon | {"valid_days": 7})
    server.post("/api/coupons/templates/TEA88/pools/flyer/codes", {"count": 100})
    first, till = {"person": "first_paid_order", "op": "eq", "value": True}, {"ends": ["store"]}
    server.put(
        "/api/price-rules/member",
        {"id": "member", "off_fen": 100, "label_zh": "首单立减", "condition": first, "scope": till},
    )
    mapping = {"topic": "type", "topics": {"paid": "order.paid"}}
    server.put("/api/mini-programs/wx0123456789abcdef", {"secret": "0123456789abcdef" * 2, "label": "茶与猫"})
    server.put("/api/connectors/own-shop", {"dialect": "custom", "secret": "0123456789", "mapping": mapping})


@contextmanager
def open_brand_server(home: Path) -> Iterator[Server]:
    """A running server that holds the brand."""
    server = Server(home)
    server.start()
    load_brand(server)
    open_shop(server)
    yield server
    server.stop()
    remove_home(home)
