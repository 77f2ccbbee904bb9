"""`/mp_login`: the real SDK's initWithOpenid against a running server, which asks a WeChat of our own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from .server import WRITE_KEY, Server, free_port

APPID, SECRET = "wx0123456789abcdef", "0123456789abcdef0123456789abcdef"


class Platform(NamedTuple):
    url: str

    def tell(self, path: str, **what: Any) -> Any:
        call = urllib.request.Request(f"{self.url}/-/{path}", data=json.dumps(what).encode())
        with urllib.request.urlopen(call, timeout=10) as answer:
            return json.load(answer)

    def code(self, openid: str, **more: Any) -> str:
        return str(self.tell("codes", appid=APPID, openid=openid, **more)["code"])


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("wechat_platform.py")), str(port)])
    running = Platform(f"http://127.0.0.1:{port}")
    try:
        until = time.monotonic() + 30
        while True:
            try:
                running.tell("apps", appid=APPID, secret=SECRET)
                break
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.05)
        yield running
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, platform: Platform) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("mini") / "home", SIYU_WECHAT_API_URL=platform.url)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def login(server: Server, code: str, appid: str = APPID, key: str = WRITE_KEY) -> tuple[int, Any]:
    asked = urlencode({"project": "default", "token": key, "code": code, "appid": appid})
    try:
        with urllib.request.urlopen(f"{server.url}/mp_login?{asked}", timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def refusal(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["code"]


def test_before_it_is_connected(server: Server) -> None:
    assert refusal(login(server, "0abc", "wx00000000")) == (404, "CONNECTOR_MISSING")
    with pytest.raises(urllib.error.HTTPError) as wrong:
        server.put("/api/mini-programs/wx00000000", {"label": "no secret"})
    assert wrong.value.code == 400


def test_the_sdk_gets_the_openid_and_two_names_become_one_person(
    server: Server, platform: Platform, npm_packages: Path
) -> None:
    shown = server.put(f"/api/mini-programs/{APPID}", {"secret": SECRET, "label": "茶铺"})
    assert (shown["label"], shown["active"], shown["problem"]) == ("茶铺", True, "")
    script = Path(__file__).parent / "sdk" / "miniprogram_openid.js"
    code = platform.code("oTEA", unionid="uTEA")
    node = ["node", script, npm_packages, server.url, WRITE_KEY, APPID, code]
    ended = subprocess.run(node, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == "oTEA"
    until = time.monotonic() + 30
    while found(server, "unionid", "uTEA") != (person := found(server, f"openid:{APPID}", "oTEA")):
        assert time.monotonic() < until, "two persons"
        time.sleep(0.1)
    while "Arrived" not in (names := {one["name"] for one in timeline(server, person)}):
        assert time.monotonic() < until, names
        time.sleep(0.1)
    assert server.get("/api/mini-programs")["items"][0]["used_at"] is not None


def found(server: Server, kind: str, value: str) -> str:
    until = time.monotonic() + 30
    while True:
        try:
            return str(server.get(f"/api/persons/lookup?{urlencode({'kind': kind, 'value': value})}")["person_id"])
        except urllib.error.HTTPError:
            assert time.monotonic() < until
            time.sleep(0.1)


def timeline(server: Server, person: str) -> list[Any]:
    return list(server.get(f"/api/persons/{person}/timeline")["items"])


def test_what_wechat_refuses_is_said_by_its_reason(server: Server, platform: Platform) -> None:
    server.put(f"/api/mini-programs/{APPID}", {"secret": SECRET})
    code = platform.code("oONE")
    assert login(server, code) == (200, {"openid": "oONE"})
    assert refusal(login(server, code)) == (400, "CODE_INVALID")
    assert refusal(login(server, platform.code("oOLD", age_s=301))) == (400, "CODE_INVALID")
    assert refusal(login(server, "made-up")) == (400, "CODE_INVALID")
    assert refusal(login(server, platform.code("oRISK", risk=True))) == (403, "USER_BLOCKED")
    assert refusal(login(server, platform.code("oX"), key="wk_of_nobody")) == (401, "WRONG_KEY")
    assert refusal(login(server, "a b")) == (400, "MALFORMED_REQUEST")
    assert refusal(login(server, "0abc", "not-an-appid")) == (400, "MALFORMED_REQUEST")
    for _ in range(100):
        assert login(server, platform.code("oBUSY"))[0] == 200
    assert refusal(login(server, platform.code("oBUSY"))) == (429, "BUSY")


def test_a_wrong_secret_is_found_before_customers_find_it(server: Server, platform: Platform) -> None:
    server.put(f"/api/mini-programs/{APPID}", {"secret": SECRET[::-1]})
    with pytest.raises(urllib.error.HTTPError) as wrong:
        server.post(f"/api/mini-programs/{APPID}/check", {})
    assert (wrong.value.code, json.load(wrong.value)["code"]) == (502, "WECHAT_REFUSED")
    assert refusal(login(server, platform.code("oX"))) == (502, "WECHAT_REFUSED")
    assert "40125" in server.get("/api/mini-programs")["items"][0]["problem"]
    doctor = [str(Path(sys.executable).with_name("siyu")), "doctor", "--home", str(server.home), "--json"]
    env = {"PATH": "/usr/bin:/bin", "SIYU_WECHAT_API_URL": platform.url}
    checks = json.loads(subprocess.run(doctor, capture_output=True, env=env, timeout=60, check=False).stdout)
    assert [one["ok"] for one in checks if one["name"] == f"mini-program {APPID}"] == [False]
    server.put(f"/api/mini-programs/{APPID}", {"secret": SECRET})
    assert server.post(f"/api/mini-programs/{APPID}/check", {}) == {"ok": True}
    assert server.get("/api/mini-programs")["items"][0]["problem"] == ""
    checks = json.loads(subprocess.run(doctor, capture_output=True, env=env, timeout=60, check=False).stdout)
    assert [one["ok"] for one in checks if one["name"] == f"mini-program {APPID}"] == [True]


def test_a_key_is_for_one_secret(server: Server) -> None:
    def put(secret: str) -> Any:
        return server.put(f"/api/mini-programs/{APPID}", {"secret": secret}, {"Idempotency-Key": "connect"})

    assert put(SECRET) == put(SECRET)
    with pytest.raises(urllib.error.HTTPError) as other:
        put(SECRET[::-1])
    assert json.load(other.value)["code"] == "IDEMPOTENCY_CONFLICT"


def test_wechat_away_and_back_and_a_program_switched_off(server: Server, platform: Platform) -> None:
    server.put(f"/api/mini-programs/{APPID}", {"secret": SECRET})
    platform.tell("down", down=True)
    assert refusal(login(server, platform.code("oX"))) == (503, "WECHAT_UNAVAILABLE")
    platform.tell("down", down=False)
    assert login(server, platform.code("oX"))[0] == 200
    server.put(f"/api/mini-programs/{APPID}", {"active": False})
    assert refusal(login(server, platform.code("oX"))) == (404, "CONNECTOR_MISSING")
    server.put(f"/api/mini-programs/{APPID}", {"active": True})
    assert login(server, platform.code("oX"))[0] == 200
    assert SECRET not in server.log()
