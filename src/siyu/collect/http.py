"""The doors as a bare ASGI app: paths → dialects → intake → the answer each SDK expects.

A door answers only after its events are durable. Bodies are read whole (they have a limit) and sniffed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from siyu.clock import Now, system_now
from siyu.collect import meters, posthog, segment, sensors
from siyu.collect.actions import KeyRing
from siyu.collect.answers import (
    NO_CONTENT,
    PIXEL,
    POSTHOG_FLAGS,
    POSTHOG_OK,
    SEGMENT_OK,
    SENSORS_OK,
    Answer,
    debug_report,
    refusal,
    refused_by,
    taken,
)
from siyu.collect.body import query_fields
from siyu.collect.credentials import header_keys, query_keys
from siyu.collect.event import Rejected
from siyu.collect.frame import Arrival
from siyu.collect.intake import Intake
from siyu.collect.keys import WriteKey
from siyu.collect.parsed import Limits, Overloaded, Parsed, RequestTooLarge, UnusableBody, WrongKey
from siyu.collect.pixel import segment_body
from siyu.errors import Busy, SiyuError
from siyu.settings import Settings
from siyu.stream.stream import Stream

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_KINDS: Final = {"t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias"}


class _Route(NamedTuple):
    dialect: str
    methods: str
    kind: str | None = None
    """Segment: the call that the path names. Else: which door of the dialect."""


def _routes() -> dict[str, _Route]:
    routes = {"/v1/batch": _Route("segment", "POST"), "/beacon/v1/batch": _Route("segment", "POST")}
    for short, kind in _KINDS.items():
        routes[f"/v1/{kind}"] = routes[f"/v1/{short}"] = _Route("segment", "POST", kind)
    routes["/v1/import"] = routes["/v1/batch"]
    routes["/v1/b"] = routes["/v1/batch"]
    routes["/v1/m"] = _Route("metrics", "POST")
    for kind in ("track", "page"):
        routes[f"/pixel/v1/{kind}"] = _Route("pixel", "GET", kind)
    routes["/sa"] = routes["/sa.gif"] = _Route("sensors", "GET POST")
    routes["/debug"] = _Route("debug", "GET POST")
    for path in ("/batch", "/e", "/i/v0/e", "/capture"):
        routes[path] = _Route("posthog", "GET POST")
    for path in ("/decide", "/flags"):
        routes[path] = _Route("flags", "GET POST")
    return routes


ROUTES: Final = _routes()
"""Path without a trailing slash → route."""


class Request(NamedTuple):
    """What a dialect needs of a request."""

    path: str
    method: str
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes
    now_ms: int
    """The server's clock: what a sender's wrong clock is compared with."""
    received_ms: int
    """The real time of receipt."""


class Door:
    """All doors of one process. `backlog` tells how many events wait to be processed."""

    def __init__(
        self, stream: Stream, keys: KeyRing, settings: Settings, *, now: Now, backlog: Callable[[], int]
    ) -> None:
        self.intake = Intake(stream)
        self._keys = keys
        self._limits = Limits.of(settings)
        self._pending_max = settings.pending_events_max
        self._now = now
        self._backlog = backlog

    def handles(self, path: str) -> bool:
        """Whether a path is a door's."""
        return path in ROUTES or (path.endswith("/") and path[:-1] in ROUTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request whose path `handles`."""
        path: str = scope["path"]
        route = ROUTES.get(path) or ROUTES[path.rstrip("/")]
        headers = dict(scope["headers"])
        answer = await self._answer(route, scope, headers, receive)
        if answer is None:
            return
        meters.ANSWERS.labels(route.dialect, str(answer.status)).inc()
        await _reply(send, answer, headers, head=scope["method"] == "HEAD")

    async def _answer(
        self, route: _Route, scope: Scope, headers: dict[bytes, bytes], receive: Receive
    ) -> Answer | None:
        method: str = scope["method"]
        if method == "OPTIONS":
            return NO_CONTENT
        if method == "HEAD":
            return Answer(200, b"", b"text/plain")
        if method not in route.methods.split():
            return refusal(405, "METHOD_NOT_ALLOWED", f"This door takes {route.methods}.", allow=route.methods)
        is_posthog = route.dialect == "posthog"
        try:
            body = await _read(receive, headers, self._limits.request_bytes)
            if body is None:
                return None
            query: bytes = scope["query_string"]
            request = Request(scope["path"], method, query, headers, body, _ms(self._now()), _ms(system_now()))
            return await _DOORS[route.dialect](self, request, route.kind)
        except SiyuError as error:
            return refused_by(error, posthog=is_posthog)
        except Exception:
            log.exception("door failed", path=scope["path"])
            return refusal(500, "INTERNAL", "The server failed on this request.", posthog=is_posthog)

    async def _segment(self, request: Request, kind: str | None) -> Answer:
        self._check_backlog(Busy)
        parsed = segment.parse(request.body, request.now_ms, self._limits, kind)
        await self._keep(request, parsed, "segment")
        return taken(SEGMENT_OK, len(parsed.events), parsed.rejected)

    async def _pixel(self, request: Request, kind: str | None) -> Answer:
        fields = query_fields(request.query)
        parsed = segment.parse(segment_body(fields, kind or "track"), request.now_ms, self._limits, kind)
        await self._keep(request, parsed, "segment")
        return PIXEL if parsed.events else taken(PIXEL, 0, parsed.rejected)

    async def _metrics(self, request: Request, kind: str | None) -> Answer:
        """The browser SDK's own meters: taken and forgotten."""
        return SEGMENT_OK

    async def _posthog(self, request: Request, kind: str | None) -> Answer:
        # 503, not 429: posthog-js never sends again after a 4xx.
        self._check_backlog(Overloaded)
        body = request.body if request.method == "POST" else request.query
        parsed = posthog.parse(body, request.now_ms, self._limits)
        await self._keep(request, parsed, "posthog")
        return taken(POSTHOG_OK, len(parsed.events), parsed.rejected, posthog=True)

    async def _flags(self, request: Request, kind: str | None) -> Answer:
        return POSTHOG_FLAGS

    async def _sensors(self, request: Request, kind: str | None) -> Answer:
        """Never refused for load, nor for a body that cannot be read: most of these SDKs send a body once."""
        body = request.body or request.query
        good = PIXEL if request.method == "GET" or request.path.endswith(".gif") else SENSORS_OK
        try:
            parts = sensors.parse(body, request.now_ms, self._limits)
        except UnusableBody as error:
            letter = Rejected(error.code, str(error), body[: self._limits.event_bytes], "", sensors.DIALECT)
            parts = [Parsed([], [letter])]
        for part in parts:
            await self._keep(request, part, "sensors")
        return good

    async def _debug(self, request: Request, kind: str | None) -> Answer:
        """Checks one message and says what it found; keeps it unless `Dry-Run: true`."""
        parts = sensors.parse(request.body or request.query, request.now_ms, self._limits)
        dry = request.headers.get(b"dry-run", b"").strip().lower() in (b"true", b"1")
        for part in parts:
            await self._key(request, part.keys)
        events = [event for part in parts for event in part.events]
        letters = [letter for part in parts for letter in part.rejected]
        if not dry:
            for part in parts:
                await self._keep(request, part, "sensors")
        marks = [msgspec.json.decode(event.context).get("$siyu") for event in events]
        return debug_report(events, letters, marks, dry=dry)

    async def _keep(self, request: Request, parsed: Parsed, dialect: str) -> None:
        """Make what was parsed durable. Raises WrongKey, EngineUnavailable, and Busy except for Sensors."""
        key = await self._key(request, parsed.keys)
        arrival = Arrival(parsed.events, parsed.rejected, key.id, key.end, request.received_ms)
        await self.intake.keep(arrival, patient=dialect == sensors.DIALECT)
        meters.EVENTS.labels(dialect, "accepted").inc(len(parsed.events))
        meters.EVENTS.labels(dialect, "rejected").inc(len(parsed.rejected))

    async def _key(self, request: Request, named: Iterable[str]) -> WriteKey:
        """The first live write key among those in the body, the header and the query."""
        authorization = request.headers.get(b"authorization")
        candidates = [*header_keys(authorization), *named] if authorization else list(named)
        for candidate in candidates:
            if (key := await self._keys.write_key(candidate)) is not None:
                return key
        for candidate in query_keys(query_fields(request.query)) if request.query else ():
            if (key := await self._keys.write_key(candidate)) is not None:
                return key
        raise WrongKey("The write key is missing, unknown or revoked.")

    def _check_backlog(self, refusal_class: type[Busy]) -> None:
        waiting = self._backlog()
        if waiting > self._pending_max:
            raise refusal_class("The server is behind; send this again later.", retry_after_s=_patience(waiting))


_DOORS: Final = {
    "segment": Door._segment,
    "pixel": Door._pixel,
    "metrics": Door._metrics,
    "posthog": Door._posthog,
    "flags": Door._flags,
    "sensors": Door._sensors,
    "debug": Door._debug,
}


def _patience(waiting: int) -> int:
    """Seconds after which a sender should try again: the backlog at 50,000 events/s, within 1 to 60."""
    return max(1, min(60, waiting // 50_000))


def _ms(instant: datetime) -> int:
    return int(instant.astimezone(UTC).timestamp() * 1000)


async def _read(receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes | None:
    """The whole body; None when the sender went away. Raises RequestTooLarge."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise RequestTooLarge(f"A request may have {limit} bytes, this one has {int(declared)}.")
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise RequestTooLarge(f"A request may have {limit} bytes.")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _reply(send: Send, answer: Answer, headers: dict[bytes, bytes], *, head: bool) -> None:
    out = [
        (b"content-type", answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if (origin := headers.get(b"origin")) is not None:
        out += [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"Origin"),
        ]
        if b"access-control-request-method" in headers:
            out += [
                (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
                (b"access-control-allow-headers", headers.get(b"access-control-request-headers", b"*")),
                (b"access-control-max-age", b"86400"),
            ]
    if answer.retry_after_s is not None:
        out.append((b"retry-after", str(answer.retry_after_s).encode()))
    if answer.allow is not None:
        out.append((b"allow", answer.allow.replace(" ", ", ").encode() + b", OPTIONS, HEAD"))
    await send({"type": "http.response.start", "status": answer.status, "headers": out})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
