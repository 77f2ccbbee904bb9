"""Campaigns of tests/cases/campaigns.json that need rules, points, coupons, tiers, check-in and orders only: each is
data, told to a running server by its doors and its API, at the times the case says.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from .server import Server
from .test_points import call, put

CASES = {
    case["id"]: case
    for case in json.loads((Path(__file__).parent.parent / "cases" / "campaigns.json").read_text())["cases"]
}
TRACKED = ("user.registered", "user.login", "order.paid", "order.refunded")
SECONDS_MAX = 20.0


class World:
    """A case told to a server. Persons of one case are called apart from those of others."""

    def __init__(self, server: Server, case: dict[str, Any]) -> None:
        self.server = server
        self.case = case
        self.answers: dict[str, tuple[int, Any]] = {}
        self.told: Counter[str] = Counter()

    def user(self, name: str) -> dict[str, str]:
        return {"kind": "user_id", "value": f"{self.case['id']}-{name}"}

    def person(self, name: str) -> str:
        value = self.user(name)["value"]
        found: str = self.server.get(f"/api/persons/lookup?kind=user_id&value={value}")["person_id"]
        return found

    def clock(self, at: str) -> None:
        assert call(self.server, "/api/clock", {"now": at})[0] in (200, 201, 204)

    def track(self, event: dict[str, Any]) -> None:
        """An event through a door."""
        properties = {"amount_fen": event["amount_fen"]} if "amount_fen" in event else {}
        if "order" in event:
            properties["order_id"] = f"{self.case['id']}-{event['order']}"
        assert self.server.batch(
            [
                {
                    "type": "track", "event": event["type"], "userId": self.user(event["user"])["value"],
                    "messageId": f"{self.case['id']}-{event['id']}", "timestamp": event["t"],
                    "properties": properties, "context": {"end": event.get("channel", "server")},
                }
            ]
        )  # fmt: skip
        self.settle()

    def introduce(self, name: str, *openids: str) -> None:
        """Somebody who is known, by a login and maybe as a user of a mini-program."""
        external = [{"type": f"openid:{kind}", "id": f"{self.case['id']}-{name}"} for kind in openids]
        told = {
            "type": "identify", "userId": self.user(name)["value"], "messageId": f"{self.case['id']}-who-{name}",
            "timestamp": "2026-05-31T00:00:00Z", "context": {"externalIds": external},
        }  # fmt: skip
        assert self.server.batch([told])
        self.settle()

    def settle(self) -> None:
        until = time.monotonic() + SECONDS_MAX
        while time.monotonic() < until:
            state = self.server.get("/api/stream")
            if state["processed"] == state["accepted"]:
                return
            time.sleep(0.05)
        raise AssertionError("not processed")

    def quote(self, event: dict[str, Any], **more: Any) -> tuple[int, Any]:
        lines = [{"sku": f"{self.case['id']}-sku", "qty": 1, "price_fen": event["amount_fen"]}]
        body = {"person": self.user(event["user"]), "end": event["channel"], "lines": lines, **more}
        return call(self.server, "/api/quotes" if "order_id" not in more else "/api/orders", body)

    def points(self, name: str) -> dict[str, int]:
        accounts = self.server.get(f"/api/persons/{self.person(name)}/accounts")["accounts"]
        found: dict[str, int] = next((one for one in accounts if one["currency"] == "points"), {})
        return found

    def balance(self, name: str, currency: str) -> int:
        accounts = self.server.get(f"/api/persons/{self.person(name)}/accounts")["accounts"]
        return next((int(one["available"]) for one in accounts if one["currency"] == currency), 0)

    def tell(self, event: dict[str, Any]) -> None:
        """One event of the case."""
        self.clock(event["t"])
        kind = event["type"]
        if kind in TRACKED:
            self.track(event)
        elif kind == "quote":
            self.answers[event["id"]] = self.quote(event)
        elif kind == "points.spend":
            body = {"person": self.user(event["user"]), "points": event["points"]}
            self.answers[event["id"]] = call(self.server, "/api/points/spend", body, f"{self.case['id']}-{event['id']}")
            assert self.answers[event["id"]][0] == 200
        elif kind == "checkin":
            body = {"person": self.user(event["user"]), "end": event["channel"]}
            assert call(self.server, "/api/checkins", body)[0] == 200
        elif kind == "order.create.concurrent":
            with ThreadPoolExecutor(event["times"]) as pool:
                orders = [f"{self.case['id']}-{event['id']}-{number}" for number in range(event["times"])]
                made = list(pool.map(lambda order: self.quote(event, order_id=order), orders))
            self.answers[event["id"]] = (200, made)
        else:
            assert kind in ("tick", "lottery.draw.concurrent"), f"the case has an event {kind}"

    def check(self, expected: dict[str, Any]) -> None:
        """One assertion of the case, now."""
        checks: dict[str, Callable[[dict[str, Any]], None]] = {
            "points": self._check_points,
            "quote": self._check_quote,
            "reject": self._check_refusal,
            "tier": self._check_tier,
            "chances.granted": lambda one: eventually(
                lambda: self.balance(one["user"], "chance"), one["count"]
            ),
            "orders.discounted": self._check_orders,
            "lots": self._check_lots,
        }  # fmt: skip
        checks[expected["type"]](expected)
        self.told[expected["type"]] += 1

    def _check_points(self, one: dict[str, Any]) -> None:
        wanted = {name: one[name] for name in ("available", "pending", "expired") if name in one}
        eventually(lambda: {name: self.points(one["user"]).get(name, 0) for name in wanted}, wanted)

    def _check_quote(self, one: dict[str, Any]) -> None:
        status, answer = self.answers[one["event"]]
        assert (status, answer.get("payable_fen")) == (200, one["payable_fen"]), answer

    def _check_refusal(self, one: dict[str, Any]) -> None:
        status, answer = self.answers[one["event"]]
        codes = [answer.get("code")] + [refused["code"] for refused in answer.get("refused", ())]
        assert one["code"] in codes, (status, answer)

    def _check_tier(self, one: dict[str, Any]) -> None:
        def tier() -> str:
            found: str = self.server.get(f"/api/persons/{self.person(one['user'])}/tier")["tier"]
            return found

        eventually(tier, one["equals"])

    def _check_orders(self, one: dict[str, Any]) -> None:
        made = next(answer for status, answer in self.answers.values() if isinstance(answer, list))
        assert [status for status, _ in made] == [200] * len(made), made
        assert sum(answer["payable_fen"] < answer["list_fen"] for _, answer in made) == one["count"], made

    def _check_lots(self, one: dict[str, Any]) -> None:
        lots = self.points(one["user"])["lots"]
        assert lots == sorted(lots, key=lambda lot: (lot["expires_at"], lot["earned_at"]))


def eventually(found: Callable[[], Any], wanted: Any) -> None:
    """What follows from an event is there within seconds."""
    until = time.monotonic() + SECONDS_MAX
    while (last := found()) != wanted:
        assert time.monotonic() < until, f"{last!r} instead of {wanted!r}"
        time.sleep(0.2)


def play(world: World) -> None:
    """Events and assertions in the order of their times; assertions without a time at the end."""
    steps: list[tuple[datetime, int, dict[str, Any], Callable[[dict[str, Any]], None]]] = []
    for number, event in enumerate(world.case["events"]):
        steps.append((datetime.fromisoformat(event["t"]), number, event, world.tell))
    timed = [one for one in world.case["expected"] if "at" in one]
    for number, one in enumerate(timed, len(steps)):
        steps.append((datetime.fromisoformat(one["at"]), number, one, world.check))
    for at, _, step, do in sorted(steps, key=lambda step: step[:2]):
        world.clock(at.isoformat())
        do(step)
    for one in world.case["expected"]:
        if "at" not in one and one["type"] not in ("invariant", "draws"):
            world.check(one)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("cases") / "home", SIYU_TEST_CLOCK="1")
    running.start()
    try:
        yield running
    finally:
        running.stop()


def rule_is(server: Server, path: str, body: Any) -> None:
    status, answer = put(server, path, body)
    assert status in (200, 201), answer


FIRST_ORDER = {"person": "first_paid_order", "op": "eq", "value": True}


def test_sign_up_first_order_and_a_point_for_a_yuan(server: Server) -> None:
    first = {"id": "first-order", "percent_pay": 90, "condition": FIRST_ORDER, "ends_at": "2026-06-01T20:00:00+08:00"}
    rule_is(server, "/api/price-rules/first-order", first)
    world = World(server, CASES["SC30"])
    play(world)
    assert world.told == {"points": 6, "quote": 1, "lots": 1}


def test_the_first_web_order_of_a_mini_program_user(server: Server) -> None:
    case = CASES["SC17"]
    told = case["setup"]["price_rule"]
    condition = {"all": [FIRST_ORDER, {"person": "identities", "op": "contains", "value": "openid"}]}
    rule_is(
        server,
        "/api/price-rules/web-first",
        {
            "id": "web-first", "off_fen": told["off_fen"], "min_spend_fen": told["where"]["min_spend_fen"],
            "scope": {"ends": [told["where"]["channel"]]}, "condition": condition, "stack": "exclusive",
        },
    )  # fmt: skip
    world = World(server, case)
    world.clock("2026-06-01T09:00:00+08:00")
    rule_is(server, "/api/price-rules/first-order", {"id": "first-order", "percent_pay": 90, "active": False})
    world.introduce("U1", "wxmini")
    world.introduce("U2")
    play(world)
    assert world.told == {"quote": 4, "orders.discounted": 1}


def test_silver_by_spending_or_by_coming(server: Server) -> None:
    world = World(server, CASES["SC31"])
    play(world)
    assert world.told == {"tier": 5}


def test_what_a_tier_brings_counts_in_quotes_and_orders(server: Server) -> None:
    """Goes on with the silver member of the case before."""
    bought = {"metric": "sum", "event": "order.paid", "net": True, "op": "gte", "value": 20000}
    benefits = [{"kind": "points_percent", "percent": 200}, {"kind": "free_shipping"}]
    ladder = {"tiers": [{"name": "普通"}, {"name": "白银", "rule": bought, "benefits": benefits}]}
    rule_is(server, "/api/tiers", ladder)
    world = World(server, CASES["SC31"])
    world.clock("2026-06-11T10:00:00+08:00")

    def quoted(name: str) -> tuple[int, int, int]:
        lines = [{"sku": "SC31-tea", "qty": 1, "price_fen": 5000}]
        body = {"person": world.user(name), "end": "web", "lines": lines, "shipping_fen": 1000}
        status, quote = call(server, "/api/quotes", body)
        assert status == 200, quote
        return quote["payable_fen"], quote["shipping_fen"], quote["earns"]["points"]

    eventually(lambda: quoted("U1"), (5000, 0, 100))
    assert quoted("U3") == (6000, 1000, 60)
    body = {
        "person": world.user("U1"), "end": "web", "order_id": "SC31-free", "shipping_fen": 1000,
        "lines": [{"sku": "SC31-tea", "qty": 1, "price_fen": 5000}],
    }  # fmt: skip
    status, order = call(server, "/api/orders", body)
    assert (status, order["payable_fen"]) == (200, 5000), order
    assert [(one["source"], one["amount_fen"]) for one in order["discounts"]] == [("tier/白银", 1000)]


def test_a_chance_after_seven_days_in_a_row(server: Server) -> None:
    world = World(server, CASES["SC15"])
    world.clock("2026-06-01T08:00:00+08:00")
    world.introduce("U1")
    world.introduce("U2")
    play(world)
    assert world.told == {"chances.granted": 2}
