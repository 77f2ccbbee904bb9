"""Pages with which operators run promotions, in a real browser: from the empty form to what a person gets."""

from __future__ import annotations

import re
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
    page.fill("input[name=pool]", "flyer")
    page.fill("input[name=count]", "120000")
    page.get_by_role("button", name="生成", exact=True).click()
    expect(page.locator("#made [role=progressbar]")).to_be_visible()
    expect(page.locator("#made")).to_contain_text("新增 120,000 个券码", timeout=60_000)
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
    assert server.get("/api/price-rules")["items"][0]["rule"]["scope"]["ends"] == ["mini_program"]
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
