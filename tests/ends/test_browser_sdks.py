"""Browser SDKs as their packages ship them, in a real browser, on a site of another origin than the server.

What a page runs is the very snippet that the console shows for the SDK, so the snippets are proven with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from siyu.console.snippets import snippets

from ..conftest import remove_home
from .chromium import needs_chromium
from .server import WRITE_KEY, Server
from .shop_site import ShopSite, open_shop_site

pytestmark = needs_chromium

# What is sent while a page is being left is not shown to the test, so the page counts it.
COUNT_BEACONS = """const send = navigator.sendBeacon.bind(navigator)
navigator.sendBeacon = (...sent) => {
  localStorage.beacons = Number(localStorage.beacons ?? 0) + 1
  return send(...sent)
}
"""

# The SDK begins to send some moments after it is told to; a page that is gone by then never asked us.
LEAVE_WHILE_SENDING = """() => {
  const send = window.fetch
  window.fetch = (...sent) => {
    const answer = send(...sent)
    location.href = '/next.html'
    return answer
  }
  analytics.track('left', { last: true })
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, npm_packages: Path) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("browser-sdks") / "home")
    running.start()
    yield running
    running.stop()
    remove_home(running.home)


@pytest.fixture(scope="module")
def site(npm_packages: Path) -> Iterator[ShopSite]:
    with open_shop_site(npm_packages) as running:
        yield running


class Shopper:
    """A fresh browser profile on the shop's site; notes what it asked of the doors and what went wrong."""

    def __init__(self, browser: Any, server: Server, site: ShopSite) -> None:
        self.server, self.site = server, site
        self.context = browser.new_context(locale="zh-CN")
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.sent: list[tuple[str, str]] = []
        """(how, path): "ping" is navigator.sendBeacon."""
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.on("response", lambda got: self.wrong.append(f"{got.status} {got.url}") if got.status > 399 else None)
        self.page.on("request", self._note)

    def _note(self, call: Any) -> None:
        if call.url.startswith(self.server.url):
            self.sent.append((call.resource_type, call.url.removeprefix(self.server.url).partition("?")[0]))

    def open(self, path: str, script: str) -> None:
        self.page.goto(self.site.page(path, script))

    def until_named(self, user: str, names: set[str]) -> list[dict[str, Any]]:
        """The person's timeline as soon as it holds events of all these names and nothing waits to be processed (events
        are visible a moment before what follows from them); fails after a while."""
        for _ in range(200):
            try:
                person = self.server.get(f"/api/persons/lookup?kind=user_id&value={user}")
                items = self.server.get(f"/api/persons/{person['person_id']}/timeline?limit=200")["items"]
            except OSError:  # not found yet
                items = []
            state = self.server.get("/api/stream")
            if names <= {item["name"] for item in items} and state["processed"] == state["accepted"]:
                return list(items)
            self.page.wait_for_timeout(100)
        raise AssertionError((sorted(item["name"] for item in items), self.sent, self.wrong))

    def person(self, user: str) -> dict[str, Any]:
        return dict(self.server.get(f"/api/persons/lookup?kind=user_id&value={user}"))


def snippet(name: str, url: str, user: str, phone: str = "") -> str:
    """The console's snippet as it stands there, with a user of the test's own."""
    code = next(one.code for one in snippets(url, WRITE_KEY, "web") if one.id == name)
    assert "user-1001" in code
    return code.replace("user-1001", user).replace("13800138000", phone or "13800138000")


def kinds(person: dict[str, Any]) -> set[str]:
    return {identifier["kind"] for identifier in person["identifiers"]}


def test_segment(browser: Any, server: Server, site: ShopSite) -> None:
    shopper = Shopper(browser, server, site)
    before = server.get("/api/stream")
    code = snippet("segment-js", server.url, "seg-1", "13800000001")
    shopper.open("/segment.html?utm_source=wechat&utm_campaign=spring", code + "\nwindow.analytics = analytics")
    events = shopper.until_named("seg-1", {"identify", "order.paid", "page"})
    assert {item["end"] for item in events} == {"web"}
    page = next(item for item in events if item["name"] == "page")
    assert page["properties"]["url"].startswith(site.url + "/segment.html")
    assert page["properties"]["title"] == "茶与宠物"
    person = shopper.person("seg-1")
    assert {"user_id", "anonymous_id", "phone"} <= kinds(person)
    assert person["traits"]["city"] == "广州"
    # A page that is left while it sends: what it had just tracked still arrives, once.
    shopper.page.evaluate(LEAVE_WHILE_SENDING)
    shopper.page.wait_for_url("**/next.html")
    events = shopper.until_named("seg-1", {"left"})
    assert len(events) == 4
    after = server.get("/api/stream")
    assert (after["accepted"] - before["accepted"], after["dead"] - before["dead"]) == (4, 0)
    assert shopper.wrong == []
    shopper.context.close()


def test_posthog(browser: Any, server: Server, site: ShopSite) -> None:
    shopper = Shopper(browser, server, site)
    code = snippet("posthog-js", server.url, "ph-1", "13800000002")
    # posthog-js sends nothing from a browser that says it is driven by a program.
    shopper.context.add_init_script(COUNT_BEACONS)
    code = code.replace("{ api_host:", "{ opt_out_useragent_filter: true, api_host:")
    shopper.open("/posthog.html", code)
    events = shopper.until_named("ph-1", {"$identify", "order.paid", "$pageview"})
    shopper.page.click("#buy")
    shopper.page.goto(site.url + "/next.html")
    events = shopper.until_named("ph-1", {"$pageleave"})
    assert {item["end"] for item in events} == {"web"}
    paid = next(item for item in events if item["name"] == "order.paid")
    assert paid["properties"]["amount_fen"] == 12_900
    person = shopper.person("ph-1")
    assert {"user_id", "anonymous_id", "phone"} <= kinds(person)
    assert shopper.page.evaluate("localStorage.beacons") == "1"
    assert shopper.wrong == []
    shopper.context.close()


def test_sensors(browser: Any, server: Server, site: ShopSite) -> None:
    shopper = Shopper(browser, server, site)
    shopper.open("/sensors.html", snippet("sensors-web", server.url, "sa-1") + "\nwindow.sensors = sensors")
    events = shopper.until_named("sa-1", {"profile_set_once", "$pageview", "$SignUp", "order.paid"})
    assert {item["end"] for item in events} == {"web"}
    assert len(events) == 4
    view = next(item for item in events if item["name"] == "$pageview")
    assert view["properties"]["$title"] == "茶与宠物"
    person = shopper.person("sa-1")
    # The page was viewed before the login: by then an anonymous visitor, now one person with the user.
    assert view["identifier"]["kind"] == "anonymous_id"
    assert {"user_id", "anonymous_id"} <= kinds(person)
    assert "$first_visit_time" in person["traits"]
    shopper.page.evaluate("() => { sensors.track('left', { last: true }); location.href = '/next.html' }")
    shopper.page.wait_for_url("**/next.html")
    assert len(shopper.until_named("sa-1", {"left"})) == 5
    assert {how for how, _ in shopper.sent} == {"ping"}
    assert server.get("/api/stream")["dead"] == 0
    assert shopper.wrong == []
    shopper.context.close()


@pytest.mark.parametrize("how", ["image", "ajax"])
def test_sensors_by_its_other_ways(browser: Any, server: Server, site: ShopSite, how: str) -> None:
    shopper = Shopper(browser, server, site)
    code = snippet("sensors-web", server.url, f"sa-{how}").replace("'beacon'", f"'{how}'")
    shopper.open(f"/sensors-{how}.html", code)
    assert len(shopper.until_named(f"sa-{how}", {"profile_set_once", "$pageview", "$SignUp", "order.paid"})) == 4
    assert {way for way, _ in shopper.sent} == {{"image": "image", "ajax": "xhr"}[how]}
    assert shopper.wrong == []
    shopper.context.close()


def test_a_wrong_key_is_readable_across_origins(browser: Any, server: Server, site: ShopSite) -> None:
    shopper = Shopper(browser, server, site)
    shopper.open("/empty.html", "")
    ask = """async (url) => {
      const answer = await fetch(url + '/v1/t', {method: 'POST', body: '{"event": "x", "userId": "u"}',
        headers: {'Content-Type': 'application/json', Authorization: 'Basic bm9ib2R5Og=='}, credentials: 'include'})
      return [answer.status, (await answer.json()).code] }"""
    # JSON with a header of its own makes the browser ask first; the refusal is told to the page, not hidden from it.
    assert shopper.page.evaluate(ask, server.url) == [401, "WRONG_KEY"]
    shopper.context.close()
