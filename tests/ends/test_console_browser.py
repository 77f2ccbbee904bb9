"""The console in a real browser: every page, both languages, phone and desk.

No error in the console, nothing wider than the screen, nothing untranslated. SIYU_SCREENSHOTS=1 keeps pictures."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from siyu.console.question_form import KINDS

from .chromium import needs_chromium
from .console_brand import open_brand_server
from .server import API_TOKEN, PASSWORD, Server

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (make setup-dev)")

SCREENSHOTS = Path(__file__).parents[2] / "docs" / "screenshots"
KEPT = {
    "/console": "overview",
    "PERSON": "portrait",
    "PERSON/identity": "identity",
    "/console/questions/funnel": "funnel",
    "/console/questions/retention": "retention",
    "/console/sources": "sources",
    "/console/segments": "segments",
    "PERSON/accounts": "accounts",
    "/console/orders": "orders",
    "ORDER": "order",
    "/console/products": "products",
    "/console/counter": "counter",
    "/console/coupons/TEA88/edit": "coupon",
    "/console/earn-rules": "earn-rules",
    "/console/tiers": "tiers",
    "PERSON/membership": "membership",
}
ON_A_PHONE = ("overview", "portrait")
PATHS = (
    "/console",
    "/console/persons",
    "PERSON",
    "PERSON/identity",
    "PERSON/rights",
    "PERSON/accounts",
    "PERSON/membership",
    "/console/tiers",
    "/console/checkins",
    "/console/segments",
    "/console/segments/lifecycle.new",
    "/console/orders",
    "/console/orders?state=refunded",
    "ORDER",
    "FOREIGN",
    "/console/products",
    "/console/products/tea",
    "/console/mall",
    "/console/segments/-new",
    "/console/segments/rfm.important_value/edit",
    "/console/counter",
    "/console/coupons",
    "/console/coupons/-new",
    "/console/coupons/TEA88",
    "/console/coupons/TEA88/edit",
    "/console/price-rules",
    "/console/price-rules/-new",
    "/console/price-rules/member",
    "/console/price-rules/-try",
    "/console/earn-rules",
    "/console/earn-rules/-new",
    "/console/earn-rules/order",
    "/console/earn-rules/order/why?q=13800000003",
    "/console/currencies",
    "/console/currencies?edit=points",
    "/console/calendar?year=2026&day=2026-10-01",
    "/console/tiers/-edit",
    "/console/connectors",
    "/console/connectors?edit=own-shop",
    "/console/mini-programs",
    "/console/mini-programs?edit=wx0123456789abcdef",
    "/console/questions",
    *(f"/console/questions/{kind}" for kind in KINDS),
    "/console/sources",
    "SOURCE",
    "/console/dead-letters",
    "/console/conflicts",
    "/console/account",
)

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with open_brand_server(tmp_path_factory.mktemp("console") / "home") as running:
        yield running


class Visitor:
    """A signed-in browser tab that notes everything that goes wrong."""

    def __init__(self, browser: Any, server: Server, width: int, locale: str, theme: str = "light") -> None:
        self.base = server.url
        self.context = browser.new_context(viewport={"width": width, "height": 900 if width > 500 else 812})
        self.context.add_cookies(
            [
                {"name": "siyu_theme", "value": theme, "url": self.base},
                {"name": "siyu_locale", "value": locale, "url": self.base},
            ]
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.wrong: list[str] = []
        self.page.on(
            "console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.goto(self.base + "/console/login")
        self.page.fill("input[name=name]", "admin")
        self.page.fill("input[name=password]", PASSWORD)
        self.page.click("form.login button")
        self.page.wait_for_selector("main")
        self.page.request.post(
            self.base + "/console/preferences",
            form={"locale": locale},
            headers={"X-CSRF-Token": self.page.input_value("input[name=_csrf] >> nth=0")},
        )
        first = self.page.request.get(self.base + "/console/persons?sort=orders").text()
        self.person = "/console/persons/" + re.findall(r"/console/persons/([0-9a-f-]{36})", first)[0]
        keys = self.page.request.get(self.base + "/console/sources").text()
        shop, told = (server.get(f"/api/orders?source={name}")["items"] for name in ("shop", "events"))
        self.order, self.foreign = (f"/console/orders/{one[-1]['number']}" for one in (shop, told))
        self.source = "/console/sources/" + re.findall(r"/console/sources/([0-9a-f]{12})", keys)[0]

    def open(self, path: str) -> None:
        """Go there and wait until answers and charts stand."""
        path = path.replace("PERSON", self.person).replace("SOURCE", self.source)
        path = path.replace("ORDER", self.order).replace("FOREIGN", self.foreign)
        answer = self.page.goto(self.base + path)
        assert answer.status == 200, path
        # No wait_for_function: it evaluates text inside the page, which the pages' own policy forbids.
        sync_api.expect(self.page.locator("[data-since]")).to_have_count(0, timeout=60_000)
        for place in self.page.locator("[data-chart]").all():
            sync_api.expect(place.locator("canvas").first).to_be_attached(timeout=60_000)

    def too_wide(self) -> int:
        """How many pixels the page is wider than the screen."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("locale", ["zh_CN", "en"])
@pytest.mark.parametrize("width", [375, 1440])
def test_every_page(browser: Any, server: Server, width: int, locale: str) -> None:
    visitor = Visitor(browser, server, width, locale)
    for path in PATHS:
        visitor.open(path)
        assert visitor.wrong == [], path
        assert visitor.too_wide() <= 0, path
        text = visitor.page.inner_text("body")
        assert not re.search(r"%\(|\{\{|undefined|NaN|None\b", text), path
        if locale == "zh_CN":
            heading = visitor.page.inner_text(".rail" if width > 500 else ".dock")
            assert not re.search(r"[A-Z][a-z]{3,}", heading.replace("admin", "")), path
        name, phone = KEPT.get(path, ""), width < 500
        if os.environ.get("SIYU_SCREENSHOTS") and locale == "zh_CN" and name and (not phone or name in ON_A_PHONE):
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            visitor.page.wait_for_timeout(600)
            visitor.page.screenshot(path=SCREENSHOTS / f"{name}{'-phone' if phone else ''}.png")
    visitor.context.close()


def test_dark(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 1440, "zh_CN", "dark")
    visitor.open("/console")
    ground = visitor.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground)[:3])) < 60
    assert visitor.wrong == []
    visitor.context.close()


def test_a_number_of_a_chart_leads_to_its_persons(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 1440, "zh_CN")
    visitor.open("/console/questions/funnel")
    link = visitor.page.locator("#answer a.strong").first
    shown = link.inner_text()
    link.click()
    visitor.page.wait_for_url("**/persons?**")
    assert visitor.page.inner_text("h1").startswith(shown)
    visitor.page.locator("table a.who").first.click()
    visitor.page.wait_for_selector(".timeline .moment")
    assert visitor.wrong == []
    visitor.context.close()


def test_the_current_tab_is_seen_on_a_phone(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 375, "en")
    visitor.open(f"/console/questions/{KINDS[-1]}")
    sync_api.expect(visitor.page.locator(".tabs [aria-current]")).to_be_in_viewport(ratio=0.9)
    assert visitor.page.evaluate("window.scrollY") == 0
    visitor.context.close()


def test_a_tenth_of_the_buyers_leads_to_its_persons(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 1440, "zh_CN")
    visitor.page.emulate_media(reduced_motion="reduce")
    visitor.open("/console/questions/clv")
    # The chart is a canvas: the first of ten columns stands near its lower left corner.
    box = visitor.page.locator("[data-chart]").bounding_box()
    visitor.page.mouse.click(box["x"] + box["width"] * 0.11, box["y"] + box["height"] * 0.8)
    visitor.page.wait_for_url("**/persons?**")
    assert "十分位" in visitor.page.inner_text(".page-head .sub")
    assert visitor.wrong == []
    visitor.context.close()


def test_steps_are_added_and_removed(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 1440, "zh_CN")
    visitor.open("/console/questions/funnel")
    rows = visitor.page.locator("form .step-card:visible")
    before = rows.count()
    visitor.page.get_by_role("button", name="添加步骤").click()
    assert rows.count() == before + 1
    rows.nth(before).locator("input[name=event]").fill("app.opened")
    rows.nth(0).get_by_role("button", name="移除").click()
    assert rows.locator(".row-x > .no").all_inner_texts() == [str(n + 1) for n in range(before)]
    visitor.page.get_by_role("button", name="查询", exact=True).click()
    visitor.page.wait_for_selector("#answer .funnel, #answer .empty")
    assert visitor.page.locator("form input[name=event]:visible").last.input_value() == "app.opened"
    assert visitor.wrong == []
    visitor.context.close()


def test_the_live_feed_shows_an_event_that_arrives(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 1440, "zh_CN")
    visitor.open("/console")
    event = {"type": "track", "userId": "user-2", "event": "order.paid", "messageId": "live-1"}
    server.batch([event | {"properties": {"product": "刚刚到货的新茶", "amount_fen": 8_800}}])
    visitor.page.wait_for_selector("text=刚刚到货的新茶")
    assert "支付订单" in visitor.page.inner_text("#live")
    assert "¥88.00" in visitor.page.inner_text("#live")
    assert visitor.wrong == []
    visitor.context.close()


def test_the_search_field_has_a_shortcut(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 1440, "zh_CN")
    visitor.open("/console")
    visitor.page.keyboard.press("/")
    visitor.page.keyboard.type("客户04")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector("table a.who")
    assert visitor.page.locator("table a.who").all_inner_texts() == ["客户04"]
    visitor.context.close()


def test_erasing_needs_the_typed_word(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 375, "zh_CN")
    visitor.open("PERSON/rights")
    button = visitor.page.get_by_role("button", name="永久删除")
    assert button.is_disabled()
    visitor.page.fill("input[name=word]", "ERAS")
    assert button.is_disabled()
    visitor.page.fill("input[name=word]", "ERASE")
    assert button.is_enabled()
    visitor.context.close()


def test_a_slow_question_can_be_given_up(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 1440, "zh_CN")
    # The answer is held back until the page has been seen waiting.
    visitor.page.route("**/answer?**", lambda route: None)
    visitor.page.goto(visitor.base + "/console/questions/rfm")
    visitor.page.get_by_role("button", name="取消").last.click()
    visitor.page.wait_for_selector("text=已取消")
    visitor.context.close()


@pytest.mark.parametrize(("width", "locale"), [(375, "zh_CN"), (1440, "en")])
def test_a_refund_that_failed_is_found_and_sent_again(browser: Any, server: Server, width: int, locale: str) -> None:
    number, headers = f"REFUSED-{width}", {"Authorization": f"Bearer {API_TOKEN}"}
    visitor = Visitor(browser, server, width, locale)
    line = {"sku": "gift-box", "name": "礼盒", "qty": 1, "price_fen": 26_800}
    for path, body in (
        ("", {"order_id": number, "end": "web", "lines": [line]}),
        (f"/{number}/pay", {"provider": "test", "card": "4000000000005126"}),
        (f"/{number}/refund", {"amount_fen": 8_800, "reason": "破损"}),
    ):
        answer = visitor.page.request.post(f"{visitor.base}/api/orders{path}", data=body, headers=headers)
        assert answer.status == 200, answer.text()
    failed = visitor.page.locator("a.chip[href$='money=failed']")

    def found() -> bool:
        visitor.open("/console/orders")
        return bool(failed.count() == 1)

    until(found)
    failed.click()
    visitor.page.get_by_role("link", name=number).click()
    expect = sync_api.expect
    expect(visitor.page.locator("main")).to_contain_text("REFUND_DECLINED")
    assert (visitor.too_wide(), visitor.wrong) == (0, [])
    picture(visitor, f"refund-failed-{width}")
    visitor.page.get_by_role("button", name="重新退款" if locale == "zh_CN" else "Send it again").click()
    expect(visitor.page.locator("main")).to_contain_text("正在重新退款" if locale == "zh_CN" else "is sent again")
    gone_back = visitor.page.get_by_text("已退回" if locale == "zh_CN" else "Has gone back", exact=True)

    def done() -> bool:
        visitor.page.reload()
        return bool(gone_back.count() == 1)

    until(done)
    assert visitor.page.get_by_text("REFUND_DECLINED").count() == 0
    assert (visitor.too_wide(), visitor.wrong) == (0, [])
    visitor.context.close()


def until(condition: Callable[[], bool]) -> None:
    """Look again until it is so: what a job of the server does is not told to a page that is open."""
    for _ in range(240):
        if condition():
            return
        time.sleep(0.25)
    raise AssertionError("it did not come about")


def picture(visitor: Visitor, name: str) -> None:
    """One to look at, when they are wanted."""
    if folder := os.environ.get("SIYU_PICTURES"):
        visitor.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_an_order_is_sent_and_a_refusal_says_why(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 1440, "zh_CN")
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    visitor.open("ORDER")
    visitor.page.get_by_role("button", name="确认发货").click()
    visitor.page.wait_for_selector("text=订单已发货")
    visitor.page.locator("details.fold summary").first.click()
    visitor.page.locator("input[name=amount]").fill("99999")
    visitor.page.get_by_role("button", name="退款", exact=True).click()
    visitor.page.wait_for_selector(".note.tone-gold")
    assert visitor.page.locator(".note.tone-gold").count() == 1
    visitor.context.close()
