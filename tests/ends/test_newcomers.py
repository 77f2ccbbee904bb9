"""Newcomers over a running server: whoever a till gives something to is a person, however new; who only asks is not."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .cli import Cli
from .server import API_TOKEN, WRITE_KEY, Server
from .test_points import call, put


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows U0, with 50 points, and sells one thing."""
    running = Server(tmp_path_factory.mktemp("newcomers") / "home")
    running.start()
    assert running.batch([{"type": "identify", "userId": "U0", "messageId": "m0"}])
    running.wait_processed(1)
    give = {"person": {"kind": "user_id", "value": "U0"}, "points": 50}
    assert call(running, "/api/points/earn", give)[0] == 200
    template = {"id": "HI", "kind": "amount", "off_fen": 500, "claimable": True}
    assert put(running, "/api/coupons/templates/HI", template)[0] == 200
    sold = {"id": "p-N1", "name": "茶", "skus": [{"sku": "N1", "price_fen": 700}]}
    assert put(running, "/api/products/p-N1", sold)[0] == 200
    try:
        yield running
    finally:
        running.stop()


def phone(number: int) -> dict[str, str]:
    """As a till types it."""
    return {"kind": "phone", "value": f"139 0013 {number:04}"}


def found(server: Server, number: int) -> dict[str, Any] | None:
    """What the lookup answers."""
    try:
        person: dict[str, Any] = server.get(f"/api/persons/lookup?kind=phone&value=1390013{number:04}")
    except urllib.error.HTTPError as error:
        assert error.code == 404
        return None
    return person


def enrolments(server: Server, person: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a person's enrolment, once everything is processed."""
    server.wait_processed(1)
    items = server.get(f"/api/persons/{person['person_id']}/timeline?limit=50")["items"]
    return [one for one in items if one["name"] == "person.enrolled"]


def test_a_till_gives_points_to_a_new_phone_number(server: Server) -> None:
    status, booked = call(server, "/api/points/earn", {"person": phone(1), "points": 30}, "till-1")
    assert (status, booked["available"]) == (200, 30), "and nothing for a registration, which there was not"
    assert call(server, "/api/points/earn", {"person": phone(1), "points": 30}, "till-1") == (200, booked)
    person = found(server, 1)
    assert person is not None
    (known,) = person["identifiers"]
    assert (known["kind"], known["value"], known["source"]) == ("phone", "+8613900130001", "siyu")
    accounts = server.get(f"/api/persons/{person['person_id']}/accounts")["accounts"]
    assert [(one["currency"], one["available"]) for one in accounts] == [("points", 30)]
    (event,) = enrolments(server, person)
    assert (event["end"], event["properties"]) == ("api", {"call": "points/earn", "by": "api"})
    shown = Cli(server.home).json("person", "show", "phone:13900130001")
    assert shown["person"]["lifecycle"] == "new"
    assert [one["source"] for one in shown["person"]["identifiers"]] == ["siyu"]


WRITES = {
    "points/adjust": ("/api/points/adjust", {"points": 5, "reason": "a gift", "by": "Li"}, "api", "Li"),
    "coupons/issue": ("/api/coupons/HI/issue", {}, "api", "api"),
    "coupons/claim": ("/api/coupons/claim", {"template": "HI"}, "api", "api"),
    "checkins": ("/api/checkins", {"end": "app"}, "app", "api"),
    "orders": (
        "/api/orders",
        {"order_id": "N-1", "end": "store", "lines": [{"sku": "N1", "qty": 1}]},
        "store",
        "api",
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_whatever_gives_something_enrols(server: Server, name: str) -> None:
    path, body, end, by = WRITES[name]
    number = 10 + list(WRITES).index(name)
    status, answer = call(server, path, {"person": phone(number), **body})
    assert status == 200, answer
    person = found(server, number)
    assert person is not None
    (event,) = enrolments(server, person)
    assert (event["end"], event["properties"]) == (end, {"call": name, "by": by})


def test_points_are_passed_on_to_a_newcomer(server: Server) -> None:
    giver = {"kind": "user_id", "value": "U0"}
    assert call(server, "/api/points/transfer", {"from": giver, "to": phone(20), "points": 20})[0] == 200
    status, problem = call(server, "/api/points/transfer", {"from": giver, "to": phone(21), "points": 999})
    assert (status, problem["code"]) == (409, "INSUFFICIENT")
    assert found(server, 21) is not None, "as docs/loyalty.md says: a refused write may leave the person"
    status, problem = call(server, "/api/points/transfer", {"from": phone(22), "to": phone(23), "points": 1})
    assert (status, problem["code"]) == (404, "PERSON_NOT_FOUND")
    assert (found(server, 22), found(server, 23)) == (None, None)
    status, problem = call(
        server, "/api/points/transfer", {"from": giver, "to": {"kind": "phone", "value": "12"}, "points": 1}
    )
    assert (status, problem["code"], problem["path"]) == (422, "MALFORMED_REQUEST", "to")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/points/spend", {"points": 1}),
        ("/api/points/adjust", {"points": -1, "reason": "taken back"}),
        ("/api/points/adjust", {"points": 1_001, "reason": "waits for a second person", "by": "Li"}),
        ("/api/locks", {"points": 1, "ttl_s": 60}),
        ("/api/checkins/make-up", {"day": "2026-01-01"}),
        ("/api/quotes", {"end": "store", "lines": [{"sku": "N1", "qty": 1}]}),
    ],
)
def test_who_only_asks_or_takes_is_not_enrolled(server: Server, path: str, body: dict[str, Any]) -> None:
    server.wait_processed(1)
    before = server.get("/api/stream")["accepted"]
    status, problem = call(server, path, {"person": phone(30), **body})
    assert (status, problem["code"]) == (404, "PERSON_NOT_FOUND")
    assert found(server, 30) is None
    assert server.get("/api/stream")["accepted"] == before


def test_tills_of_one_instant_enrol_a_person_once(server: Server) -> None:
    """Eight calls for two numbers."""
    with ThreadPoolExecutor(8) as pool:
        asked = [(phone(40 + n % 2), f"at-once-{n}") for n in range(8)]
        done = list(
            pool.map(lambda one: call(server, "/api/points/earn", {"person": one[0], "points": 5}, one[1])[0], asked)
        )
    assert done == [200] * 8
    for number in (40, 41):
        person = found(server, number)
        assert person is not None and len(enrolments(server, person)) == 1
        accounts = server.get(f"/api/persons/{person['person_id']}/accounts")["accounts"]
        assert accounts[0]["available"] == 20


def test_while_the_processor_stands_still_the_till_is_told_to_ask_again(server: Server) -> None:
    body = json.dumps({"person": phone(50), "points": 5}).encode()
    headers = {"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json", "Idempotency-Key": "late"}
    request = urllib.request.Request(server.url + "/api/points/earn", data=body, headers=headers)
    processor = next(pid for pid, line in server.family().items() if "siyu.app process" in line)
    os.kill(processor, signal.SIGSTOP)
    try:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        problem = json.load(refused.value)
        assert (refused.value.code, problem["code"]) == (503, "ENROLMENT_PENDING")
        assert refused.value.headers["Retry-After"] == "2" and problem["title_zh"] == "正在建档，请稍后再试"
    finally:
        os.kill(processor, signal.SIGCONT)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["available"] == 5
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["available"] == 5


def test_an_erased_person_comes_back_by_a_new_call_alone(server: Server) -> None:
    give = {"person": phone(60), "points": 5}
    assert call(server, "/api/points/earn", give, "before")[0] == 200
    Cli(server.home).json("person", "erase", "phone:13900130060", "--yes")
    status, problem = call(server, "/api/points/earn", give, "before")
    assert (status, problem["code"]) == (404, "PERSON_NOT_FOUND"), "the same call again is no new one"
    status, booked = call(server, "/api/points/earn", give, "after")
    assert (status, booked["available"]) == (200, 5)
    person = found(server, 60)
    assert person is not None and len(enrolments(server, person)) == 1


REFUSED = {
    "coupons/issue": ("/api/coupons/ONE/issue", {}),
    "coupons/claim": ("/api/coupons/claim", {"template": "ONE"}),
    "checkins": ("/api/checkins", {"end": "app"}),
    "orders": ("/api/orders", {"order_id": "N-R", "end": "store", "lines": [{"sku": "N1", "qty": 1}]}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_call_refused_before_an_erasure_brings_nobody_back(server: Server, name: str) -> None:
    path, body = REFUSED[name]
    number = 70 + list(REFUSED).index(name)
    once = {"id": "ONE", "kind": "amount", "off_fen": 500, "claimable": True, "per_user": 1}
    assert put(server, "/api/coupons/templates/ONE", once)[0] == 200
    asked = {"person": phone(number), **body}
    assert call(server, path, asked)[0] == 200
    again = asked | {"lines": [{"sku": "N1", "qty": 2}]} if name == "orders" else asked
    status, refused = call(server, path, again, f"refused-{name}")
    assert status == 409, refused
    Cli(server.home).json("person", "erase", f"phone:1390013{number:04}", "--yes")
    assert call(server, path, again, f"refused-{name}")[0] in {404, 409}
    server.wait_processed(1)
    assert found(server, number) is None


def test_a_write_key_enrols_nobody(server: Server) -> None:
    for path, body, _, _ in WRITES.values():
        headers = {"Authorization": f"Bearer {WRITE_KEY}", "Content-Type": "application/json"}
        data = json.dumps({"person": phone(80), **body}).encode()
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(server.url + path, data=data, headers=headers), timeout=30)
        assert refused.value.code == 401
    server.wait_processed(1)
    assert found(server, 80) is None
