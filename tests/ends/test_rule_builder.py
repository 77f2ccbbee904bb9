"""The rule builder in a browser: a nested rule by clicks and keys, the sentence both ways, errors in their place."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .chromium import needs_chromium
from .console_brand import open_brand_server
from .server import Server
from .test_console_browser import Visitor

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (make setup-dev)")

SCREENSHOTS = Path(__file__).parents[2] / "docs" / "screenshots"
WRITTEN = (
    "至少满足 2 项（生命周期 属于 [“活跃”, “流失”]；标签 带有 “广州”；"
    "本月“支付订单”，其中（“sku” 等于 “a”）的次数 至少 2）"
)
SENTENCE = "累计消费额（元） 至少 50 且 （最近 30 天内“浏览商品”的次数 至少 1 或 偏好渠道 等于 “小程序”）"
expect = sync_api.expect
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with open_brand_server(tmp_path_factory.mktemp("builder") / "home") as running:
        yield running


def choose(page: Any, box: Any, typed: str) -> None:
    """Search in a list and take the first that fits, by keys alone."""
    box.focus()
    page.keyboard.type(typed)
    expect(page.locator(".combo-list [role=option]").first).to_contain_text(typed)
    page.keyboard.press("Enter")


def build(page: Any) -> None:
    """The rule of SENTENCE."""
    root = page.locator("[data-root]")
    root.locator(":scope > .rule-add").get_by_role("button", name="属性或维度").click()
    choose(page, page.get_by_role("combobox", name="属性或维度").last, "累计消费额")
    leaf = root.locator("[data-node=person]").first
    leaf.locator("select[data-f=op]").select_option("gte")
    leaf.locator("input[data-f=value]").fill("50")
    root.locator(":scope > .rule-add").get_by_role("button", name="条件组").click()
    group = root.locator("[data-node=group]").first
    group.get_by_role("button", name="做过", exact=True).click()
    choose(page, group.get_by_role("combobox", name="任意行为"), "浏览商品")
    expect(group.locator(".rule-events .chip")).to_have_text(re.compile("浏览商品"))
    group.locator(":scope > .rule-add").get_by_role("button", name="属性或维度").click()
    choose(page, group.get_by_role("combobox", name="属性或维度").last, "偏好渠道")
    group.locator("[data-node=person] select[data-f=value]").select_option("mini_program")


@pytest.mark.parametrize("width", [1440, 375])
def test_a_nested_rule_by_clicks_and_its_members(browser: Any, server: Server, width: int) -> None:
    visitor = Visitor(browser, server, width, "zh_CN")
    page = visitor.page
    page.set_default_timeout(15_000)
    visitor.open("/console/segments/-new")
    build(page)
    text = page.locator("[data-rule-text]")
    expect(text).to_have_value(SENTENCE)
    expect(page.locator("[data-rule-count]")).to_contain_text(re.compile(r"\d+\s*共 \d+ 人|\d+"))
    assert visitor.too_wide() <= 0
    if os.environ.get("SIYU_SCREENSHOTS") and width > 500:
        page.screenshot(path=SCREENSHOTS / "rule-builder.png")
    page.fill("input[name=label]", "爱喝茶的人")
    page.fill("input[name=key]", f"tea-{width}")
    page.get_by_role("button", name="保存").click()
    page.wait_for_url(f"**/segments/tea-{width}?said=made")
    assert SENTENCE in page.inner_text(".page-head .sub")
    until = time.monotonic() + 30
    while not (shown := server.get(f"/api/segments/tea-{width}"))["ready"] and time.monotonic() < until:
        time.sleep(0.2)
    wanted = server.post("/api/segments/preview", {"text": SENTENCE})["count"]
    assert shown["size"] == wanted > 0
    page.reload()
    assert page.locator("table a.who").count() == min(wanted, 50)
    # Opened again it stands as it was built.
    visitor.open(f"/console/segments/tea-{width}/edit")
    assert page.locator("[data-node=group]").count() == 2
    expect(page.locator("[data-rule-text]")).to_have_value(SENTENCE)
    assert visitor.wrong == []
    visitor.context.close()


def test_what_is_typed_while_the_server_draws_a_node_stays(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 1440, "zh_CN")
    page = visitor.page
    page.set_default_timeout(15_000)
    visitor.open("/console/segments/-new")
    root = page.locator("[data-root]")
    root.locator(":scope > .rule-add").get_by_role("button", name="属性或维度").click()
    choose(page, page.get_by_role("combobox", name="属性或维度").last, "累计消费额")
    leaf = root.locator("[data-node=person]").first
    expect(leaf.locator("select[data-f=op] option[value=lt]")).to_have_count(1)
    held: list[Any] = []
    page.route("**/console/rules/node", lambda request: held.append(request))
    for op in ("lt", "gte"):
        leaf.locator("select[data-f=op]").select_option(op)
    leaf.locator("input[data-f=value]").press_sequentially("50.50")
    while len(held) < 2:
        page.wait_for_timeout(20)
    for request in reversed(held):
        request.continue_()
        page.wait_for_timeout(300)
    expect(page.locator("[data-rule-text]")).to_have_value("累计消费额（元） 至少 50.5")
    expect(leaf.locator("input[data-f=value]")).to_be_focused()
    assert visitor.wrong == []
    visitor.context.close()


def test_a_sentence_fills_the_fields_and_an_error_stands_where_it_is(browser: Any, server: Server) -> None:
    visitor = Visitor(browser, server, 1440, "zh_CN")
    page = visitor.page
    page.set_default_timeout(15_000)
    visitor.open("/console/segments/-new")
    text = page.locator("[data-rule-text]")
    text.fill(WRITTEN)
    expect(page.locator("[data-node=person]")).to_have_count(2)
    ticked = page.locator(".rule-ticks input:checked")
    assert [box.get_attribute("value") for box in ticked.all()] == ["active", "lost"]
    assert page.locator("[data-root] > .rule-head select").input_value() == "n_of_m"
    assert page.locator("[data-filter] input[data-f=value]").input_value() == "a"
    page.locator("[data-node=metric] > .rule-row input[data-f=value]").fill("viele")
    wrong = page.locator("[data-node=metric] > .rule-wrong")
    expect(wrong).to_be_visible()
    expect(page.locator("[data-node=metric] > .rule-row input[data-f=value]")).to_have_attribute("aria-invalid", "true")
    page.locator("[data-node=metric] > .rule-row input[data-f=value]").fill("3")
    expect(wrong).to_be_hidden()
    expect(text).to_have_value(re.compile("次数 至少 3"))
    text.fill("生命周期 等于")
    expect(page.locator("[data-rule-problem]")).to_be_visible()
    page.locator("[data-node=person]").first.get_by_role("button", name="移除").click()
    expect(text).to_have_value(re.compile("^至少满足 2 项（标签"))
    assert visitor.wrong == []
    visitor.context.close()


def test_the_portrait_shows_dimensions(browser: Any, server: Server) -> None:
    for width in (1440, 375):
        visitor = Visitor(browser, server, width, "zh_CN")
        visitor.open("PERSON")
        place = visitor.page.locator("#dimensions")
        place.scroll_into_view_if_needed()
        expect(place.locator("dt", has_text="累计消费额")).to_be_visible()
        expect(place.locator("dd").first).not_to_be_empty()
        assert visitor.too_wide() <= 0
        assert visitor.wrong == []
        visitor.context.close()
