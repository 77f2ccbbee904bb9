"""Pages with which operators run promotions, in a real browser: from the empty form to what a person gets."""

from __future__ import annotations

import hmac
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .chromium import needs_chromium
from .console_brand import open_brand_server
from .server import Server
from .test_console_browser import Visitor

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (make setup-dev)")
expect = sync_api.expect
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with open_brand_server(tmp_path_factory.mktemp("pages") / "home") as running:
        yield running


@pytest.fixture(scope="module")
def desk(browser: Any, server: Server) -> Iterator[Visitor]:
    """One tab at a desk, in Chinese, that says yes to every question."""
    visitor = Visitor(browser, server, 1440, "zh_CN")
    visitor.page.set_default_timeout(15_000)
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    yield visitor
    visitor.context.close()


def calm(visitor: Visitor) -> bool:
    """Whether nothing went wrong but refusals (422, which the browser notes); forgets what it saw."""
    wrong = [text for text in visitor.wrong if "status of 422" not in text]
    visitor.wrong.clear()
    assert wrong == []
    return True


def save(page: Any) -> None:
    page.get_by_role("button", name="保存", exact=True).click()


def test_a_coupon_from_the_form_to_a_person(desk: Visitor, server: Server) -> None:
    page = desk.page
    desk.open("/console/coupons")
    page.get_by_role("link", name="新建优惠券").first.click()
    page.get_by_text("折扣", exact=True).first.click()
    page.fill("input[name=pay_percent]", "88")
    # The card beside the form follows what is typed.
    expect(page.locator("[data-ticket] .worth")).to_contain_text("88 折")
    expect(page.locator("[data-ticket] .worth")).to_contain_text("付 88%")
    page.get_by_text("当天有效", exact=True).click()
    save(page)
    # What is missing stands beside its field; what was typed is still there.
    expect(page.locator("#wrong-label_zh")).to_have_text("请填写。")
    expect(page.locator("#wrong-id")).to_be_visible()
    assert page.input_value("input[name=pay_percent]") == "88"
    page.fill("input[name=label_zh]", "老客 88 折")
    page.fill("input[name=id]", "OLD88")
    page.fill("input[name=total]", "3")
    page.locator("[data-rule-text]").fill("属性“city” 等于 “广州”")
    expect(page.locator("[data-node=person]")).to_have_count(1)
    expect(page.locator("[data-rule-count]")).to_contain_text("90")
    save(page)
    page.wait_for_url("**/console/coupons/OLD88?said=made")
    made = server.get("/api/coupons/templates/OLD88")["template"]
    assert (made["pay_percent"], made["valid"], made["total"], made["per_user"]) == (88, "same_local_day", 3, 1)
    assert made["audience"] == {"person": "trait.city", "op": "eq", "value": "广州"}
    page.fill("input[name=value]", "13800000003")
    page.get_by_role("button", name="发放", exact=True).click()
    page.wait_for_url("**/console/coupons/OLD88?said=given")
    page.fill("input[name=value]", "13800000003")
    page.get_by_role("button", name="发放", exact=True).click()
    expect(page.locator("#wrong-value")).to_contain_text("已达领取上限")
    page.get_by_role("button", name="停止发放").click()
    page.wait_for_url("**?said=stopped")
    assert server.get("/api/coupons/templates/OLD88")["template"]["active"] is False
    assert server.get("/api/coupons/templates/OLD88")["version"] == 2
    assert calm(desk)


def test_an_edit_keeps_what_the_form_does_not_show(desk: Visitor, server: Server) -> None:
    page = desk.page
    before = {
        "id": "KEEP", "kind": "amount", "off_fen": 1234, "label_zh": "留", "starts_at": "2026-01-02T03:04:05.678000Z",
        "scope": {"skus": ["T1", "T2"], "collections": ["tea"], "except_skus": ["T9"], "ends": ["web", "kiosk"]},
        "priority": -3, "group": "g", "budget_fen": 100_001, "min_spend_fen": 5, "return_on": "any_refund",
        "audience": {"person": "first_paid_order", "op": "eq", "value": True},
    }  # fmt: skip
    stored = server.put("/api/coupons/templates/KEEP", before)["template"]
    desk.open("/console/coupons/KEEP/edit")
    save(page)
    page.wait_for_url("**/console/coupons/KEEP?said=changed")
    assert server.get("/api/coupons/templates/KEEP")["template"] == stored
    assert "保存，无改动" in page.inner_text("main")
    # Somebody else saves while the form is open: theirs is not overwritten.
    desk.open("/console/coupons/KEEP/edit")
    server.put("/api/coupons/templates/KEEP", {**before, "label_zh": "别人的"})
    save(page)
    expect(page.locator(".note.tone-rose")).to_contain_text("期间有人保存了新版本")
    assert server.get("/api/coupons/templates/KEEP")["template"]["label_zh"] == "别人的"
    assert calm(desk)


def test_codes_are_made_brought_and_downloaded(desk: Visitor, server: Server, tmp_path: Path) -> None:
    page = desk.page
    server.put("/api/coupons/templates/POOL", {"id": "POOL", "kind": "amount", "off_fen": 100, "label_zh": "池"})
    desk.open("/console/coupons/POOL")
    page.fill("input[name=pool]", "leaflet")
    page.fill("input[name=count]", "120000")
    steps: list[str] = []
    page.on("response", lambda answer: steps.append(answer.url) if answer.url.endswith("/pools/step") else None)
    page.get_by_role("button", name="生成", exact=True).click()
    expect(page.locator("#made")).to_contain_text("新增 120,000 个券码", timeout=60_000)
    assert len(steps) == 3, "made in steps, so that the bar moves"
    (pool,) = server.get("/api/coupons/templates/POOL/pools")["items"]
    assert (pool["codes"], pool["left"]) == (120_000, 120_000)
    with page.expect_download() as saved:
        page.locator("#made").get_by_role("link", name="下载").click()
    assert len(saved.value.path().read_text().splitlines()) == 120_001
    brought = tmp_path / "codes.csv"
    brought.write_bytes("券码,备注\nTEAM-0001,甲\nTEAM-0002,乙\nTEAM-0001,重复\nx,太短\n".encode("gb18030"))
    page.fill("input[name=import_pool]", "partner")
    page.set_input_files("input[name=file]", brought)
    page.get_by_role("button", name="导入", exact=True).click()
    expect(page.locator(".note.tone-jade")).to_contain_text("新增 2 个券码；2 个未导入")
    assert calm(desk)


def test_a_price_rule_is_made_and_tried(desk: Visitor, server: Server) -> None:
    page = desk.page
    desk.open("/console/price-rules")
    page.get_by_role("link", name="新建价格规则").first.click()
    page.get_by_text("立减金额", exact=True).first.click()
    page.fill("input[name=off]", "20")
    page.fill("input[name=min_spend]", "100")
    page.fill("input[name=label_zh]", "小程序立减")
    page.fill("input[name=id]", "mp20")
    page.get_by_label("小程序", exact=True).check()
    save(page)
    page.wait_for_url("**/console/price-rules?said=made")
    assert server.get("/api/price-rules")["items"][1]["rule"]["scope"]["ends"] == ["mini_program"]
    rule = {"id": "rich", "percent_pay": 50, "label_zh": "大客"}
    rule |= {"condition": {"person": "trait.city", "op": "eq", "value": "x"}}
    server.put("/api/price-rules/rich", rule)
    page.get_by_role("link", name="试算").click()
    assert page.input_value("input[name=sku]") == "T1"
    page.get_by_role("button", name="算一算").click()
    expect(page.locator("[data-payable]")).to_have_text("¥108.00")
    expect(page.locator(".why-list")).to_contain_text("仅限部分顾客")
    page.fill("input[name=value]", "13800000003")
    page.get_by_role("button", name="算一算").click()
    expect(page.locator(".why-list")).to_contain_text("这位顾客不满足条件")
    page.locator("select[name=end]").select_option("web")
    expect(page.locator("[data-payable]")).to_have_text("¥128.00")
    expect(page.locator(".why-list")).to_contain_text("不适用于该渠道")
    page.locator("input[name=qty]").fill("x")
    page.get_by_role("button", name="算一算").click()
    expect(page.locator("#tried .wrong")).to_have_text(re.compile("整数"))
    assert calm(desk)


def test_an_earn_rule_gives_from_the_next_event_on(desk: Visitor, server: Server) -> None:
    page = desk.page
    desk.open("/console/currencies")
    page.fill("input[name=code]", "paw")
    page.fill("input[name=unit_zh]", "爪印")
    page.fill("input[name=unit_en]", "paws")
    save(page)
    page.wait_for_url("**/console/currencies?said=made")
    desk.open("/console/earn-rules/-new")
    page.fill("input[name=event]", "tea.tasted")
    save(page)
    expect(page.locator("#wrong-points")).to_have_text("请填写。")
    page.fill("input[name=points]", "7")
    page.locator("select[name=currency]").select_option("paw")
    page.fill("input[name=label_zh]", "试茶")
    page.fill("input[name=id]", "tasting")
    page.get_by_text("每天一次", exact=True).click()
    save(page)
    page.wait_for_url("**/console/earn-rules?said=made")
    assert "试茶" in page.inner_text("main")
    event = {"type": "track", "userId": "user-7", "event": "tea.tasted"}
    until = time.monotonic() + 30
    paws = 0
    for number in range(200):
        # A changed rule is noticed within seconds; on one day it gives once.
        server.batch([event | {"messageId": f"tasted-{number}"}])
        person = server.get("/api/persons/lookup?kind=user_id&value=user-7")["person_id"]
        found = {one["currency"]: one for one in server.get(f"/api/persons/{person}/accounts")["accounts"]}
        paws = found.get("paw", {}).get("available", 0)
        if paws or time.monotonic() > until:
            break
        time.sleep(0.3)
    assert paws == 7
    for _ in range(2):  # the second time what was there before is there again
        desk.open("/console/earn-rules/tasting")
        page.locator("input[name=ends][value=app]").check()
        page.fill("input[name=from_fen]", "1.50")
        save(page)
        page.wait_for_url("**/console/earn-rules?said=changed")
    (rule,) = [one for one in server.get("/api/points/rules")["items"] if one["id"] == "tasting"]
    asked = {"property": "@end", "op": "in", "value": ["app"]}, {"property": "@value_fen", "op": "gte", "value": 150}
    assert (rule["version"], rule["where"]) == (3, {"all": list(asked)})
    desk.open("/console/earn-rules/order")
    save(page)
    page.wait_for_url("**/console/earn-rules?said=changed")
    (rule,) = [one for one in server.get("/api/points/rules")["items"] if one["id"] == "order"]
    assert rule["version"] == 2
    assert rule["subject"][0] == "order_id"
    assert rule["post_on"] == ["order.received", "order.completed"]
    assert calm(desk)


def test_the_ladder_is_changed_in_the_builder(desk: Visitor, server: Server) -> None:
    page = desk.page
    before = server.get("/api/tiers")
    desk.open("/console/tiers/-edit")
    page.fill("input[name=en2]", "Golden")
    page.locator("details.fold summary").last.click()
    page.fill("input[name=name3]", "铂金")
    page.fill("input[name=place3]", "4")
    page.fill("textarea[name=words_zh3]", "生日礼\n专属客服")
    page.fill("textarea[name=words_en3]", "A birthday present\nA line of their own")
    save(page)
    # A step without a condition cannot be; the condition stays open to be filled in.
    expect(page.locator(".note.tone-rose")).to_be_visible()
    builder = page.locator("[data-rule-builder=rule3]")
    builder.locator("[data-rule-text]").fill("成长值 至少 9000 或 生命周期 等于 “VIP”")
    expect(builder.locator("[data-node=person]")).to_have_count(2)
    save(page)
    page.wait_for_url("**/console/tiers?said=changed")
    after = server.get("/api/tiers")
    assert [tier["rule"] for tier in after["tiers"][:3]] == [tier["rule"] for tier in before["tiers"]]
    assert [tier["benefits"] for tier in after["tiers"][:3]] == [tier["benefits"] for tier in before["tiers"]]
    assert set(after["tiers"][3]["rule"]) == {"any"}
    assert [one["kind"] for one in after["tiers"][3]["benefits"]] == ["birthday", "other"]
    assert after["tiers"][3]["benefits"][1]["en"] == "A line of their own"
    assert page.locator(".ladder-x li").count() == 4
    assert calm(desk)


def test_a_mini_program_is_added_changed_and_removed(desk: Visitor, server: Server) -> None:
    page = desk.page
    desk.open("/console/mini-programs")
    page.fill("input[name=appid]", "wrong")
    page.fill("input[name=secret]", "short")
    save(page)
    page.locator("#wrong-appid").wait_for()
    assert page.locator("#wrong-secret").count() == 1
    page.fill("input[name=appid]", "wxfedcba9876543210")
    page.fill("input[name=secret]", "fedcba98" * 4)
    page.fill("input[name=label]", "分店小程序")
    save(page)
    page.wait_for_url("**?said=made")
    assert "fedcba98" * 4 not in page.content()
    desk.open("/console/mini-programs?edit=wxfedcba9876543210")
    page.get_by_text("允许登录").uncheck()
    save(page)
    page.wait_for_url("**?said=changed")
    shown = {one["appid"]: one for one in server.get("/api/mini-programs")["items"]}
    assert shown["wxfedcba9876543210"]["active"] is False
    desk.open("/console/mini-programs?edit=wxfedcba9876543210")
    page.get_by_role("button", name="连同密钥一起删除").click()
    page.wait_for_url("**?said=removed")
    assert "wxfedcba9876543210" not in {one["appid"] for one in server.get("/api/mini-programs")["items"]}
    assert calm(desk)


def test_a_foreign_shop_is_added_and_heard(desk: Visitor, server: Server) -> None:
    page = desk.page
    desk.open("/console/connectors")
    page.locator("#form").get_by_text("其他系统", exact=True).click()
    page.fill("input[name=name]", "till-shop")
    save(page)
    secret = page.locator("[data-secret]").inner_text()
    assert f"{server.url}/callbacks/till-shop" in page.inner_text("main")
    body = json.dumps(
        {"type": "paid", "order": {"id": "F-1", "time": "2026-11-20T10:00:00+08:00", "amount": "12.50",
                                   "buyer": {"phone": "13800000004"}}}
    ).encode()  # fmt: skip

    def deliver(text: bytes, key: str) -> int:
        signature = hmac.digest(key.encode(), text, "sha256").hex()
        call = urllib.request.Request(
            f"{server.url}/callbacks/till-shop", data=text, headers={"x-shop-signature": signature}
        )
        try:
            with urllib.request.urlopen(call, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert deliver(body, secret) == 200
    assert deliver(body, "somebody else") == 401
    assert deliver(b'{"type": "paid", "order": {}}', secret) == 200
    desk.open("/console/connectors")
    text = page.inner_text("main")
    assert secret not in page.content()
    assert "最近一条订单消息" in text
    assert "签名不符" in text
    assert "内容与字段映射不符" in text
    # Changed without a word about the secret, it stays; renewed, the old one is worth nothing.
    desk.open("/console/connectors?edit=till-shop")
    save(page)
    page.wait_for_url("**?said=changed")
    assert deliver(body, secret) == 200
    desk.open("/console/connectors?edit=till-shop")
    page.get_by_text("生成新的签名密钥").check()
    save(page)
    renewed = page.locator("[data-secret]").inner_text()
    assert (deliver(body, secret), deliver(body, renewed)) == (401, 200)
    assert calm(desk)


def sign_in(browser: Any, server: Server, name: str, password: str) -> Any:
    """A page of somebody's own."""
    context = browser.new_context(viewport={"width": 375, "height": 812}, permissions=["camera"])
    context.add_cookies([{"name": "siyu_locale", "value": "zh_CN", "url": server.url}])
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.goto(server.url + "/console/login")
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", password)
    page.click("form.login button")
    page.wait_for_selector("main")
    return page


def test_a_coupon_is_given_to_somebody_new_and_a_mistyped_number_is_named(desk: Visitor, server: Server) -> None:
    server.put("/api/coupons/templates/NEW1", {"id": "NEW1", "kind": "amount", "off_fen": 500, "label_zh": "新客券"})
    for value, said in (("12345", "核对"), ("13877770001", "said=given")):
        desk.open("/console/coupons/NEW1")
        form = desk.page.locator("form[action$='NEW1/issue']")
        form.locator("select[name=kind]").select_option("phone")
        form.locator("input[name=value]").fill(value)
        form.get_by_role("button").click()
        desk.page.wait_for_load_state()
        assert said in desk.page.url + desk.page.inner_text("body")
    person = server.get("/api/persons/lookup?kind=phone&value=13877770001")["person_id"]
    (given,) = server.get(f"/api/persons/{person}/coupons")["items"]
    assert given["template"] == "NEW1"


def test_counter_staff_use_coupons_and_see_nothing_else(browser: Any, desk: Visitor, server: Server) -> None:
    server.put("/api/coupons/templates/TILL", {"id": "TILL", "kind": "amount", "off_fen": 500, "label_zh": "柜台券"})
    who = {"kind": "phone", "value": "13800000006"}
    first, second = (server.post("/api/coupons/TILL/issue", {"person": who})["code"] for _ in range(2))
    desk.open("/console/account")
    desk.page.fill("input[name=name]", "till-1")
    desk.page.locator("select[name=role]").select_option("counter")
    desk.page.fill("form[action$=operators] input[name=password]", "till password")
    desk.page.get_by_role("button", name="添加").click()
    desk.page.wait_for_url("**/console/account?said=added")
    page = sign_in(browser, server, "till-1", "till password")
    assert page.url == f"{server.url}/console/counter"
    token = page.input_value("input[name=_csrf] >> nth=0")
    closed = ["/persons", "/segments", "/coupons", "/orders", "/tiers", "/earn-rules", "/connectors", "/rules/offers"]
    closed += [f"/persons/{server.get('/api/persons/lookup?kind=phone&value=13800000006')['person_id']}"]
    for path in closed:
        assert page.request.get(f"{server.url}/console{path}").status == 403, path
    for path in ("/coupons/TILL/issue", "/segments", "/account/operators", "/tiers"):
        answer = page.request.post(f"{server.url}/console{path}", form={"_csrf": token}, max_redirects=0)
        assert answer.status == 403, path
    # A hand scanner is a keyboard: what it types goes into the field, Enter looks it up.
    page.locator("h1").click()
    page.keyboard.type(first)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=柜台券")
    text = page.inner_text("body")
    assert "0006" in text
    assert "13800000006" not in text
    assert "客户06" not in text
    assert page.locator("a[href*='/persons']").count() == 0
    page.get_by_role("button", name="核销", exact=True).click()
    page.wait_for_url("**used=1")
    assert server.get(f"/api/coupons/codes/{first}")["state"] == "redeemed"
    # This Chromium cannot read codes: it says so, and what to do.
    page.get_by_role("button", name="摄像头扫码").click()
    expect(page.locator("#scan-problem")).to_contain_text("扫码枪")
    # Where the browser can, the code that the camera sees is looked up.
    page.add_init_script(
        "window.BarcodeDetector = class { detect() { return Promise.resolve([{ rawValue: '" + second + "' }]); } };"
    )
    page.goto(f"{server.url}/console/counter")
    page.get_by_role("button", name="摄像头扫码").click()
    page.wait_for_url(f"**code={second}")
    assert "柜台券" in page.inner_text("main")
    page.context.close()
