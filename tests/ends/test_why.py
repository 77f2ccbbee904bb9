"""Why: every refusal that the rooms of value can give, provoked over the running server, and reasons on the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.rules.test_titles import HAN, documented

from .server import PASSWORD, Server
from .test_coupons import CSRF, basket, call, post, user

NOBODY = {"kind": "anonymous_id", "value": "nobody at all"}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
CITY = {"person": "trait.city", "op": "eq", "value": "广州"}
TWICE = [{"days": 7, "rewards": [{"currency": "points", "amount": 1}]}] * 2
NOT_PROVOKED = {
    "NOT_SEALED": "a proof asked for in the second before the sealer comes",
    "ENROLMENT_PENDING": "a newcomer while the processor stands still: provoked in test_newcomers",
    "TOO_MANY_LOTS": "a spend from more lots than one statement takes",
    "QUERY_TOO_EXPENSIVE": "an estimate over more events than a test has",
    "PAYMENT_NOT_FOUND": "what a provider says of a refund: shown in `because`, not answered",
    "REFUND_DECLINED": "the same",
}
"""Codes of docs/ that no single call brings about, and why."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows the persons U0 to U9, on 2026-06-01 at 10:00 in Shanghai."""
    running = Server(tmp_path_factory.mktemp("why") / "home", SIYU_TEST_CLOCK="1", SIYU_POINTS_ADJUST_MAX="100")
    running.start()
    assert post(running, "/api/clock", {"now": "2026-06-01T10:00:00+08:00"})[0] < 300
    people = [
        {
            "type": "identify",
            "userId": f"U{n}",
            "messageId": f"m{n}",
            "traits": {"phone": f"1380013800{n}", "city": "深圳"},
        }
        for n in range(10)
    ]  # fmt: skip
    assert running.batch(people)
    running.wait_processed(len(people))
    try:
        yield running
    finally:
        running.stop()


class Walk:
    """Calls, and the refusals they met."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.met: dict[str, dict[str, Any]] = {}

    def do(self, path: str, body: Any = None, method: str = "POST", key: str | None = None) -> Any:
        """A call that must be done."""
        sent = {} if body is None and method != "GET" else body
        status, answer = call(self.server, method, path, sent, key)
        assert status < 300, (path, answer)
        return answer

    def refused(self, code: str, path: str, body: Any = None, method: str = "POST", key: str | None = None) -> Any:
        """A call that must be refused, in words of both languages."""
        sent = {} if body is None and method != "GET" else body
        status, problem = call(self.server, method, path, sent, key)
        assert (status // 100, problem.get("code")) == (4, code), (path, status, problem)
        assert problem["status"] == status
        assert problem["title"].strip() and problem["detail"].strip(), problem
        assert HAN.search(problem["title_zh"]), problem
        self.met[code] = problem
        return problem

    def quoted(self, code: str, what: str, body: Any) -> Any:
        """A quote that names something as refused."""
        answer = self.do("/api/quotes", body)
        said = {one["what"]: one for one in answer["refused"]}
        assert said[what]["code"] == code, answer
        self.met[code] = said[what]
        return said[what]

    def template(self, id: str, **more: Any) -> None:
        self.do(f"/api/coupons/templates/{id}", {"id": id, "kind": "amount", "off_fen": 500} | more, "PUT")

    def rule(self, id: str, **more: Any) -> None:
        self.do(f"/api/price-rules/{id}", {"id": id} | more, "PUT")

    def give(self, id: str, number: int) -> str:
        code: str = self.do(f"/api/coupons/{id}/issue", {"person": user(number)})["code"]
        return code


def coupons(walk: Walk) -> None:
    """Giving, locking and using."""
    walk.refused("TEMPLATE_NOT_FOUND", "/api/coupons/NONE/issue", {"person": user(1)})
    walk.refused("INVALID_TEMPLATE", "/api/coupons/templates/X", {"id": "X", "kind": "amount"}, "PUT")
    wrong = {"id": "X", "kind": "amount", "off_fen": 1, "audience": {"person": "nose", "op": "eq", "value": 1}}
    walk.refused("INVALID_RULE", "/api/coupons/templates/X", wrong, "PUT")
    walk.template("CITY", audience=CITY)
    problem = walk.refused("NOT_ELIGIBLE", "/api/coupons/CITY/issue", {"person": user(1)})
    (why,) = problem["why"]
    assert "广州" in why["zh"] and "广州" in why["en"] and problem["because"] == "condition"
    walk.refused("PERSON_NOT_FOUND", "/api/coupons/CITY/issue", {"person": NOBODY})
    walk.template("SOON", starts_at="2026-07-01T00:00:00+08:00")
    walk.refused("NOT_STARTED", "/api/coupons/claim", {"template": "SOON", "person": user(1)})
    walk.template("OVER", ends_at="2026-05-01T00:00:00+08:00")
    walk.refused("ENDED", "/api/coupons/claim", {"template": "OVER", "person": user(1)})
    walk.template("ONE", per_user=1)
    code = walk.give("ONE", 1)
    walk.refused("LIMIT_REACHED", "/api/coupons/ONE/issue", {"person": user(1)})
    walk.template("POOL")
    walk.do("/api/coupons/templates/POOL/pools/few/codes", {"codes": ["FEWCODES01"]})
    walk.refused("POOL_TAKEN", "/api/coupons/templates/ONE/pools/few/codes", {"codes": ["FEWCODES02"]})
    walk.give("POOL", 2)
    walk.refused("OUT_OF_STOCK", "/api/coupons/POOL/issue", {"person": user(3)})
    locks(walk, code)
    quotes(walk)


def locks(walk: Walk, code: str) -> None:
    wanted = {"person": user(1), "coupon": code, "ttl_s": 60}
    walk.refused("COUPON_NOT_FOUND", "/api/locks", wanted | {"coupon": "NO SUCH CODE"})
    walk.refused("COUPON_NOT_YOURS", "/api/locks", wanted | {"person": user(2)})
    walk.refused("WRONG_REQUEST", "/api/locks", {"person": user(1), "ttl_s": 60})
    for points in ("5", 5.5, True):
        body = {"person": user(1), "points": points, "ttl_s": 60}
        assert "points" in str(walk.refused("MALFORMED_REQUEST", "/api/locks", body))
        walk.refused("MALFORMED_REQUEST", "/api/points/earn", {"person": user(1), "points": points})
    for number in ("nope", UNKNOWN):
        walk.refused("LOCK_NOT_FOUND", f"/api/locks/{number}", None, "GET")
        walk.refused("LOCK_NOT_FOUND", f"/api/locks/{number}/commit")
    held = walk.do("/api/locks", wanted)["lock_id"]
    walk.refused("LOCKED", "/api/locks", wanted)
    walk.do(f"/api/locks/{held}/commit")
    walk.refused("COUPON_USED", "/api/locks", wanted)
    walk.refused("ALREADY_DECIDED", f"/api/locks/{held}/release")
    walk.refused("AMOUNT_OUT_OF_RANGE", f"/api/locks/{held}/rollback", {"points": 1})
    walk.do("/api/points/earn", {"person": user(1), "points": 10}, key="same")
    walk.refused("IDEMPOTENCY_CONFLICT", "/api/points/earn", {"person": user(1), "points": 11}, key="same")
    walk.refused("INSUFFICIENT", "/api/locks", {"person": user(1), "points": 11, "ttl_s": 60})
    walk.template("APP", scope={"ends": ["app"]})
    app = walk.give("APP", 1)
    walk.refused("CHANNEL_NOT_ALLOWED", "/api/locks", {"person": user(1), "coupon": app, "ttl_s": 60})
    walk.template("RICH", budget_fen=500)
    first, second = walk.give("RICH", 1), walk.give("RICH", 2)
    walk.do("/api/locks", {"person": user(1), "coupon": first, "ttl_s": 3_600})
    walk.refused("BUDGET_EXHAUSTED", "/api/locks", {"person": user(2), "coupon": second, "ttl_s": 60})
    walk.template("TODAY", valid="same_local_day")
    today = walk.give("TODAY", 1)
    walk.do("/api/clock", {"now": "2026-06-02T10:00:00+08:00"})
    walk.refused("COUPON_EXPIRED", "/api/locks", {"person": user(1), "coupon": today, "ttl_s": 60})


def quotes(walk: Walk) -> None:
    """What a quote names without refusing."""
    walk.rule("wide", percent_pay=90, priority=1, group="g")
    walk.rule("narrow", percent_pay=95, group="g")
    walk.rule("city", percent_pay=80, condition=CITY)
    walk.rule("done", percent_pay=80, ends_at="2026-06-01T00:00:00+08:00")
    walk.rule("later", percent_pay=80, starts_at="2026-08-01T00:00:00+08:00")
    walk.rule("apps", percent_pay=80, scope={"ends": ["app"]})
    walk.rule("poor", off_fen=9, budget_fen=8)
    walk.rule("other", percent_pay=80, scope={"skus": ["S2"]})
    asked = basket(10_000, 1)
    assert walk.quoted("NOT_STACKABLE", "price_rule/narrow", asked)["because"] == "price_rule/wide"
    said = walk.quoted("NOT_ELIGIBLE", "price_rule/city", asked)
    assert "广州" in said["why"][0]["zh"] and "广州" in said["why"][0]["en"]
    walk.quoted("ENDED", "price_rule/done", asked)
    walk.quoted("NOT_STARTED", "price_rule/later", asked)
    walk.quoted("CHANNEL_NOT_ALLOWED", "price_rule/apps", asked)
    walk.quoted("BUDGET_EXHAUSTED", "price_rule/poor", asked)
    assert walk.quoted("NOT_ELIGIBLE", "price_rule/city", basket(10_000))["because"] == "person"
    assert "price_rule/other" not in {one["what"] for one in walk.do("/api/quotes", asked)["refused"]}
    # With all these rules left out an order is made: only what was asked for may refuse it.
    made = {"order_id": "quoted", **asked}
    assert walk.do("/api/orders", made)["payable_fen"] == 9_000
    walk.rule("wide", percent_pay=90, active=False)


def points(walk: Walk) -> None:
    walk.refused("UNKNOWN_CURRENCY", "/api/points/earn", {"person": user(1), "points": 1, "currency": "shells"})
    walk.refused("TRANSFER_NOT_FOUND", "/api/points/refund", {"transfer_id": 2**40, "points": 1})
    spent = walk.do("/api/points/spend", {"person": user(1), "points": 1})["transfer_id"]
    walk.refused("NOT_PENDING", f"/api/points/pending/{spent}/post")
    walk.refused("ADJUSTMENT_NOT_FOUND", f"/api/points/adjustments/{UNKNOWN}/approve", {"by": "b"})
    asked = {"person": user(1), "points": 500, "reason": "kind", "by": "a"}
    number = walk.do("/api/points/adjust", asked)["adjustment_id"]
    walk.refused("SECOND_PERSON_NEEDED", f"/api/points/adjustments/{number}/approve", {"by": "A"})


def membership(walk: Walk) -> None:
    person = walk.do("/api/persons/lookup?kind=user_id&value=U1", None, "GET")["person_id"]
    walk.refused("TIER_NOT_FOUND", f"/api/persons/{person}/tier", {"tier": "none", "reason": "x"})
    walk.refused("NOT_FIXED", f"/api/persons/{person}/tier/release")
    walk.refused("CARD_NOT_FOUND", f"/api/persons/{person}/card", None, "GET")
    walk.refused("INVALID_CHECKIN_RULES", "/api/checkins/rules", {"streaks": TWICE}, "PUT")
    walk.do("/api/checkins", {"person": user(1), "end": "app"})
    walk.refused("ALREADY_CHECKED_IN", "/api/checkins", {"person": user(1), "end": "web"})


def mall(walk: Walk) -> None:
    item = {
        "id": "gold",
        "label": "金卡礼",
        "gives": "code",
        "points": 1,
        "version": 1,
        "tiers": ["黑金"],
        "audience": CITY,
    }
    walk.do("/api/mall/items/gold", item, "PUT")
    problem = walk.refused("NOT_ELIGIBLE", "/api/mall/items/gold/redeem", {"person": user(1)})
    tier, city = problem["why"]
    assert "黑金" in tier["zh"] and "黑金" in tier["en"] and "广州" in city["zh"]
    walk.refused("ITEM_NOT_FOUND", "/api/mall/items/none/redeem", {"person": user(1)})
    walk.refused("WRONG_ITEM", "/api/mall/items/other", item, "PUT")


def orders(walk: Walk) -> None:
    tea = {"id": "tea", "name": "茶", "version": 1, "skus": [{"sku": "TEA", "price_fen": 1_000, "tracked": True}]}
    walk.do("/api/products/tea", tea, "PUT")
    walk.refused("CONFLICT", "/api/products/tea", tea, "PUT")
    walk.refused("WRONG_PRODUCT", "/api/products/other", tea, "PUT")
    walk.refused("PRODUCT_NOT_FOUND", "/api/products/none", None, "GET")
    walk.refused("SKU_NOT_FOUND", "/api/stock/NONE/adjust", {"qty": 1, "reason": "x"})
    walk.refused("HOLD_NOT_FOUND", "/api/stock/holds/99999/commit")
    wanted = {"order_id": "A", "end": "web", "lines": [{"sku": "TEA", "qty": 1}], "person": user(4)}
    walk.refused("OUT_OF_STOCK", "/api/orders", wanted)
    walk.do("/api/stock/TEA/adjust", {"qty": 10, "reason": "came"})
    walk.refused("PRICE_CHANGED", "/api/orders", wanted | {"lines": [{"sku": "TEA", "qty": 1, "price_fen": 1}]})
    walk.refused("WRONG_ORDER", "/api/orders", wanted | {"lines": [{"sku": "UNLISTED", "qty": 1}]})
    walk.refused("ORDER_NOT_FOUND", "/api/orders/none/pay")
    walk.do("/api/orders", wanted)
    walk.refused("DUPLICATE", "/api/orders", wanted | {"end": "app"})
    walk.refused("NOT_PAID", "/api/orders/A/fulfil")
    walk.refused("AMOUNT_MISMATCH", "/api/orders/A/pay", {"amount_fen": 1})
    walk.refused("UNKNOWN_PROVIDER", "/api/orders/A/pay", {"provider": "barter"})
    walk.refused("PAYMENT_DECLINED", "/api/orders/A/pay", {"provider": "test", "card": "4000000000000002"})
    walk.do("/api/orders/A/pay")
    walk.refused("NOT_FULFILLED", "/api/orders/A/receive")
    walk.refused("REFUND_EXCEEDS_PAID", "/api/orders/A/refund", {"amount_fen": 10_000})
    walk.refused("WRONG_REFUND", "/api/orders/A/refund", {"lines": [{"sku": "NONE", "qty": 1}]})
    walk.refused("REFUND_NOT_FOUND", "/api/orders/A/refund/retry", {"refund_id": "none"})
    walk.do("/api/orders/A/fulfil")
    walk.refused("NOT_RECEIVED", "/api/orders/A/complete")
    walk.refused("ALREADY_FULFILLED", "/api/orders/A/cancel")
    walk.do("/api/orders/A/receive")
    walk.do("/api/orders/A/complete")
    walk.refused("COMPLETED", "/api/orders/A/cancel")
    walk.do("/api/orders", wanted | {"order_id": "C"})
    walk.do("/api/orders/C/pay")
    walk.do("/api/orders/C/refund")
    walk.refused("ORDER_REFUNDED", "/api/orders/C/fulfil")
    walk.do("/api/orders", wanted | {"order_id": "B"})
    walk.do("/api/orders/B/cancel")
    walk.refused("ORDER_CANCELLED", "/api/orders/B/pay")
    shop = {"dialect": "custom", "secret": "0123456789"}
    walk.refused("WRONG_MAPPING", "/api/connectors/far", shop, "PUT")
    walk.refused("CONNECTOR_NOT_FOUND", "/callbacks/far")
    walk.do("/api/connectors/far", {"dialect": "youzan", "secret": "0123456789", "client_id": "c"}, "PUT")
    walk.refused("WRONG_SIGNATURE", "/callbacks/far")
    walk.refused("INVALID_CONDITION", "/api/points/rules/odd", earn_rule({"@context.nose": 1}), "PUT")


def earn_rule(where: Any) -> dict[str, Any]:
    return {"id": "odd", "label_zh": "奇", "label_en": "odd", "event": "order.paid", "points": 1, "where": where}


def test_every_refusal_of_value_says_why_in_both_languages(server: Server) -> None:
    walk = Walk(server)
    coupons(walk)
    points(walk)
    membership(walk)
    mall(walk)
    orders(walk)
    assert sorted(documented() - set(walk.met)) == sorted(NOT_PROVOKED)


@pytest.fixture
def desk(server: Server) -> Iterator[httpx.Client]:
    """The console, signed in."""
    with httpx.Client(base_url=server.url, timeout=60, follow_redirects=True) as client:
        form = CSRF.findall(client.get("/console/login").text)[-1]
        client.post("/console/login", data={"_csrf": form, "name": "admin", "password": PASSWORD})
        yield client


def speak(desk: httpx.Client, locale: str) -> None:
    desk.post(
        "/console/preferences", data={"locale": locale, "_csrf": CSRF.findall(desk.get("/console/counter").text)[0]}
    )


@pytest.mark.parametrize(
    ("locale", "unmet", "limit"), [("zh_CN", "未满足", "上限"), ("en", "Not fulfilled:", "as many")]
)
def test_the_counter_says_which_condition_does_not_hold(
    desk: httpx.Client, server: Server, locale: str, unmet: str, limit: str
) -> None:
    """A printed code of whom it is not for; a second one of whom one is enough."""
    walk = Walk(server)
    walk.template("PRINT", audience=CITY, label_zh="广州券")
    walk.do("/api/coupons/templates/PRINT/pools/print/codes", {"codes": ["PRINTED001"]})
    walk.template("ONCE", per_user=1)
    walk.do("/api/coupons/templates/ONCE/pools/once/codes", {"codes": ["ONCEONLY01", "ONCEONLY02"]})
    speak(desk, locale)
    page = desk.get("/console/counter", params={"code": "PRINTED001"})
    asked = {"_csrf": CSRF.findall(page.text)[0], "code": "PRINTED001", "phone": "13800138005"}
    refused = desk.post("/console/counter", data=asked | {"key": f"p-{locale}"})
    assert refused.status_code == 409
    assert unmet in refused.text and "city" in refused.text and "广州" in refused.text
    assert "深圳" not in refused.text, "the counter learns nothing of the person"
    first = {"code": "ONCEONLY01", "phone": "13800138006", "key": "once-1"}
    assert desk.post("/console/counter", data=asked | first).status_code == 200
    again = desk.post("/console/counter", data=asked | first | {"code": "ONCEONLY02", "key": f"once-{locale}"})
    assert again.status_code == 409
    assert limit in again.text


LEAD = re.compile(r'data-lead href="([^"]+)"')


def test_from_a_persons_effects_to_their_reasons(desk: httpx.Client, server: Server) -> None:
    """One click from each: a segment, points of a rule, of an order and of the mall, a coupon."""
    walk = Walk(server)
    speak(desk, "zh_CN")
    person = walk.do("/api/persons/lookup?kind=user_id&value=U7", None, "GET")["person_id"]
    walk.do("/api/segments", {"key": "shenzhen", "label": "深圳人", "rule": CITY | {"value": "深圳"}})
    walk.template("MINE", label_zh="我的券", new_user_only=True, audience=CITY | {"value": "深圳"})
    walk.give("MINE", 7)
    before = server.get("/api/stream")["accepted"]
    review = {"type": "track", "event": "order.reviewed", "userId": "U7", "messageId": "r7", "properties": {}}
    assert server.batch([review])
    server.wait_processed(before + 1)
    walk.do("/api/points/earn", {"person": user(7), "points": 5, "cause": "order/A"})
    item = {
        "id": "card",
        "label": "卡",
        "gives": "code",
        "points": 1,
        "version": 1,
        "audience": CITY | {"value": "深圳"},
    }
    walk.do("/api/mall/items/card", item, "PUT")
    walk.do("/api/mall/items/card/codes", {"codes": ["C-1"]})
    walk.do("/api/mall/items/card/redeem", {"person": user(7)})
    page = desk.get(f"/console/persons/{person}/accounts").text
    found = [one.replace("&amp;", "&") for one in LEAD.findall(page)]
    assert any(one.startswith("/console/earn-rules/review/why?") and "event=r7" in one for one in found), found
    assert "/console/orders?q=A" in found and f"/console/why/mall/card?q={person}" in found
    assert f"/console/why/coupon/MINE?q={person}" in page and "我的券" in page
    for address in found:
        assert desk.get(address).status_code == 200, address
    why = desk.get(next(one for one in found if "/review/why" in one)).text
    assert 'data-held="yes"' in why and re.search(r"<b>[^<]*10", why), "the rule and the event that gave it"
    for address, fits in (
        (f"/console/why/coupon/MINE?q={person}", "yes"),
        ("/console/why/coupon/MINE?q=13800138004", "no"),
    ):
        answer = desk.get(address).text
        assert f'data-for="{fits}"' in answer and "深圳" in answer, address
    portrait = desk.get(f"/console/persons/{person}").text
    assert f"/console/why/segment/shenzhen?q={person}" in portrait
    assert 'data-for="yes"' in desk.get(f"/console/why/segment/shenzhen?q={person}").text
    for address in ("/console/why/segment/none", "/console/why/nothing/x", "/console/why/mall/none?q=1"):
        assert desk.get(address).status_code == 404, address
    assert desk.get("/console/why/segment/shenzhen?q=nobody%20at%20all").status_code == 200
