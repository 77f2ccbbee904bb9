"""A WeChat of our own, in a process of its own: as much of the platform as we call, with its limits.

`python wechat_platform.py PORT`. `code2Session` as documented: a code counts once and for 300 s, 100 requests a minute
of a user, appid and secret must be right. What WeChat does with people's phones is done under `/-/`: POST a JSON object
to `/-/apps` {appid, secret}, `/-/codes` {appid, openid, unionid?, age_s?, risk?} (answers {code}), `/-/down` {down}."""

from __future__ import annotations

import json
import secrets
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CODE_SECONDS = 300
ASKED_A_MINUTE_MAX = 100


class State:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.apps: dict[str, str] = {}
        self.codes: dict[str, dict[str, Any]] = {}
        self.asked: dict[str, list[float]] = {}
        self.down = False

    def session(self, query: dict[str, str]) -> dict[str, Any]:
        now = time.time()
        if query.get("grant_type") != "authorization_code":
            return refused(40002, "invalid grant_type")
        if query.get("appid", "") not in self.apps:
            return refused(40013, "invalid appid")
        if query.get("secret", "") != self.apps[query["appid"]]:
            return refused(40125, "invalid appsecret")
        code = self.codes.get(query.get("js_code", ""))
        if code is None or code["appid"] != query["appid"] or now - code["made"] > CODE_SECONDS:
            return refused(40029, "invalid code")
        asked = self.asked[code["openid"]] = [at for at in self.asked.get(code["openid"], []) if now - at < 60]
        if len(asked) >= ASKED_A_MINUTE_MAX:
            return refused(45011, "api minute-quota reach limit, must slower, retry next minute")
        asked.append(now)
        if code.get("risk"):
            return refused(40226, "code blocked")
        if code["used"]:
            return refused(40163, "code been used")
        code["used"] = True
        answer = {"session_key": secrets.token_urlsafe(18), "openid": code["openid"]}
        return answer | ({"unionid": code["unionid"]} if code.get("unionid") else {})


def refused(number: int, words: str) -> dict[str, Any]:
    return {"errcode": number, "errmsg": f"{words}, rid: {secrets.token_hex(8)}"}


STATE = State()


class Platform(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        with STATE.lock:
            if STATE.down:
                self.answer(502, b"<html>bad gateway</html>", "text/html")
            elif parts.path == "/sns/jscode2session":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                # Like the real one: JSON that says it is text.
                self.answer(200, json.dumps(STATE.session(query)).encode(), "text/plain")
            else:
                self.answer(404, b"", "text/plain")

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer: dict[str, Any] = {}
        with STATE.lock:
            if self.path == "/-/apps":
                STATE.apps[told["appid"]] = told["secret"]
            elif self.path == "/-/codes":
                answer["code"] = "0" + secrets.token_hex(15)
                made = time.time() - told.pop("age_s", 0)
                STATE.codes[answer["code"]] = {**told, "made": made, "used": False}
            elif self.path == "/-/down":
                STATE.down = told["down"]
        self.answer(200, json.dumps(answer).encode(), "application/json")

    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Platform).serve_forever()
