"""Points over HTTP on a whole server: retries, races between clients, kill -9."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .cli import Cli
from .server import API_TOKEN, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows the persons U0 to U9; its ledger is right at the end."""
    running = Server(tmp_path_factory.mktemp("points") / "home", SIYU_TEST_CLOCK="1")
    running.start()
    people = [
        {"type": "identify", "userId": f"U{n}", "messageId": f"m{n}", "traits": {"phone": f"1380013800{n}"}}
        for n in range(10)
    ]
    assert running.batch(people)
    running.wait_processed(len(people))
    try:
        yield running
    finally:
        running.stop()


def user(number: int) -> dict[str, str]:
    return {"kind": "user_id", "value": f"U{number}"}


def call(server: Server, path: str, body: Any, key: str | None = None) -> tuple[int, Any]:
    """(status, body); status 0 when the connection broke."""
    headers = {"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    request = urllib.request.Request(server.url + path, data=json.dumps(body).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except (OSError, http.client.HTTPException):
        return 0, None


def put(server: Server, path: str, body: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), headers, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def available(server: Server, number: int) -> int:
    person = server.get(f"/api/persons/lookup?kind=user_id&value=U{number}")["person_id"]
    accounts = server.get(f"/api/persons/{person}/accounts")["accounts"]
    return next((one["available"] for one in accounts if one["currency"] == "points"), 0)


def test_a_persons_way_with_points(server: Server) -> None:
    phone = {"kind": "phone", "value": "138-0013-8000"}
    assert call(server, "/api/points/earn", {"person": user(0), "points": 100}, "a1")[1]["available"] == 100
    status, spent = call(server, "/api/points/spend", {"person": phone, "points": 30}, "a2")
    assert (status, spent["available"]) == (200, 70)
    assert call(server, "/api/points/spend", {"person": phone, "points": 30}, "a2") == (200, spent)
    status, problem = call(server, "/api/points/spend", {"person": phone, "points": 31}, "a2")
    assert (status, problem["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    status, problem = call(server, "/api/points/spend", {"person": user(0), "points": 71}, "a3")
    assert (status, problem["code"], problem["there"]) == (409, "INSUFFICIENT", 70)
    back = {"transfer_id": spent["transfer_id"], "points": 10}
    assert call(server, "/api/points/refund", back)[1]["available"] == 80
    gift = {"from": user(0), "to": user(1), "points": 5}
    assert call(server, "/api/points/transfer", gift, "a4")[1]["available"] == 75
    assert available(server, 1) == 5


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("earn", {"person": user(0), "points": 0}, 422, "MALFORMED_REQUEST"),
        ("earn", {"person": user(0), "points": 1.5}, 422, "MALFORMED_REQUEST"),
        ("earn", {"person": user(0), "points": 1, "surprise": 1}, 422, "MALFORMED_REQUEST"),
        ("earn", {"person": user(0), "points": 1, "currency": "gold"}, 422, "UNKNOWN_CURRENCY"),
        ("spend", {"person": {"kind": "user_id", "value": "nobody"}, "points": 1}, 404, "PERSON_NOT_FOUND"),
        ("earn", {"person": {"kind": "anonymous_id", "value": "no body"}, "points": 1}, 404, "PERSON_NOT_FOUND"),
        ("earn", {"person": {"kind": "user_id", "value": "undefined"}, "points": 1}, 422, "MALFORMED_REQUEST"),
        ("earn", {"person": "no-id", "points": 1}, 404, "PERSON_NOT_FOUND"),
        ("transfer", {"from": user(0), "to": user(0), "points": 1}, 422, "WRONG_REQUEST"),
        ("adjust", {"person": user(0), "points": 0, "reason": "x"}, 422, "WRONG_REQUEST"),
        ("adjust", {"person": user(0), "points": 1, "reason": ""}, 422, "MALFORMED_REQUEST"),
        ("refund", {"transfer_id": 999999, "points": 1}, 404, "TRANSFER_NOT_FOUND"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(
    server: Server, path: str, body: Any, status: int, code: str
) -> None:
    answered, problem = call(server, f"/api/points/{path}", body)
    assert (answered, problem["code"]) == (status, code)


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_the_last_points_are_spent_once(server: Server, limit: int) -> None:
    assert call(server, "/api/points/earn", {"person": user(2), "points": limit}, f"b{limit}")[0] == 200

    def spend(number: int) -> int:
        return call(server, "/api/points/spend", {"person": user(2), "points": 1}, f"b{limit}-{number}")[0]

    with ThreadPoolExecutor(32) as pool:
        statuses = Counter(pool.map(spend, range(limit + 60)))
    assert statuses == {200: limit, 409: 60}
    assert available(server, 2) == 0


def test_a_server_that_is_killed_answers_a_retry_as_if_nothing_had_happened(server: Server) -> None:
    assert call(server, "/api/points/earn", {"person": user(3), "points": 1000}, "c")[0] == 200
    statuses: dict[int, int] = {}
    stop = threading.Event()

    def spend(number: int) -> None:
        while not stop.is_set():
            status, _ = call(server, "/api/points/spend", {"person": user(3), "points": 1}, f"c-{number}")
            if status == 200:
                statuses[number] = status
                return
            stop.wait(0.1)

    web = next(pid for pid, line in server.family().items() if "siyu.app web" in line)
    with ThreadPoolExecutor(16) as pool:
        running = [pool.submit(spend, number) for number in range(200)]
        while len(statuses) < 40:
            stop.wait(0.01)
        os.kill(web, signal.SIGKILL)
        for one in running:
            one.result(60)
    assert len(statuses) == 200
    assert available(server, 3) == 800


def test_pending_points_become_available_and_holds_come_back_with_time(server: Server) -> None:
    status, earned = call(server, "/api/points/earn", {"person": user(4), "points": 7, "pending_s": 600}, "d1")
    assert (status, earned["state"], earned["available"], earned["pending"]) == (200, "pending", 0, 7)
    assert call(server, "/api/points/earn", {"person": user(4), "points": 20}, "d2")[0] == 200
    status, held = call(server, "/api/points/spend", {"person": user(4), "points": 20, "hold_s": 60}, "d3")
    assert (held["state"], held["available"], held["locked"]) == ("pending", 0, 20)
    server.post("/api/clock", {"advance_s": 61})
    assert available(server, 4) == 20
    void = f"/api/points/pending/{held['transfer_id']}/void"
    assert call(server, void, {})[1]["code"] == "ALREADY_DECIDED"
    server.post("/api/clock", {"advance_s": 600})
    assert available(server, 4) == 27
    person = server.get("/api/persons/lookup?kind=user_id&value=U4")["person_id"]
    lines = server.get(f"/api/persons/{person}/statement")["items"]
    assert [(line["kind"], line["available_after"]) for line in lines] == [
        ("post", 27), ("expire", 20), ("lock", 0), ("earn", 20), ("earn", 0),
    ]  # fmt: skip


def events(server: Server, *sent: dict[str, Any]) -> None:
    """Send events and wait until they are processed."""
    before = server.get("/api/stream")["accepted"]
    assert server.batch([{"type": "track", **one} for one in sent])
    server.wait_processed(before + len(sent))


def standing(server: Server, number: int) -> tuple[int, int, int]:
    """(available, pending, expired)"""
    person = server.get(f"/api/persons/lookup?kind=user_id&value=U{number}")["person_id"]
    found = server.get(f"/api/persons/{person}/accounts")["accounts"]
    return next((one["available"], one["pending"], one["expired"]) for one in found if one["currency"] == "points")


def test_sign_up_order_refund_and_expiry_as_a_campaign_has_it(server: Server) -> None:
    """SC30: 100 for signing up once, 1 yuan 1 point after seven days, twelve months to the end of the month."""

    def at(instant: str, name: str, **properties: Any) -> None:
        server.post("/api/clock", {"now": instant})
        events(server, {"userId": "U5", "event": name, "timestamp": instant, "properties": properties})

    at("2027-06-01T10:00:00+08:00", "user.registered")
    at("2027-06-01T10:30:00+08:00", "user.registered")
    assert standing(server, 5) == (100, 0, 0)
    at("2027-06-01T11:01:00+08:00", "order.paid", order_id="O1", amount_fen=17999)
    assert standing(server, 5) == (100, 179, 0)
    at("2027-06-03T11:00:00+08:00", "order.refunded", order_id="O1", amount_fen=7999)
    assert standing(server, 5) == (100, 100, 0)
    server.post("/api/clock", {"now": "2027-06-08T11:01:01+08:00"})
    assert standing(server, 5) == (200, 0, 0)
    server.post("/api/clock", {"now": "2027-06-09T10:00:00+08:00"})
    assert call(server, "/api/points/spend", {"person": user(5), "points": 150}, "sc30")[1]["available"] == 50
    server.post("/api/clock", {"now": "2028-06-30T23:59:59+08:00"})
    assert standing(server, 5) == (50, 0, 0)
    server.post("/api/clock", {"now": "2028-07-01T00:00:01+08:00"})
    assert standing(server, 5) == (0, 0, 50)


def test_an_order_told_twice_or_in_disorder_earns_once_and_its_points_are_posted_when_received(server: Server) -> None:
    def order(name: str, order_id: str, **properties: Any) -> dict[str, Any]:
        return {"userId": "U6", "event": name, "properties": {"order_id": order_id, **properties}}

    events(server, order("order.refunded", "O2", amount_fen=5000))
    events(server, order("order.paid", "O2", amount_fen=20000))
    events(server, order("order.paid", "O2", amount_fen=20000))
    assert standing(server, 6) == (0, 150, 0)
    events(server, order("order.received", "O2"))
    assert standing(server, 6) == (150, 0, 0)
    assert call(server, "/api/points/spend", {"person": user(6), "points": 140}, "o2")[0] == 200
    events(server, order("order.cancelled", "O2"))
    person = server.get("/api/persons/lookup?kind=user_id&value=U6")["person_id"]
    points = server.get(f"/api/persons/{person}/accounts")["accounts"][0]
    assert (points["available"], points["debt"]) == (0, 140)
    assert call(server, "/api/points/earn", {"person": user(6), "points": 150}, "o3")[1]["available"] == 10


def test_an_adjustment_above_the_limit_needs_a_second_person(server: Server) -> None:
    wanted = {"person": user(7), "points": 1001, "reason": "a parcel was lost", "by": "ann"}
    status, waits = call(server, "/api/points/adjust", wanted, "e1")
    assert (status, waits["state"]) == (202, "waiting")
    assert call(server, "/api/points/adjust", wanted, "e1") == (202, waits)
    assert call(server, "/api/points/adjust", {**wanted, "points": 1002}, "e1")[1]["code"] == "IDEMPOTENCY_CONFLICT"
    assert waits in server.get("/api/points/adjustments")["items"]
    approve = f"/api/points/adjustments/{waits['adjustment_id']}/approve"
    for name in ("ann", " Ann ", "\u3000ann", "ａｎｎ", "an\u200bn", "a nn", "\ufeffann\xa0"):
        status, problem = call(server, approve, {"by": name})
        assert (status, problem["code"]) == (409, "SECOND_PERSON_NEEDED"), name
    for name in (" ", "\u3000", "\u200b"):
        status, problem = call(server, approve, {"by": name})
        assert (status, problem["code"], problem["path"]) == (422, "WRONG_REQUEST", "by"), name
    assert available(server, 7) == 0
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: call(server, approve, {"by": f"bob{n}"})[0], range(8)))
    assert sorted(answers) == [200, *[404] * 7]
    assert available(server, 7) == 1001
    waits = call(server, "/api/points/adjust", wanted, "e2")[1]
    approve = f"/api/points/adjustments/{waits['adjustment_id']}/approve"
    booked = call(server, approve, {"by": "bob"}, "e3")
    assert (booked[0], available(server, 7)) == (200, 2002)
    assert call(server, approve, {"by": "bob"}, "e3") == booked
    assert call(server, approve, {"by": "eve"}, "e3")[1]["code"] == "IDEMPOTENCY_CONFLICT"
    less = {"person": user(7), "points": -3000, "reason": "a mistake", "by": "ann"}
    less_waits = call(server, "/api/points/adjust", less)[1]
    path = f"/api/points/adjustments/{less_waits['adjustment_id']}"
    assert call(server, f"{path}/approve", {"by": "bob"})[1]["code"] == "INSUFFICIENT"
    assert call(server, f"{path}/reject", {"by": "bob"})[0] == 204
    assert call(server, f"{path}/approve", {"by": "bob"})[1]["code"] == "ADJUSTMENT_NOT_FOUND"


def test_a_changed_rule_counts_from_then_on(server: Server) -> None:
    rule = next(one for one in server.get("/api/points/rules")["items"] if one["id"] == "review")
    events(server, {"userId": "U8", "event": "order.reviewed", "properties": {"order_id": "R1"}})
    events(server, {"userId": "U8", "event": "order.reviewed", "properties": {"order_id": "R1"}})
    assert available(server, 8) == 10
    assert put(server, "/api/points/rules/review", {**rule, "points": 20})[1]["code"] == "CONFLICT"
    assert put(server, "/api/points/rules/review", {**rule, "points": 20, "version": 2})[0] == 200
    time.sleep(5.5)  # a changed rule is noticed within five seconds
    events(server, {"userId": "U8", "event": "order.reviewed", "properties": {"order_id": "R2"}})
    assert available(server, 8) == 30


def test_a_rule_may_ask_for_an_end_and_an_amount(server: Server) -> None:
    ends = {"property": "@end", "op": "in", "value": ["app", "store"]}
    rule = {
        "id": "big", "event": "order.paid", "label_zh": "大单", "label_en": "Big", "points": 7, "once_per": "event",
        "where": {"all": [ends, {"property": "@value_fen", "op": "gte", "value": 10_000}, {"channel": "sms"}]},
    }  # fmt: skip
    wrong = put(server, "/api/points/rules/big", rule | {"where": {"all": [{"property": "x", "op": "is"}]}})
    assert (wrong[0], wrong[1]["code"], wrong[1]["path"]) == (422, "INVALID_CONDITION", "where.all[0].op")
    wrong = put(server, "/api/points/rules/big", rule | {"where": {"@context.ip": "1"}})
    assert (wrong[0], wrong[1]["code"]) == (422, "INVALID_CONDITION")
    wrong = put(server, "/api/points/rules/big", rule | {"take_back_on": ["order.refunded"]})
    assert (wrong[0], wrong[1]["code"], wrong[1]["path"]) == (422, "INVALID_RULE", "take_back_on")
    assert put(server, "/api/points/rules/big", rule)[0] == 200
    time.sleep(5.5)
    for number, (end, fen, channel) in enumerate(
        (("app", 9_999, "sms"), ("web", 10_000, "sms"), ("app", 10_000, "mail"), ("store", 10_000, "sms"))
    ):
        paid = {"order_id": f"BIG{number}", "amount_fen": fen, "channel": channel}
        events(server, {"userId": "U9", "event": "order.paid", "properties": paid, "context": {"end": end}})
    person = server.get("/api/persons/lookup?kind=user_id&value=U9")["person_id"]
    statement = server.get(f"/api/persons/{person}/statement")["items"]
    assert [one["available"] for one in statement if one["by"] == "rule/big"] == [7]


def test_a_rule_may_mean_some_persons_and_says_beforehand_what_it_gives(server: Server) -> None:
    rule = {
        "id": "regulars", "event": "tea.drunk", "label_zh": "常客", "label_en": "Regulars", "points": 3,
        "audience": {"metric": "count", "event": "tea.drunk", "op": "gte", "value": 2},
    }  # fmt: skip
    wrong = rule | {"audience": {"all": [{"person": "nose", "op": "eq", "value": 1}]}}
    for path in ("/api/points/rules/estimate", "/api/points/rules/regulars"):
        status, said = (call if path.endswith("estimate") else put)(server, path, wrong)
        assert (status, said["code"], said["path"]) == (422, "INVALID_RULE", "audience.all[0].person")
    for _ in range(3):
        events(server, {"userId": "U71", "event": "tea.drunk"})
    assert call(server, "/api/points/rules/estimate?days=91", rule)[0] in (400, 422)
    said = {"days": 30, "events": 1, "persons": 1, "points": 3, "exact": True, "asked": 3, "of": 3}
    assert call(server, "/api/points/rules/estimate", rule) == (200, said)
    assert put(server, "/api/points/rules/regulars", rule)[0] == 200
    (stored,) = [one for one in server.get("/api/points/rules")["items"] if one["id"] == "regulars"]
    assert stored["audience"] == rule["audience"]
    person = server.get("/api/persons/lookup?kind=user_id&value=U71")["person_id"]
    newest = server.get(f"/api/persons/{person}/timeline?limit=3")["items"]
    path = f"/api/points/rules/regulars/explain?person={person}"
    for event, held, seen in ((newest[0]["event_id"], True, 2), (newest[2]["event_id"], False, 0)):
        why = server.get(f"{path}&event={event}")
        conditions = {one["what"]: one for one in why["conditions"]}
        assert (why["event_id"], why["event"], why["given"]) == (event, "tea.drunk", 0)  # the rule came later
        assert (conditions["audience"]["held"], conditions["audience"]["seen"]) == (held, seen)
        assert "至少 2" in conditions["audience"]["zh"] and "at least 2" in conditions["audience"]["en"]
    assert server.get(path)["event_id"] == newest[0]["event_id"]
    for wrong_path in (f"{path}&event=none", path.replace("regulars", "none")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            server.get(wrong_path)
        assert refused.value.code == 404


def test_members_that_become_one_person_spend_together_and_part_with_their_own_history(server: Server) -> None:
    events(server, {"userId": "M1", "event": "page.viewed"}, {"userId": "M2", "event": "page.viewed"})
    one, two = {"kind": "user_id", "value": "M1"}, {"kind": "user_id", "value": "M2"}
    assert (
        call(server, "/api/points/earn", {"person": one, "points": 30, "expires_at": "2030-01-01T00:00:00Z"})[0] == 200
    )
    assert (
        call(server, "/api/points/earn", {"person": two, "points": 50, "expires_at": "2031-01-01T00:00:00Z"})[0] == 200
    )
    declared = server.post("/api/identity/aliases", {"a": one, "b": two, "reason": "the same household"})
    assert call(server, "/api/points/spend", {"person": two, "points": 40})[1]["available"] == 40
    server.post("/api/identity/retractions", {"link_id": declared["link_id"], "reason": "no"})
    left = []
    for value in ("M1", "M2"):
        person = server.get(f"/api/persons/lookup?kind=user_id&value={value}")["person_id"]
        accounts = server.get(f"/api/persons/{person}/accounts")["accounts"][0]
        left.append((accounts["available"], accounts["redeemed"]))
    assert left == [(0, 30), (40, 10)]


def test_an_archive_holds_the_accounts_and_an_erasure_leaves_numbers(server: Server, tmp_path: Path) -> None:
    events(server, {"userId": "E1", "event": "order.paid", "properties": {"order_id": "OE", "amount_fen": 5000}})
    cli = Cli(server.home)
    cli.run("person", "export", "user_id:E1", "--out", tmp_path / "e1.zip")
    with zipfile.ZipFile(tmp_path / "e1.zip") as archive:
        held = json.loads(archive.read("accounts.json"))
    assert (held["accounts"][0]["currency"], held["accounts"][0]["pending"]) == ("points", 50)
    assert held["statements"]["points"][0]["cause"] == "order/OE"
    receipt = cli.json("person", "erase", "user_id:E1", "--yes")
    assert receipt["rows"]["point_orders"] == 2  # what was paid counts for points and for growth
    again = {"person": {"kind": "user_id", "value": "E1"}, "points": 1}
    status, problem = call(server, "/api/points/spend", again)
    assert (status, problem["code"]) == (404, "PERSON_NOT_FOUND")
    status, booked = call(server, "/api/points/earn", again)
    assert (status, booked["available"], booked.get("pending", 0)) == (200, 1, 0), "nothing of before"


def test_the_ledger_is_right_in_the_end(server: Server) -> None:
    checks = {check["name"]: check for check in Cli(server.home).json("doctor", "--ledger")}
    assert checks["ledger"]["ok"], checks["ledger"]
