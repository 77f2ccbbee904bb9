"""Points over HTTP on a whole server: retries, races between clients, kill -9."""

from __future__ import annotations

import json
import os
import signal
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except OSError:
        return 0, None


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
        ("earn", {"person": {"kind": "user_id", "value": "nobody"}, "points": 1}, 404, "PERSON_NOT_FOUND"),
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


def test_the_ledger_is_right_in_the_end(server: Server) -> None:
    checks = {check["name"]: check for check in Cli(server.home).json("doctor", "--ledger")}
    assert checks["ledger"]["ok"], checks["ledger"]
