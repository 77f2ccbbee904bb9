"""What the doors answer, in the shape each SDK expects. Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from siyu.collect.event import Rejected
from siyu.errors import SiyuError

GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""One transparent pixel."""
_JSON: Final = b"application/json"
_REPORTED_MAX: Final = 20


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: bytes = _JSON
    retry_after_s: int | None = None
    allow: str | None = None


SEGMENT_OK: Final = Answer(200, b'{"success":true}')
POSTHOG_OK: Final = Answer(200, b'{"status":1}')
SENSORS_OK: Final = Answer(200, b"ok", b"text/plain")
PIXEL: Final = Answer(200, GIF, b"image/gif")
NO_CONTENT: Final = Answer(204, b"", b"text/plain")
POSTHOG_FLAGS: Final = Answer(
    200,
    msgspec.json.encode(
        {
            "flags": {},
            "featureFlags": {},
            "featureFlagPayloads": {},
            "errorsWhileComputingFlags": False,
            "config": {"enable_collect_everything": False},
            "supportedCompression": ["gzip", "gzip-js"],
            "autocapture_opt_out": True,
            "isAuthenticated": False,
            "sessionRecording": False,
            "heatmaps": False,
            "surveys": False,
            "siteApps": [],
            "toolbarParams": {},
            "quotaLimited": [],
            "hasFeatureFlags": False,
        }
    ),
)
"""What posthog-js asks for at its start: no flags, no recordings."""


def json_answer(status: int, content: Any, **more: Any) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, msgspec.json.encode(content), **more)


def refusal(status: int, code: str, message: str, *, posthog: bool = False, **more: Any) -> Answer:
    """An error: `code` and `message` at the top, as Segment SDKs read it; PostHog's own names beside them."""
    content = {"code": code, "message": message}
    if posthog:
        content |= {"type": "validation_error" if status < 500 else "server_error", "detail": message}
    return json_answer(status, content, **more)


def refused_by(error: SiyuError, *, posthog: bool = False) -> Answer:
    """The answer to an error of ours. `retry_after_s` among its details becomes Retry-After."""
    retry = error.details.get("retry_after_s")
    if retry is None and error.status in {429, 503}:
        retry = 5
    return refusal(
        error.status,
        error.code,
        str(error),
        posthog=posthog,
        retry_after_s=int(retry) if isinstance(retry, int | float) else None,
    )


def taken(good: Answer, kept: int, rejected: Sequence[Rejected], *, posthog: bool = False) -> Answer:
    """The answer to a body of which `kept` events are durable: 200 when there are any, the rejected ones named beside;
    400 with the first reason when there are none."""
    if not rejected:
        return good
    first = rejected[0]
    if not kept:
        return refusal(400, first.code, first.reason, posthog=posthog)
    reported = [
        {"event_id": item.event_id, "code": item.code, "message": item.reason} for item in rejected[:_REPORTED_MAX]
    ]
    return json_answer(200, msgspec.json.decode(good.body) | {"rejected": len(rejected), "reasons": reported})


def debug_report(events: Sequence[Any], rejected: Sequence[Rejected], marks: Sequence[Any], *, dry: bool) -> Answer:
    """The answer of the Sensors debug door: what would happen to the message, and what is odd about it."""
    if rejected or not events:
        code, reason = (rejected[0].code, rejected[0].reason) if rejected else ("EMPTY_BATCH", "There is no message.")
        return refusal(400, code, reason)
    content = {"code": "OK", "message": "The message is valid.", "dry_run": dry, "remarks": [m for m in marks if m]}
    return json_answer(200, content)
