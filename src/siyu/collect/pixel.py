"""Pixel calls: an event in the query string of an image → a Segment body. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from siyu.collect.body import unbase64
from siyu.collect.loose_json import dumps

_DEPTH_MAX: Final = 8
_PLAIN: Final = frozenset(
    ("anonymousId", "userId", "event", "messageId", "timestamp", "originalTimestamp", "sentAt", "name", "category")
)
_KEYS: Final = frozenset(("writeKey", "write_key"))


def segment_body(fields: Mapping[str, str], kind: str) -> bytes:
    """The body of a `/pixel/v1/track|page` call: `data` (base64 of JSON), or a field per name, dots for nesting
    (`properties.price=3`); what is no field of a call goes into the properties."""
    if (data := fields.get("data")) and (decoded := unbase64(data.encode())) is not None:
        return decoded
    call: dict[str, Any] = {"type": kind}
    for name, value in fields.items():
        if name in _KEYS:
            continue
        path = name.split(".")[:_DEPTH_MAX]
        if len(path) == 1 and name not in _PLAIN:
            path = ["properties", name]
        _put(call, path, value)
    return dumps(call).encode()


def _put(call: dict[str, Any], path: list[str], value: str) -> None:
    for name in path[:-1]:
        inner = call.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        call = inner
    call[path[-1]] = value
