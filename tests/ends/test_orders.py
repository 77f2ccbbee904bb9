"""Orders over HTTP on a whole server: their life, points that follow from it, retries, races and kill -9."""

from __future__ import annotations

import base64
import hmac
import json
import os
import random
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
from .test_points import call, events, put, user


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows the persons U0 to U9 and sells two things."""
    running = Server(tmp_path_factory.mktemp("orders") / "home", SIYU_TEST_CLOCK="1")
    running.start()
    people = [{"type": "identify", "userId": f"U{n}", "messageId": f"m{n}", "traits": {}} for n in range(10)]
    assert running.batch(people)
    running.wait_processed(len(people))
    try:
        yield running
    finally:
        running.stop()


def product(sku: str, price_fen: int, *, tracked: bool = True) -> dict[str, Any]:
    skus = [{"sku": sku, "price_fen": price_fen, "tracked": tracked}]
    return {"id": f"p-{sku}", "name": f"茶 {sku}", "category": "茶", "skus": skus}


def sell(server: Server, sku: str, price_fen: int, units: int) -> None:
    assert put(server, f"/api/products/p-{sku}", product(sku, price_fen))[0] == 200
    delivery = {"qty": units, "reason": "delivery", "came_in": True}
    assert call(server, f"/api/stock/{sku}/adjust", delivery, f"stock-{sku}")[0] == 200


def order(number: str, sku: str, qty: int = 1, price_fen: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "order_id": number,
        "end": "mini_program",
        "lines": [{"sku": sku, "qty": qty, "price_fen": price_fen}],
        **more,
    }


def stock(server: Server, sku: str) -> tuple[int, int, int, int]:
    seen = server.get(f"/api/stock/{sku}")
    assert seen["stock"] == seen["available"] + seen["reserved"] + seen["sold"]
    return seen["stock"], seen["available"], seen["reserved"], seen["sold"]


def wait_for(condition: Any) -> None:
    for _ in range(1_200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def standing(server: Server, number: int) -> tuple[int, int]:
    """(available, pending) points"""
    person = server.get(f"/api/persons/lookup?kind=user_id&value=U{number}")["person_id"]
    found = server.get(f"/api/persons/{person}/accounts")["accounts"]
    return next(((one["available"], one["pending"]) for one in found if one["currency"] == "points"), (0, 0))


def timeline(server: Server, number: int) -> list[str]:
    person = server.get(f"/api/persons/lookup?kind=user_id&value=U{number}")["person_id"]
    return [one["name"] for one in server.get(f"/api/persons/{person}/timeline?limit=50")["items"]][::-1]


def test_the_life_of_an_order_and_the_points_that_follow(server: Server) -> None:
    sell(server, "A1", 9_950, 10)
    status, made = call(server, "/api/orders", order("L1", "A1", 2, 9_950, person=user(0)), "l1")
    assert (status, made["state"], made["payable_fen"]) == (200, "created", 19_900), made
    assert call(server, "/api/orders", order("L1", "A1", 2, 9_950, person=user(0)), "l1") == (200, made)
    status, problem = call(server, "/api/orders", order("L1", "A1", 1, 9_950, person=user(0)), "l1")
    assert (status, problem["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert stock(server, "A1") == (10, 8, 2, 0)
    status, paid = call(server, "/api/orders/L1/pay", {"amount_fen": 19_900, "provider": "test"}, "l2")
    assert (status, paid["state"], paid["paid_fen"]) == (200, "paid", 19_900), paid
    wait_for(lambda: standing(server, 0) == (0, 199))
    status, problem = call(server, "/api/orders/L1/refund", {"amount_fen": 0})
    assert (status, problem["code"], problem["path"]) == (422, "WRONG_REFUND", "amount_fen")
    status, refunded = call(server, "/api/orders/L1/refund", {"lines": [{"sku": "A1", "qty": 1}]}, "l3")
    assert (status, refunded["refund"]["amount_fen"], refunded["kept_fen"]) == (200, 9_950, 9_950)
    wait_for(lambda: standing(server, 0) == (0, 99))
    for verb in ("fulfil", "receive", "complete"):
        assert call(server, f"/api/orders/L1/{verb}", {})[0] == 200
    wait_for(lambda: standing(server, 0) == (99, 0))
    server.wait_processed(0)
    assert timeline(server, 0)[-6:] == [
        "order.created", "order.paid", "order.refunded", "order.fulfilled", "order.received", "order.completed",
    ]  # fmt: skip
    shown = server.get("/api/orders/L1")
    assert [one["kind"] for one in shown["payments"]] == ["payment", "refund"]
    person = server.get("/api/persons/lookup?kind=user_id&value=U0")["person_id"]
    assert shown["person_id"] == person
    assert [one["order_id"] for one in server.get(f"/api/persons/{person}/orders")["items"]] == ["L1"]
    assert [one["order_id"] for one in server.get("/api/orders?state=completed&order_id=L")["items"]] == ["L1"]
    assert stock(server, "A1") == (10, 9, 0, 1)


def test_a_request_without_a_body_is_one_with_nothing_to_say(server: Server) -> None:
    assert call(server, "/api/orders", order("N1", "anything", 1, 500))[0] == 200
    for verb in ("pay", "fulfil", "receive", "complete", "refund"):
        request = urllib.request.Request(
            f"{server.url}/api/orders/N1/{verb}", b"", {"Authorization": f"Bearer {API_TOKEN}"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
    assert server.get("/api/orders/N1")["state"] == "refunded"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (order("X1", "A1", 1, 1), 409, "PRICE_CHANGED"),
        (order("X1", "A1", 9_999), 409, "OUT_OF_STOCK"),
        (order("X1", "nothing"), 422, "WRONG_ORDER"),
        (order("X1", "A1", 0), 422, "MALFORMED_REQUEST"),
        (order("X 1", "A1"), 422, "MALFORMED_REQUEST"),
        (order("X1", "A1", person={"kind": "device", "value": "nobody's"}), 404, "PERSON_NOT_FOUND"),
        (order("X1", "A1", person={"kind": "phone", "value": "12345"}), 422, "MALFORMED_REQUEST"),
        ({"order_id": "X1", "end": "web", "lines": []}, 422, "MALFORMED_REQUEST"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(server: Server, body: Any, status: int, code: str) -> None:
    answered, problem = call(server, "/api/orders", body)
    assert (answered, problem["code"]) == (status, code)


def test_stock_is_imported_counted_held_and_told_of(server: Server) -> None:
    for sku in ("S1", "S2"):
        assert put(server, f"/api/products/p-{sku}", product(sku, 100))[0] == 200
    listed = {"csv": "\ufeffsku,qty\nS1,5\nS2,7\n", "mode": "add", "reason": "first delivery"}
    assert call(server, "/api/stock/import", listed, "s1") == (200, {"changed": 2})
    assert call(server, "/api/stock/import", listed, "s1") == (200, {"changed": 2})
    assert stock(server, "S1") == (5, 5, 0, 0)
    assert call(server, "/api/stock/import", {"csv": "sku,qty\nS1,3\nS2,7\n", "mode": "count"})[1] == {"changed": 1}
    assert stock(server, "S1") == (3, 3, 0, 0)
    assert call(server, "/api/stock/import", {"csv": "sku,qty\nS9,3\n"})[1]["code"] == "SKU_NOT_FOUND"
    assert call(server, "/api/stock/import", {"csv": "sku,qty\nS1,x\n"})[1]["code"] == "WRONG_PRODUCT"
    status, held = call(server, "/api/stock/S1/hold", {"qty": 2, "ttl_s": 60}, "s2")
    assert (status, held["available"], held["reserved"]) == (200, 1, 2)
    assert call(server, "/api/stock/S1/hold", {"qty": 2, "ttl_s": 60}, "s2") == (200, held)
    assert call(server, "/api/stock/S1/adjust", {"qty": -2, "reason": "lost"})[1]["code"] == "OUT_OF_STOCK"
    assert call(server, f"/api/stock/holds/{held['transfer_id']}/commit", {})[0] == 200
    assert call(server, f"/api/stock/holds/{held['transfer_id']}/release", {})[1]["code"] == "ALREADY_DECIDED"
    assert stock(server, "S1") == (3, 1, 0, 2)
    moves = server.get("/api/stock/S1/history")["items"]
    assert [(one["kind"], one["available"], one["reason"]) for one in moves] == [
        ("sell", 0, ""), ("reserve", -2, ""), ("adjust", -2, "stock list"), ("receive", 5, "first delivery"),
    ]  # fmt: skip


def test_a_cart_is_one_for_a_person(server: Server) -> None:
    sell(server, "K1", 700, 5)
    events(server, {"userId": "C1", "event": "page.viewed"}, {"userId": "C2", "event": "page.viewed"})
    one, two = (server.get(f"/api/persons/lookup?kind=user_id&value={name}")["person_id"] for name in ("C1", "C2"))
    assert put(server, f"/api/persons/{one}/cart/K1", {"qty": 2})[1]["total_fen"] == 1_400
    assert put(server, f"/api/persons/{two}/cart/K1", {"qty": 1})[1]["total_fen"] == 700
    declared = server.post(
        "/api/identity/aliases",
        {"a": {"kind": "user_id", "value": "C1"}, "b": {"kind": "user_id", "value": "C2"}, "reason": "one household"},
    )
    assert server.get(f"/api/persons/{one}/cart")["lines"][0]["qty"] == 3
    server.post("/api/identity/retractions", {"link_id": declared["link_id"], "reason": "no"})
    assert server.get(f"/api/persons/{one}/cart")["lines"][0]["qty"] == 2
    assert put(server, f"/api/persons/{one}/cart/K1", {"qty": 0})[1]["lines"] == []
    assert put(server, f"/api/persons/{one}/cart/none", {"qty": 1})[1]["code"] == "SKU_NOT_FOUND"


def test_who_waits_for_the_stream_waits_for_what_calls_told(server: Server) -> None:
    """Ten times: a call, then the stream says that all is processed, then the event is there."""
    for number in range(5):
        for step, body in (("", order(f"WT-{number}", "anything", price_fen=100, person=user(6))), ("/pay", {})):
            path = "/api/orders" if step == "" else f"/api/orders/WT-{number}{step}"
            assert call(server, path, body)[0] == 200
            server.wait_processed(0)
            assert timeline(server, 6).count("order.paid" if step else "order.created") == number + 1


def test_an_unpaid_order_lapses_when_the_clock_moves(server: Server) -> None:
    sell(server, "W1", 100, 1)
    assert call(server, "/api/orders", order("W-1", "W1", pay_within_s=300, person=user(1)))[0] == 200
    assert call(server, "/api/stock/W1/adjust", {"qty": 1, "reason": "delivery"})[0] == 200
    assert call(server, "/api/stock/W1/hold", {"qty": 1, "ttl_s": 300})[0] == 200
    assert server.get("/api/stock/W1") == {"sku": "W1", "stock": 2, "available": 0, "reserved": 2, "sold": 0}
    server.post("/api/clock", {"advance_s": 301})
    # What was set aside is free at once, not when somebody has tidied up.
    assert server.get("/api/stock/W1") == {"sku": "W1", "stock": 2, "available": 2, "reserved": 0, "sold": 0}
    assert call(server, "/api/orders/W-1/pay", {})[1]["code"] == "ENDED"
    assert server.get("/api/orders/W-1")["state"] == "cancelled"
    assert call(server, "/api/orders", order("W-2", "W1"))[0] == 200
    wait_for(lambda: "order.cancelled" in timeline(server, 1))


def test_a_refund_that_failed_is_found_and_sent_again(server: Server) -> None:
    assert call(server, "/api/orders", order("B-1", "anything", 1, 500))[0] == 200
    assert call(server, "/api/orders/B-1/pay", {"provider": "test", "card": "4000000000005126"})[0] == 200
    assert call(server, "/api/orders/B-1/refund", {"amount_fen": 300, "refund_id": "r1"})[0] == 200
    wait_for(lambda: [one["order_id"] for one in server.get("/api/orders?money=failed")["items"]] == ["B-1"])
    (failed,) = server.get("/api/orders/B-1")["refunds"]
    assert (failed["state"], failed["because"].partition(":")[0]) == ("failed", "REFUND_DECLINED")
    status, again = call(server, "/api/orders/B-1/refund/retry", {"refund_id": "r1"}, "again")
    assert (status, again["refunds"][0]["state"]) == (200, "planned")
    assert call(server, "/api/orders/B-1/refund/retry", {"refund_id": "r1"}, "again") == (200, again)
    status, problem = call(server, "/api/orders/B-1/refund/retry", {}, "again")
    assert (status, problem["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert call(server, "/api/orders/B-1/refund/retry", {"refund_id": "r2"})[1]["code"] == "REFUND_NOT_FOUND"
    assert call(server, "/api/orders/B-2/refund/retry", {})[1]["code"] == "ORDER_NOT_FOUND"
    wait_for(lambda: server.get("/api/orders/B-1")["refunds"][0]["state"] == "done")
    assert server.get("/api/orders?money=failed")["items"] == []


def test_of_two_payments_of_one_order_one_goes_back(server: Server) -> None:
    assert call(server, "/api/orders", order("B-3", "anything", 1, 500, person=user(4)))[0] == 200
    bodies = [{"provider": "test", "payment_id": f"two-{number}"} for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: call(server, "/api/orders/B-3/pay", body)[1]["state"], bodies))
    assert set(answers) == {"paid"}

    def settled() -> bool:
        # A provider that calls back, as often as it likes, changes nothing.
        for body in bodies:
            assert deliver(server, "payments/test", json.dumps({"payment_id": body["payment_id"]}).encode())[0] == 200
        shown = server.get("/api/orders/B-3")
        return all(one["state"] == "done" for one in shown.get("returns", [])) and "unclear" not in shown

    wait_for(settled)
    shown = server.get("/api/orders/B-3")
    kinds = Counter(one["kind"] for one in shown["payments"])
    assert (shown["paid_fen"], kinds["payment"], shown["refunded_fen"]) == (500, 1, 0)
    assert {one["reason"] for one in shown["payments"] if one["kind"] == "return"} <= {"already_paid"}
    wait_for(lambda: timeline(server, 4).count("order.payment_returned") == kinds["return"])


def test_the_last_units_among_many_buyers(server: Server) -> None:
    sell(server, "H1", 990, 10)

    def buy(number: int) -> tuple[int, str]:
        status, body = call(server, "/api/orders", order(f"H-{number}", "H1", 1, 990), f"h-{number}")
        return status, body.get("code", "")

    with ThreadPoolExecutor(32) as pool:
        answers = Counter(pool.map(buy, range(300)))
    assert answers == {(200, ""): 10, (409, "OUT_OF_STOCK"): 290}
    assert stock(server, "H1") == (10, 0, 10, 0)


def test_a_server_that_is_killed_answers_a_retry_as_if_nothing_had_happened(server: Server) -> None:
    sell(server, "Z1", 100, 100)
    done: dict[int, str] = {}
    stop = threading.Event()

    def buy(number: int) -> None:
        while not stop.is_set():
            status, body = call(server, "/api/orders", order(f"Z-{number}", "Z1", person=user(2)), f"z-{number}")
            if status == 200:
                status, body = call(server, f"/api/orders/Z-{number}/pay", {"provider": "test"}, f"zp-{number}")
            if status in (200, 409):
                done[number] = body.get("code", body.get("state"))
                return
            stop.wait(0.1)

    web = next(pid for pid, line in server.family().items() if "siyu.app web" in line)
    with ThreadPoolExecutor(16) as pool:
        running = [pool.submit(buy, number) for number in range(120)]
        while len(done) < 30:
            stop.wait(0.01)
        os.kill(web, signal.SIGKILL)
        for one in running:
            one.result(60)
    assert Counter(done.values()) == {"paid": 100, "OUT_OF_STOCK": 20}
    assert stock(server, "Z1") == (100, 0, 0, 100)
    wait_for(lambda: standing(server, 2)[1] == 100)


def deliver(server: Server, name: str, body: bytes, **headers: str) -> tuple[int, Any]:
    """A webhook of a foreign shop."""
    request = urllib.request.Request(f"{server.url}/callbacks/{name}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def shopify(topic: str, body: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    text = json.dumps(body).encode()
    signature = base64.b64encode(hmac.digest(b"shopify secret", text, "sha256")).decode()
    return text, {"X-Shopify-Topic": topic, "X-Shopify-Hmac-Sha256": signature}


def test_a_foreign_shop_delivers_twice_and_in_disorder(server: Server) -> None:
    wanted = {"dialect": "shopify", "secret": "shopify secret"}
    assert put(server, "/api/connectors/my-shop", wanted)[0] == 200
    assert "secret" not in server.get("/api/connectors")["items"][0]
    times = {"created_at": "2027-05-01T10:00:00+08:00"}
    bought = {"id": 77, "total_price": "50.00", "customer": {"id": 9}, "line_items": [{"sku": "F1", "price": "50.00"}]}
    deliveries = [
        shopify("refunds/create", {"id": 5, "order_id": 77, "transactions": [{"amount": "20.00"}], **times}),
        shopify("orders/paid", {**bought, **times}),
        shopify("orders/create", {**bought, **times}),
        shopify("orders/fulfilled", {**bought, **times}),
    ]
    chance = random.Random(7)
    sent = [one for one in deliveries for _ in range(chance.randint(1, 3))]
    chance.shuffle(sent)
    for body, headers in sent:
        assert deliver(server, "my-shop", body, **headers) == (200, {"kept": True, "code": 0, "msg": "success"})
    body, headers = deliveries[1]
    status, problem = deliver(server, "my-shop", body + b" ", **headers)
    assert (status, problem["code"]) == (401, "WRONG_SIGNATURE")
    assert deliver(server, "no-shop", body, **headers)[1]["code"] == "CONNECTOR_NOT_FOUND"
    unknown, signed = shopify("products/update", {"id": 1})
    assert deliver(server, "my-shop", unknown, **signed)[1]["kept"] is False
    wait_for(lambda: seen_kept(server, "my-shop", "77") == ("fulfilled", 5_000, 2_000))
    shown = server.get("/api/orders/77")
    assert shown == server.get("/api/orders/77?source=my-shop")
    assert (shown["source"], shown["lines"][0]["sku"], len(shown["steps"])) == ("my-shop", "F1", 4)
    person = server.get("/api/persons/lookup?kind=openid:my-shop&value=9")["person_id"]
    assert [one["order_id"] for one in server.get(f"/api/persons/{person}/orders")["items"]] == ["77"]

    def counted() -> dict[str, int]:
        accounts = server.get(f"/api/persons/{person}/accounts")["accounts"]
        return {one["currency"]: one["available"] + one["pending"] for one in accounts}

    # A refund names no buyer there. It is the buyer's all the same.
    wait_for(lambda: counted() == {"points": 30, "growth": 30})


def test_a_refund_that_names_no_buyer_takes_back_from_who_paid(server: Server) -> None:
    """Of 200 yuan 80 go back, however the webhooks arrive: points, growth, dimensions, and the tier that 200 gave."""
    assert put(server, "/api/connectors/nb-shop", {"dialect": "shopify", "secret": "shopify secret"})[0] == 200
    chance = random.Random(81)
    arrivals = [("orders/paid", "refunds/create"), ("refunds/create", "orders/paid"), None, None]
    for number, arrival in enumerate(arrivals):
        bought = {"id": 900 + number, "total_price": "200.00", "customer": {"id": 50 + number}}
        given = {"id": 1, "order_id": 900 + number, "transactions": [{"amount": "80.00"}]}
        day = "2026-11-01T1%d:00:00+08:00"
        told = {
            "orders/create": {**bought, "created_at": day % 0},
            "orders/paid": {**bought, "created_at": day % 1},
            "refunds/create": {**given, "created_at": day % 2},
        }
        topics = list(arrival or [topic for topic in told for _ in range(chance.randint(1, 3))])
        if arrival is None:
            chance.shuffle(topics)
        for topic in topics:
            body, headers = shopify(topic, told[topic])
            assert deliver(server, "nb-shop", body, **headers)[0] == 200
            if arrival is not None:
                server.wait_processed(0)
    server.wait_processed(0)
    for number in range(len(arrivals)):
        person = server.get(f"/api/persons/lookup?kind=openid:nb-shop&value={50 + number}")["person_id"]
        accounts = server.get(f"/api/persons/{person}/accounts")["accounts"]
        assert {one["currency"]: one["available"] + one["pending"] for one in accounts} == {
            "points": 120,
            "growth": 120,
        }
        wait_for(lambda person=person: figures(server, person) == (12_000, 8_000, "普通", 12_000))


def test_a_cancelled_order_counts_nothing_whenever_its_refund_is_told(server: Server) -> None:
    assert put(server, "/api/connectors/c-shop", {"dialect": "shopify", "secret": "shopify secret"})[0] == 200
    arrivals = [
        ("orders/paid", "orders/cancelled"),
        ("orders/cancelled", "orders/paid", "orders/cancelled"),
        ("orders/paid", "orders/cancelled", "refunds/create"),
        ("refunds/create", "orders/cancelled", "orders/paid"),
    ]
    day = "2026-11-01T1%d:00:00+08:00"
    for number, arrival in enumerate(arrivals):
        bought = {"id": 700 + number, "total_price": "200.00", "customer": {"id": 70 + number}}
        given = {"id": 1, "order_id": 700 + number, "transactions": [{"amount": "80.00"}]}
        told = {
            "orders/paid": {**bought, "created_at": day % 1},
            "orders/cancelled": {**bought, "created_at": day % 2},
            "refunds/create": {**given, "created_at": day % 3},
        }
        for topic in arrival:
            body, headers = shopify(topic, told[topic])
            assert deliver(server, "c-shop", body, **headers)[0] == 200
            server.wait_processed(0)
    for number in range(len(arrivals)):
        person = server.get(f"/api/persons/lookup?kind=openid:c-shop&value={70 + number}")["person_id"]
        wait_for(lambda person=person: figures(server, person)[0::2] == (0, "普通"))


def figures(server: Server, person: str) -> tuple[int, int, str, int]:
    """(net spend and refunded as dimensions, the tier, the spend that the next one counts), fen"""
    said = server.get(f"/api/persons/{person}/dimensions")["dimensions"]
    tier = server.get(f"/api/persons/{person}/tier")
    counted = next(one["value"] for way in tier["next"]["ways"] for one in way["missing"] if one["unit"] == "fen")
    return said["net_spend_fen"], said["refund_fen"], tier["tier"], counted


def seen_kept(server: Server, source: str, order_id: str) -> tuple[str, int, int] | None:
    items = server.get(f"/api/orders?source={source}&order_id={order_id}")["items"]
    return (items[0]["state"], items[0]["paid_fen"], items[0]["refunded_fen"]) if items else None


def test_orders_of_events_stand_in_the_list_and_earn_as_ours_do(server: Server) -> None:
    def step(name: str, **more: Any) -> dict[str, Any]:
        said = {"order_id": "EV1", "shop": "till-7", **more}
        return {"userId": "U3", "event": name, "properties": said, "context": {"end": "store"}}

    events(server, step("order.received"), step("order.refunded", refund_fen=1_000, refund_id="R"))
    events(server, step("order.paid", amount_fen=5_000), step("order.paid", amount_fen=5_000))
    wait_for(lambda: seen_kept(server, "till-7", "EV1") == ("received", 5_000, 1_000))
    assert standing(server, 3) == (40, 0)
    # Two shops have an order of this id: whose is asked for must be said.
    events(server, step("order.paid", shop="till-8", amount_fen=100))
    wait_for(lambda: seen_kept(server, "till-8", "EV1") is not None)
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.get("/api/orders/EV1")
    problem = json.loads(refused.value.read())
    assert (problem["status"], problem["code"]) == (404, "ORDER_NOT_FOUND")
    assert problem["detail"] == "2 shops have an order EV1; say whose as source: till-7, till-8."
    assert problem["detail_zh"] == "2 家店铺都有订单 EV1，请用 source 指明店铺：till-7, till-8。"
    # Our own order that an end tells of is no second order.
    assert call(server, "/api/orders", order("OWN1", "any", 1, 700, person=user(3)))[0] == 200
    events(server, {"userId": "U3", "event": "order.paid", "properties": {"order_id": "OWN1", "amount_fen": 700}})
    time.sleep(1.5)
    assert seen_kept(server, "events", "OWN1") is None


def test_an_erasure_leaves_numbers_and_an_archive_has_everything(server: Server, tmp_path: Path) -> None:
    events(server, {"userId": "E1", "event": "order.paid", "properties": {"order_id": "EF1", "amount_fen": 100}})
    person = {"kind": "user_id", "value": "E1"}
    sell(server, "G1", 300, 9)
    assert call(server, "/api/orders", order("E-1", "G1", 2, person=person))[0] == 200
    assert call(server, "/api/orders/E-1/pay", {"provider": "test"})[0] == 200
    number = server.get("/api/persons/lookup?kind=user_id&value=E1")["person_id"]
    assert put(server, f"/api/persons/{number}/cart/G1", {"qty": 2})[0] == 200
    wait_for(lambda: len(server.get(f"/api/persons/{number}/orders")["items"]) == 2)
    cli = Cli(server.home)
    cli.run("person", "export", "user_id:E1", "--out", tmp_path / "e1.zip")
    with zipfile.ZipFile(tmp_path / "e1.zip") as archive:
        held = json.loads(archive.read("orders.json"))
    assert {one["order_id"] for one in held["orders"]} == {"E-1", "EF1"}
    assert held["cart"][0]["sku"] == "G1"
    receipt = cli.json("person", "erase", "user_id:E1", "--yes")["rows"]
    assert (receipt["shop_orders"], receipt["foreign_orders"], receipt["shop_carts"]) == (1, 1, 1)
    left = server.get("/api/orders/E-1")
    assert (left["paid_fen"], left.get("person_id")) == (600, None)
    assert call(server, "/api/orders/E-1/refund", {})[0] == 200
    assert stock(server, "G1") == (9, 9, 0, 0)


def test_the_ledger_is_right_in_the_end(server: Server) -> None:
    checks = {check["name"]: check for check in Cli(server.home).json("doctor", "--ledger")}
    assert checks["ledger"]["ok"], checks["ledger"]
