"""Write keys in a request's headers and query. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

_QUERY_NAMES: Final = ("writeKey", "write_key", "token", "project", "api_key")
KEY_LENGTH_MAX: Final = 200


def header_keys(authorization: bytes) -> list[str]:
    """Candidates in an Authorization header: the user of Basic (with or without its colon), a Bearer token."""
    scheme, _, value = authorization.strip().partition(b" ")
    value = value.strip()
    if scheme.lower() == b"bearer":
        return _usable([value])
    if scheme.lower() != b"basic":
        return []
    try:
        decoded = base64.b64decode(value + b"=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        return []
    return _usable([decoded.partition(b":")[0], decoded])


def query_keys(fields: Mapping[str, str]) -> list[str]:
    """Candidates among query fields, the most binding first."""
    return [key for name in _QUERY_NAMES if (key := fields.get(name, "").strip()) and len(key) <= KEY_LENGTH_MAX]


def _usable(values: list[bytes]) -> list[str]:
    texts = [value.decode("utf-8", "replace").strip() for value in values if len(value) <= KEY_LENGTH_MAX]
    return list(dict.fromkeys(text for text in texts if text))
