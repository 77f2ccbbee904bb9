"""Real SDK packages against running doors: what they send arrives, once, as who it was."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from segment.analytics.client import Client
from sensorsanalytics import (
    BatchConsumer,
    DebugConsumer,
    DefaultConsumer,
    SensorsAnalytics,
    SensorsAnalyticsDebugException,
    SensorsAnalyticsIdentity,
)

from siyu.collect.event import Link
from siyu.store.postgres import Database
from tests.ends.door_server import DoorServer, serve_doors

SCRIPTS = Path(__file__).parent / "sdk"


@pytest.fixture
async def server(db: Database) -> AsyncIterator[DoorServer]:
    async with serve_doors(db) as running:
        yield running


async def run_node(script: str, packages: Path, server: DoorServer) -> None:
    process = await asyncio.create_subprocess_exec(
        "node", str(SCRIPTS / script), str(packages), server.url, server.key,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()[-2000:]


def six_calls(client: Client) -> None:
    client.identify("u1", {"email": "Li@Shop.CN", "plan": "pro"}, anonymous_id="a1")
    client.track(
        "u1", "Order Completed", {"total": 19.9}, timestamp=datetime.fromisoformat("2026-01-02T03:04:05+08:00")
    )
    client.page("u1", "Shop", "Home", {"url": "https://shop.cn/"})
    client.screen("u1", "Shop", "Cart")
    client.group("u1", "g1", {"size": 3})
    client.alias("u0", "u1")
    client.flush()
    client.shutdown()


@pytest.mark.parametrize("zipped", [True, False])
async def test_segment_python(server: DoorServer, zipped: bool) -> None:
    errors: list[Any] = []
    client = Client(
        server.key, host=server.url, gzip=zipped, on_error=lambda *error: errors.append(error), upload_interval=0.1
    )
    await asyncio.to_thread(six_calls, client)
    assert errors == []
    events, dead = await server.rows()
    assert dead == []
    by_name = {event["name"]: event for event in events}
    assert [event["name"] for event in events] == ["identify", "Order Completed", "page", "screen", "group", "alias"]
    assert by_name["identify"]["effects"].set == {"email": "Li@Shop.CN", "plan": "pro"}
    assert by_name["identify"]["others"] == "email\x1fli@shop.cn\x1eanonymous_id\x1fa1"
    assert by_name["Order Completed"]["value_fen"] == 1990
    assert by_name["Order Completed"]["occurred_at"].isoformat() == "2026-01-01T19:04:05+00:00"
    assert by_name["alias"]["effects"].links == [Link("alias", ["any\x1fu0", "user_id\x1fu1"])]
    assert {event["anchor"] for event in events} == {"user_id\x1fu1"}


async def test_segment_python_sends_again_with_the_same_id(server: DoorServer) -> None:
    server.faults[:] = [500, 429]
    client = Client(server.key, host=server.url, upload_interval=0.1)

    def send() -> None:
        client.track("u1", "Retried")
        client.flush()
        client.shutdown()

    await asyncio.to_thread(send)
    assert server.posts == 3
    assert len(await server.named("Retried")) == 1


def all_types(sdk: SensorsAnalytics) -> None:
    identity = SensorsAnalyticsIdentity
    sdk.track("anon-1", "ViewProduct", {"sku": "S1", "when": datetime(2026, 1, 2, 3, 4, 5, 7000)})
    sdk.track("user-1", "PayOrder", {"order_actual_amount": 19.9}, is_login_id=True)
    sdk.track_signup("user-1", "anon-1", {})
    sdk.profile_set("user-1", {"city": "广州"}, is_login_id=True)
    sdk.profile_set_once("user-1", {"first": 1}, is_login_id=True)
    sdk.profile_increment("user-1", {"visits": 2}, is_login_id=True)
    sdk.profile_append("user-1", {"likes": ["tea"]}, is_login_id=True)
    sdk.profile_unset("user-1", ["old"], is_login_id=True)
    sdk.profile_delete("user-2", is_login_id=True)
    sdk.item_set("tea", "S1", {"price": 3})
    sdk.item_delete("tea", "S1")
    sdk.bind(identity(identity.LOGIN_ID, "user-1"), identity(identity.MOBILE, "13800138000"))
    sdk.unbind(identity(identity.MOBILE, "13800138000"))
    sdk.track_by_id("ById", {}, identity(identity.EMAIL, "a@x.cn"))
    sdk.flush()
    sdk.close()


def check_all_types(events: list[dict[str, Any]], dead: list[Any]) -> None:
    assert dead == []
    assert [event["name"] for event in events] == [
        "ViewProduct", "PayOrder", "$SignUp", "profile_set", "profile_set_once", "profile_increment", "profile_append",
        "profile_unset", "profile_delete", "item_set", "item_delete", "$BindID", "$UnbindID", "ById",
    ]  # fmt: skip
    viewed, paid, signup, *_ = events
    assert viewed["anchor"] == "anonymous_id\x1fanon-1"
    assert (paid["anchor"], paid["value_fen"]) == ("user_id\x1fuser-1", 1990)
    assert (signup["anchor"], signup["others"]) == ("user_id\x1fuser-1", "anonymous_id\x1fanon-1")
    bind, unbind = events[11], events[12]
    assert (bind["anchor"], bind["others"]) == ("user_id\x1fuser-1", "phone\x1f+8613800138000")
    assert unbind["effects"].links == [Link("unbind", ["phone\x1f+8613800138000"])]
    assert events[13]["anchor"] == "email\x1fa@x.cn"


@pytest.mark.parametrize("consumer", [DefaultConsumer, BatchConsumer, DebugConsumer])
async def test_sensors_python(server: DoorServer, consumer: Any) -> None:
    sdk = SensorsAnalytics(consumer(f"{server.url}/sa?project={server.key}"), project_name=None)
    await asyncio.to_thread(all_types, sdk)
    check_all_types(*await server.rows())


async def test_sensors_python_debug_refuses_and_keeps_nothing_when_dry(server: DoorServer) -> None:
    dry = SensorsAnalytics(DebugConsumer(f"{server.url}/sa?project={server.key}", write_data=False))
    await asyncio.to_thread(dry.track, "a1", "Checked", {})
    bad = SensorsAnalytics(DebugConsumer(f"{server.url}/sa?project={server.key}"))
    with pytest.raises(SensorsAnalyticsDebugException):
        await asyncio.to_thread(bad.track, "null", "Refused", {})
    events, dead = await server.rows()
    assert (events, [letter["code"] for letter in dead]) == ([], ["NO_IDENTIFIER"])


async def test_sensors_python_tells_a_wrong_key(server: DoorServer) -> None:
    sdk = SensorsAnalytics(DefaultConsumer(f"{server.url}/sa?project=nope"))
    with pytest.raises(Exception, match="401"):
        await asyncio.to_thread(sdk.track, "a1", "Lost", {})


async def test_sensors_mini_program(server: DoorServer, npm_packages: Path) -> None:
    await run_node("miniprogram.js", npm_packages, server)
    events, dead = await server.rows()
    assert dead == []
    names = [event["name"] for event in events]
    assert {"$BindID", "$MPLaunch", "ViewProduct", "$SignUp", "PayOrder", "$UnbindID", "AfterLogout"} <= set(names)
    assert {event["end"] for event in events} == {"mini_program"}
    by_name = {event["name"]: event for event in events}
    launch = by_name["$MPLaunch"]["effects"].touch
    assert (launch["scene"], launch["state"]) == ("wx-1047", "code1")
    viewed = by_name["ViewProduct"]
    assert viewed["anchor"] == "unionid\x1fuABC"
    assert viewed["others"].startswith("openid:wxTEST\x1foABC\x1eanonymous_id\x1f")
    signup = by_name["$SignUp"]
    assert signup["anchor"] == "user_id\x1fuser-1"
    assert {"unionid\x1fuABC", "openid:wxTEST\x1foABC"} <= set(signup["others"].split("\x1e"))
    assert by_name["PayOrder"]["value_fen"] == 1990
    unbind = by_name["$UnbindID"]
    assert unbind["others"] is None
    assert [link.keys[0] for link in unbind["effects"].links if link.rule == "unbind"] == ["phone\x1f+8613800138000"]
    assert by_name["AfterLogout"]["anchor"].startswith("anonymous_id\x1f")
    assert by_name["profile_set"]["effects"].set == {"city": "广州"}
    assert by_name["profile_increment"]["effects"].increment == {"visits": 1}


async def test_server_side_javascript(server: DoorServer, npm_packages: Path) -> None:
    await run_node("servers.js", npm_packages, server)
    events, dead = await server.rows()
    assert dead == []

    def of(anchor: str) -> dict[str, dict[str, Any]]:
        return {event["name"]: event for event in events if event["anchor"] == anchor}

    for user in ("rudder-gzip", "rudder-plain"):
        rudder = of(f"user_id\x1f{user}")
        assert set(rudder) == {"identify", "Rudder Tracked", "page", "group", "alias"}
        assert rudder["identify"]["effects"].set == {"email": f"{user}@Shop.CN", "plan": "pro"}
        assert rudder["identify"]["others"] == f"email\x1f{user}@shop.cn"
        assert rudder["alias"]["effects"].links == [Link("alias", [f"any\x1f{user}-before", f"user_id\x1f{user}"])]
    assert set(of("anonymous_id\x1fnode-1")) == {"NodeBuy"}
    assert of("user_id\x1fnode-user")["$SignUp"]["others"] == "anonymous_id\x1fnode-1"
    assert of("anonymous_id\x1fnode-user")["profile_set"]["effects"].set == {"city": "上海"}
    posthog = of("user_id\x1fph-1")
    assert set(posthog) == {"PostHog Captured", "$identify", "$create_alias"}
    assert posthog["$identify"]["effects"].set == {"plan": "pro"}
    assert posthog["$create_alias"]["effects"].links == [Link("alias", ["any\x1fph-before", "user_id\x1fph-1"])]
