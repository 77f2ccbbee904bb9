"""Coupons over HTTP on a whole server: templates, claims, quotes, locks, retries, the clock, kill -9."""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .chromium import needs_chromium
from .server import API_TOKEN, PASSWORD, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows the persons U0 to U9, on 2026-06-01 at 10:00 in Shanghai."""
    running = Server(tmp_path_factory.mktemp("coupons") / "home", SIYU_TEST_CLOCK="1")
    running.start()
    assert call(running, "POST", "/api/clock", {"now": "2026-06-01T10:00:00+08:00"})[0] < 300
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


def call(server: Server, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
    """(status, body); status 0 when the connection broke."""
    headers = {"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text.decode()
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except (OSError, http.client.HTTPException):
        return 0, None


def post(server: Server, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
    return call(server, "POST", path, {} if body is None else body, key)


def basket(fen: int, number: int | None = None, end: str = "miniprogram", **more: Any) -> dict[str, Any]:
    told = {"end": end, "lines": [{"sku": "S1", "qty": 1, "price_fen": fen}]} | more
    return told if number is None else told | {"person": user(number)}


def test_the_way_of_a_coupon(server: Server) -> None:
    n88 = {"id": "N88", "kind": "percent_pay", "pay_percent": 88, "valid": "same_local_day", "per_user": 1,
           "new_user_only": True, "label_zh": "88 折新人券"}  # fmt: skip
    assert call(server, "PUT", "/api/coupons/templates/N88", n88)[0] == 200
    status, coupon = post(server, "/api/coupons/N88/issue", {"person": user(1)}, "k1")
    assert (status, coupon["state"], coupon["template"]) == (200, "given", "N88")
    assert coupon["person_id"] == server.get("/api/persons/lookup?kind=user_id&value=U1")["person_id"]
    assert post(server, "/api/coupons/N88/issue", {"person": user(1)}, "k1") == (200, coupon)
    status, problem = post(server, "/api/coupons/N88/issue", {"person": user(2)}, "k1")
    assert (status, problem["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    status, problem = post(server, "/api/coupons/N88/issue", {"person": user(1)}, "k2")
    assert (status, problem["code"]) == (409, "LIMIT_REACHED")
    status, found = post(server, "/api/quotes", basket(10_000, 1, coupons=[coupon["code"]]))
    assert (status, found["list_fen"], found["payable_fen"], found["earns"]) == (
        200, 10_000, 8_800, {"points": 88, "growth": 88}
    )  # fmt: skip
    code = coupon["code"].lower().replace("-", " ").replace(" ", "%20")
    status, seen = call(server, "GET", f"/api/coupons/codes/{code}")
    assert (status, seen["coupon_id"]) == (200, coupon["coupon_id"])
    late = basket(10_000, 1, coupons=[coupon["code"]], at="2026-06-02T00:00:00+08:00")
    status, found = post(server, "/api/quotes", late)
    assert (found["payable_fen"], found["refused"]) == (10_000, [{"what": coupon["code"], "code": "COUPON_EXPIRED"}])
    status, held = post(server, "/api/locks", {"person": user(1), "coupon": coupon["code"], "ttl_s": 60}, "k3")
    assert (status, held["state"]) == (200, "held")
    status, done = post(server, f"/api/locks/{held['lock_id']}/commit", None, "k4")
    assert (status, done["state"]) == (200, "committed")
    assert post(server, f"/api/locks/{held['lock_id']}/commit", None, "k4") == (200, done)
    status, problem = post(server, "/api/locks", {"person": user(1), "coupon": coupon["code"], "ttl_s": 60})
    assert (status, problem["code"]) == (409, "COUPON_USED")
    assert post(server, f"/api/locks/{held['lock_id']}/rollback")[1]["state"] == "rolled_back"
    status, problem = post(server, f"/api/locks/{held['lock_id']}/commit")
    assert (status, problem["code"]) == (409, "ALREADY_DECIDED"), "a till that is late must not hand out the goods"
    items = call(server, "GET", f"/api/persons/{seen['person_id']}/coupons")[1]["items"]
    assert [one["state"] for one in items] == ["given"]
    names = ["coupon.returned", "coupon.redeemed", "coupon.locked", "coupon.issued"]
    wait_for_events(server, seen["person_id"], names)


def wait_for_events(server: Server, person: str, names: list[str]) -> None:
    until = time.monotonic() + 20
    while True:
        items = call(server, "GET", f"/api/persons/{person}/timeline?limit=50")[1]["items"]
        found = sorted(one["name"] for one in items if one["name"].startswith("coupon."))
        if found == sorted(names):
            return
        assert time.monotonic() < until, found
        time.sleep(0.2)


def test_a_lock_ends_with_its_time(server: Server) -> None:
    assert call(server, "PUT", "/api/coupons/templates/A20", {"id": "A20", "kind": "amount", "off_fen": 2000})[0] == 200
    coupon = post(server, "/api/coupons/claim", {"template": "A20", "person": user(3)})[1]
    assert post(server, "/api/points/earn", {"person": user(3), "points": 100})[0] == 200
    wanted = {"person": user(3), "coupon": coupon["code"], "points": 100, "ttl_s": 60, "order_id": "T1"}
    held = post(server, "/api/locks", wanted)[1]
    assert post(server, "/api/locks", wanted)[1]["code"] == "LOCKED"
    assert post(server, "/api/clock", {"advance_s": 61})[0] < 300
    status, problem = post(server, f"/api/locks/{held['lock_id']}/commit")
    assert (status, problem["code"]) == (409, "ENDED")
    assert call(server, "GET", f"/api/locks/{held['lock_id']}")[1]["state"] == "expired"
    assert post(server, "/api/locks", wanted)[1]["state"] == "held"


def test_a_pool_of_codes(server: Server) -> None:
    told = {"id": "POOL", "kind": "amount", "off_fen": 500, "per_user": 2}
    assert call(server, "PUT", "/api/coupons/templates/POOL", told)[0] == 200
    status, filled = post(server, "/api/coupons/templates/POOL/pools/summer/codes", {"count": 3}, "p1")
    assert (status, filled) == (200, {"pool": "summer", "added": 3, "left_out": 0})
    status, filled = post(
        server, "/api/coupons/templates/POOL/pools/brought/codes", {"codes": ["ABCD-1234", "abcd1234"]}
    )
    assert (status, filled["added"], filled["left_out"]) == (200, 1, 1)
    text = call(server, "GET", "/api/coupons/templates/POOL/pools/summer/codes.csv")[1]
    codes = [line.partition(",")[0] for line in text.splitlines()[1:]]
    assert len(set(codes)) == 3
    assert post(server, "/api/quotes", basket(10_000, 4, coupons=[codes[1]]))[1]["payable_fen"] == 9_500
    held = post(server, "/api/locks", {"person": user(4), "coupon": codes[1], "ttl_s": 60})[1]
    assert post(server, f"/api/locks/{held['lock_id']}/commit")[1]["state"] == "committed"
    status, problem = post(server, "/api/locks", {"person": user(5), "coupon": codes[1], "ttl_s": 60})
    assert (status, problem["code"]) == (409, "COUPON_NOT_YOURS")
    for _ in range(3):
        assert post(server, "/api/coupons/claim", {"template": "POOL", "person": user(6)})[0] in (200, 409)
    pools = call(server, "GET", "/api/coupons/templates/POOL/pools")[1]["items"]
    assert sum(one["left"] for one in pools) == 1
    assert post(server, "/api/coupons/claim", {"template": "POOL", "person": user(7)})[0] == 200
    assert post(server, "/api/coupons/claim", {"template": "POOL", "person": user(8)})[1]["code"] == "OUT_OF_STOCK"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/quotes", {"end": "web", "lines": []}, 422, "MALFORMED_REQUEST"),
        ("/api/quotes", basket(-1), 422, "MALFORMED_REQUEST"),
        ("/api/quotes", basket(1, surprise=1), 422, "MALFORMED_REQUEST"),
        ("/api/quotes", basket(1, person="nobody"), 404, "PERSON_NOT_FOUND"),
        ("/api/coupons/NONE/issue", {"person": user(0)}, 404, "TEMPLATE_NOT_FOUND"),
        ("/api/coupons/claim", {"person": user(0), "template": "NONE"}, 404, "TEMPLATE_NOT_FOUND"),
        ("/api/locks", {"person": user(0), "coupon": "NO SUCH CODE", "ttl_s": 1}, 404, "COUPON_NOT_FOUND"),
        ("/api/locks", {"person": user(0), "points": 1, "ttl_s": 0}, 422, "MALFORMED_REQUEST"),
        ("/api/locks", {"person": user(0), "points": 1, "ttl_s": 60}, 409, "INSUFFICIENT"),
        ("/api/locks/00000000-0000-4000-8000-000000000000/commit", {}, 404, "LOCK_NOT_FOUND"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(
    server: Server, path: str, body: Any, status: int, code: str
) -> None:
    answered, problem = post(server, path, body)
    assert (answered, problem["code"]) == (status, code)


def test_rules_for_first_orders_as_data(server: Server) -> None:
    """SC30's quote and SC17's, with the order that comes to be known as an event."""
    first = {"person": "first_paid_order", "op": "eq", "value": True}
    assert (
        call(server, "PUT", "/api/price-rules/first90", {"id": "first90", "percent_pay": 90, "condition": first})[0]
        == 200
    )
    status, found = post(server, "/api/quotes", basket(19_999, 8))
    assert (status, found["payable_fen"], found["earns"]["points"]) == (200, 17_999, 179)
    assert found["discounts"] == [{"source": "price_rule/first90", "amount_fen": 2_000}]
    paid = {"type": "track", "event": "order.paid", "userId": "U8", "messageId": "paid-8",
            "properties": {"order_id": "O8", "amount_fen": 17_999}}  # fmt: skip
    before = call(server, "GET", "/api/stream")[1]["accepted"]
    assert server.batch([paid])
    server.wait_processed(before + 1)
    assert post(server, "/api/quotes", basket(19_999, 8))[1]["payable_fen"] == 19_999
    assert post(server, "/api/quotes", basket(19_999))[1]["payable_fen"] == 19_999, "nobody is named"
    counted = {"metric": "count", "event": "order.paid", "op": "gte", "value": 1}
    again = {"id": "again", "off_fen": 1_000, "condition": counted, "scope": {"ends": ["miniprogram"]}}
    assert call(server, "PUT", "/api/price-rules/again", again)[0] == 200
    until = time.monotonic() + 20
    while post(server, "/api/quotes", basket(19_999, 8))[1]["payable_fen"] != 18_999:
        assert time.monotonic() < until
    assert post(server, "/api/quotes", basket(19_999, 8, end="web"))[1]["payable_fen"] == 19_999
    for name, body in (("first90", {"percent_pay": 90}), ("again", {"off_fen": 1_000})):
        assert call(server, "PUT", f"/api/price-rules/{name}", {"id": name, "active": False} | body)[0] == 200


CSRF = re.compile(r'name="_csrf" value="([^"]+)"')
ONCE = re.compile(r'name="key" value="([^"]+)"')


def test_the_counter_in_the_console(server: Server) -> None:
    told = {"id": "CASH", "kind": "amount", "off_fen": 1_500, "label_zh": "满减券", "scope": {"ends": ["store"]}}
    assert call(server, "PUT", "/api/coupons/templates/CASH", told)[0] == 200
    coupon = post(server, "/api/coupons/CASH/issue", {"person": user(9)})[1]
    budget = {"id": "RICH", "kind": "shipping", "budget_fen": 100_000, "total": 5, "label_zh": "包邮券"}
    assert call(server, "PUT", "/api/coupons/templates/RICH", budget)[0] == 200
    with httpx.Client(base_url=server.url, timeout=60) as client:
        form = CSRF.findall(client.get("/console/login").text)[-1]
        client.post("/console/login", data={"_csrf": form, "name": "admin", "password": PASSWORD})
        page = client.get("/console/counter", params={"code": coupon["code"]})
        assert page.status_code == 200
        assert "满减券" in page.text and coupon["code"] in page.text and "可用" in page.text
        asked = {"_csrf": CSRF.findall(page.text)[0], "key": ONCE.findall(page.text)[0], "code": coupon["code"]}
        assert client.post("/console/counter", data={"code": coupon["code"]}).status_code == 403
        done = client.post("/console/counter", data=asked)
        assert done.status_code == 303
        assert client.post("/console/counter", data=asked).status_code == 303, "clicked twice it is used once"
        assert "核销成功" in client.get(done.headers["location"]).text
        refused = client.post("/console/counter", data=asked | {"key": "another"})
        assert refused.status_code == 409
        assert "已经核销过" in refused.text
        assert "没有这张券" in client.get("/console/counter", params={"code": "NOSUCHCODE"}).text
        assert "包邮券" in client.get("/console/coupons").text
        again = post(server, "/api/coupons/redeem", {"code": coupon["code"]}, "till-1")
        assert (again[0], again[1]["code"]) == (409, "COUPON_USED")
        second = post(server, "/api/coupons/CASH/issue", {"person": user(9)})[1]
        assert second["code"] in client.get("/console/counter", params={"code": "13800138009"}).text


@needs_chromium
@pytest.mark.parametrize("width", [375, 1440])
def test_the_counter_on_a_phone_and_on_a_desk(browser: Any, server: Server, width: int) -> None:
    told = {
        "id": "LONG",
        "kind": "percent_pay",
        "pay_percent": 88,
        "min_spend_fen": 10_000,
        "label_zh": "八八折新人券" * 6,
    }
    assert call(server, "PUT", "/api/coupons/templates/LONG", told)[0] == 200
    first = {"person": "first_paid_order", "op": "eq", "value": True}
    shown = {"id": "first80", "percent_pay": 80, "condition": first, "scope": {"ends": ["web"]}, "stack": "exclusive"}
    assert call(server, "PUT", "/api/price-rules/first80", shown)[0] == 200
    coupon = post(server, "/api/coupons/LONG/issue", {"person": user(0)})[1]
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.goto(server.url + "/console/login")
    page.fill("input[name=name]", "admin")
    page.fill("input[name=password]", PASSWORD)
    page.click("form.login button")
    page.wait_for_selector("main")
    page.goto(server.url + "/console/counter")
    page.fill("input[name=code]", coupon["code"])
    page.press("input[name=code]", "Enter")
    page.wait_for_selector(".panel h2")
    pictures = os.environ.get("SIYU_SCREENSHOTS_TO")
    if pictures:
        page.screenshot(path=Path(pictures) / f"counter-{width}.png")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    page.click("main form[method=post] button")
    page.wait_for_selector(".note.tone-jade")
    if pictures:
        page.screenshot(path=Path(pictures) / f"counter-done-{width}.png")
    page.goto(server.url + "/console/coupons")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert "八八折新人券" in page.inner_text("main")
    page.goto(server.url + "/console/price-rules")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    text = page.inner_text("main")
    assert "首单" in text and "8 折" in text
    if pictures:
        page.screenshot(path=Path(pictures) / f"coupons-{width}.png")
    assert wrong == []
    context.close()
