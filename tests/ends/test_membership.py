"""Tiers and check-in over HTTP on a whole server, by its test clock: the campaigns SC31 and SC15."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from .server import Server
from .test_points import call, put

JUNE = datetime.fromisoformat("2026-06-01T09:00:00+08:00")
SECONDS_MAX = 20.0
SILVER = {
    "any": [
        {"metric": "sum", "event": "order.paid", "net": True, "op": "gte", "value": 20_000},
        {"metric": "distinct", "of": "@day", "event": "user.login", "op": "gte", "value": 10},
    ]
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("membership") / "home", SIYU_TEST_CLOCK="1")
    running.start()
    try:
        yield running
    finally:
        running.stop()


class Story:
    """Events of a story, and what the API shows of its persons."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name, self.sent = server, name, 0

    def user(self, user: str) -> str:
        return f"{self.name}-{user}"

    def clock(self, at: datetime) -> None:
        assert call(self.server, "/api/clock", {"now": at.isoformat()})[0] in (200, 201)

    def event(self, at: datetime, name: str, user: str, end: str, **properties: Any) -> None:
        self.clock(at)
        self.sent += 1
        before = self.server.get("/api/stream")["accepted"]
        message = {
            "type": "track", "event": name, "userId": self.user(user), "messageId": f"{self.name}-{self.sent}",
            "timestamp": at.isoformat(), "context": {"end": end}, "properties": properties,
        }  # fmt: skip
        assert self.server.batch([message])
        self.server.wait_processed(before + 1)

    def person(self, user: str) -> dict[str, Any]:
        found: dict[str, Any] = self.server.get(f"/api/persons/lookup?kind=user_id&value={self.user(user)}")
        return found

    def until(self, user: str, tier: str) -> dict[str, Any]:
        """The person, as soon as they have this tier."""
        end = time.monotonic() + SECONDS_MAX
        while (person := self.person(user))["tier"] != tier and time.monotonic() < end:
            time.sleep(0.1)
        assert person["tier"] == tier
        return person

    def available(self, user: str, currency: str) -> int:
        person = self.person(user)["person_id"]
        accounts = self.server.get(f"/api/persons/{person}/accounts")["accounts"]
        return next((one["available"] for one in accounts if one["currency"] == currency), 0)


def test_silver_by_spend_or_by_ten_days_of_logins(server: Server) -> None:
    tiers = {"tiers": [{"name": "普通"}, {"name": "白银", "en": "Silver", "rule": SILVER}]}
    status, shown = put(server, "/api/tiers", tiers)
    assert (status, [one["name"] for one in shown["tiers"]]) == (200, ["普通", "白银"])
    assert put(server, "/api/tiers", {"tiers": [{"name": "普通", "rule": SILVER}]})[1]["code"] == "INVALID_RULE"
    status, refused = put(server, "/api/tiers", tiers | {"events": None})
    assert (status, refused["code"]) == (422, "MALFORMED_REQUEST")
    assert refused["detail"].startswith("Validation failed for PUT /api/tiers: events: Expected")
    story = Story(server, "sc31")
    story.event(JUNE, "order.paid", "U1", "miniprogram", order_id="O1", amount_fen=19_999)
    person = story.until("U1", "普通")["person_id"]
    shown = server.get(f"/api/persons/{person}/tier")
    assert (shown["tier"], shown["next"]["tier"], shown["next"]["zh"]) == ("普通", "白银", "还差 0.01 元到白银")
    for day in range(10):
        at = JUNE + timedelta(days=day, hours=1)
        story.event(at, "user.login", "U2", "app" if day % 2 else "miniprogram")
        if day == 1:
            story.event(at, "order.paid", "U1", "store", order_id="O2", amount_fen=1)
            story.until("U1", "白银")
        if day == 9:
            story.event(at, "user.login", "U3", "miniprogram")
            story.event(at, "user.login", "U3", "miniprogram")
        else:
            story.until("U2", "普通")
    story.until("U2", "白银")
    story.until("U3", "普通")
    shown = server.get(f"/api/persons/{person}/tier")
    assert (shown["tier"], shown["why"]["cause"], shown["why"]["event"]["name"]) == ("白银", "reached", "order.paid")
    assert shown["since"].startswith("2026-06-02") and shown["next"] is None
    history = server.get(f"/api/persons/{person}/tier/history")["items"]
    assert [(one["former"], one["tier"]) for one in history] == [("普通", "白银")]
    timeline = server.get(f"/api/persons/{person}/timeline?limit=50")["items"]
    told = [one["properties"] for one in timeline if one["name"] == "tier.changed"]
    assert [(one["from"], one["tier"]) for one in told] == [("普通", "白银")]
    by_hand = {"tier": "普通", "reason": "错误", "by": "eve"}
    path = f"/api/persons/{person}/tier"
    status, fixed = call(server, path, by_hand, "h1")
    assert (status, fixed["tier"], fixed["why"]["reason"]) == (200, "普通", "错误")
    assert call(server, path, by_hand, "h1")[0] == 200
    assert call(server, path, by_hand | {"tier": "钻石"})[1]["code"] == "TIER_NOT_FOUND"
    assert call(server, f"{path}/release", {})[1]["tier"] == "白银"
    assert call(server, f"{path}/release", {})[1]["code"] == "NOT_FIXED"
    card = call(server, f"/api/persons/{person}/card", {})[1]
    assert server.get(f"/api/persons/{person}/tier")["tier"] == "白银" and card["svg"].startswith("<svg")


def test_a_check_in_on_seven_days_is_one_chance(server: Server) -> None:
    story = Story(server, "sc15")
    for user in ("U1", "U2"):
        story.event(JUNE, "page", user, "app")
    who = {"kind": "user_id", "value": story.user("U1")}
    for day in range(8):
        at = JUNE + timedelta(days=day)
        story.clock(at)
        if day < 7:
            body = {"person": who, "end": "app" if day % 2 else "miniprogram"}
            asked = [(body, None), (body, f"a{day}"), (body, f"b{day}"), (body, None)]
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda one: call(server, "/api/checkins", *one), asked))
            done = [answer for status, answer in answers if status == 200]
            refused = [answer["code"] for status, answer in answers if status != 200]
            assert (len(done), refused) == (1, ["ALREADY_CHECKED_IN"] * 3)
            assert (done[0]["streak"], done[0]["cycle_day"]) == (day + 1, day + 1)
        if day != 3:
            story.event(at, "checkin", "U2", "app")
            story.event(at + timedelta(minutes=1), "checkin", "U2", "store")
    assert [story.available(user, "chance") for user in ("U1", "U2")] == [1, 0]
    person = story.person("U1")["person_id"]
    shown = server.get(f"/api/persons/{person}/checkins?month=2026-06")
    assert (shown["streak"], len(shown["days"]), shown["checked_today"]) == (7, 7, False)
    end = time.monotonic() + SECONDS_MAX
    while time.monotonic() < end:
        timeline = server.get(f"/api/persons/{person}/timeline?limit=50")["items"]
        if sum(one["name"] == "checkin" for one in timeline) == 7:
            break
        time.sleep(0.1)
    assert sum(one["name"] == "checkin" for one in timeline) == 7
    story.clock(JUNE + timedelta(days=6))  # the clock steps back
    fill = {"person": who, "day": "2026-05-31"}
    assert call(server, "/api/checkins/make-up", fill)[1]["code"] == "INSUFFICIENT"
    assert call(server, "/api/points/earn", {"person": who, "points": 1, "currency": "makeup_card"})[0] == 200
    assert call(server, "/api/checkins/make-up", fill, "m1")[1]["total"] == 8
    assert call(server, "/api/checkins/make-up", fill, "m1")[1]["total"] == 8
    assert call(server, "/api/checkins/make-up", fill, "m2")[1]["code"] == "ALREADY_CHECKED_IN"
    assert server.get("/api/checkins/rules")["version"] == 0
    rules = server.get("/api/checkins/rules")["rules"]
    assert put(server, "/api/checkins/rules", rules)[1]["version"] == 1


def test_a_tier_changes_within_two_seconds_of_its_event(server: Server) -> None:
    """As long as nothing else is to be done; measured from the answer of the door, shown with -s."""
    story = Story(server, "soon")
    took = []
    for number in range(3):
        at = JUNE + timedelta(days=20 + number)
        story.clock(at)
        message = {
            "type": "track", "event": "order.paid", "userId": story.user(f"U{number}"), "messageId": f"soon-{number}",
            "timestamp": at.isoformat(), "properties": {"order_id": f"S{number}", "amount_fen": 20_000},
        }  # fmt: skip
        assert server.batch([message])
        begun = time.monotonic()
        end = begun + SECONDS_MAX
        while time.monotonic() < end:
            try:
                if story.person(f"U{number}")["tier"] == "白银":
                    break
            except OSError:
                pass
            time.sleep(0.05)
        took.append(time.monotonic() - begun)
        story.until(f"U{number}", "白银")
    note = ", ".join(f"{one:.2f} s" for one in took)
    print(f"tier after its event: {note}")
