"""The writes that tills ask for all the time, past the framework: half of a request's CPU was its way to the handler.

As with `shortcuts`, the very function of the handler is called when there is nothing to say but its answer or refusal:
a POST with a live token and a well-formed JSON body. Everything else takes the ordinary way, with the same body.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from litestar.handlers import HTTPRouteHandler

from siyu.api.access import may_call
from siyu.api.problems import DEFECT, refusal
from siyu.collect.actions import KeyRing
from siyu.errors import SiyuError

log = structlog.get_logger()

BODY_BYTES_MAX: Final = 16_384
KEY_CHARS_MAX: Final = 255
_encode: Final = msgspec.json.Encoder().encode

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Asgi = Callable[[Any, Receive, Send], Awaitable[None]]


class QuickPost(NamedTuple):
    """A handler with the parameters `data`, `idempotency_key` and services."""

    handler: HTTPRouteHandler
    body: type


class _Way(NamedTuple):
    decode: Callable[[bytes], Any]
    handler: HTTPRouteHandler
    fixed: dict[str, Any]
    """What the handler gets by injection."""


class QuickPosts:
    """`services`: what handlers may ask for by name."""

    def __init__(self, posts: Sequence[QuickPost], services: Mapping[str, Any], ring: KeyRing) -> None:
        self._ring = ring
        self._ways = {path: _way(one, services) for one in posts for path in one.handler.paths}

    def handles(self, scope: Any) -> bool:
        """Whether this request may be one."""
        return scope["method"] == "POST" and scope["path"] in self._ways

    async def __call__(self, scope: Any, receive: Receive, send: Send, framework: Asgi) -> None:
        """Answer it, or have `framework` do so."""
        headers = _plain(scope["headers"])
        if headers is None:
            await framework(scope, receive, send)
            return
        first = await receive()
        answer = None
        if first["type"] == "http.request" and not first.get("more_body"):
            answer = await self._answer(self._ways[scope["path"]], headers, first["body"])
        if answer is None:
            await framework(scope, _again(first, receive), send)
            return
        status, kind, body = answer
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", kind), (b"content-length", str(len(body)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, way: _Way, headers: Mapping[bytes, str], body: bytes) -> tuple[int, bytes, bytes] | None:
        key = headers.get(b"idempotency-key")
        if key is not None and not 0 < len(key) <= KEY_CHARS_MAX:
            return None
        try:
            data = way.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        try:
            if not await may_call(self._ring, headers.get(b"authorization", ""), way.handler):
                return None
            done = await way.handler.fn(data=data, idempotency_key=key, **way.fixed)
        except SiyuError as error:
            # Nothing was done: asking again does no harm, and a failure of ours is logged there.
            return (error.status, b"application/problem+json", _encode(refusal(error))) if error.status < 429 else None
        except Exception as error:  # whether something was done is not known, so it is not asked again
            log.error("request failed", exc_info=error)
            return 500, b"application/problem+json", _encode(refusal(SiyuError(DEFECT)))
        return 200, b"application/json", _encode(done)


def _way(post: QuickPost, services: Mapping[str, Any]) -> _Way:
    names = inspect.signature(post.handler.fn).parameters
    fixed = {name: services[name] for name in names if name in services}
    return _Way(msgspec.json.Decoder(post.body).decode, post.handler, fixed)


def _plain(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, str] | None:
    """The headers by name; None for what only the framework understands."""
    found = {name: value.decode("latin-1") for name, value in headers}
    length = found.get(b"content-length", "")
    if len(found) != len(headers) or not length.isdecimal() or int(length) > BODY_BYTES_MAX:
        return None
    kind = found.get(b"content-type", "").partition(";")[0].strip().lower()
    return found if kind == "application/json" and b"content-encoding" not in found else None


def _again(first: dict[str, Any], receive: Receive) -> Receive:
    """`receive`, with its first message once more."""
    waiting = [first]

    async def once_more() -> dict[str, Any]:
        return waiting.pop() if waiting else await receive()

    return once_more
