"""One event's JSON text → an object, or the reason why it is none. Pure."""

from __future__ import annotations

from typing import Any

from siyu.collect.loose_json import TooDeep, loads
from siyu.collect.parsed import BadEvent


def loads_object(piece: bytes) -> dict[str, Any]:
    """`loose_json.loads` of one event. Raises BadEvent: TOO_DEEP, BAD_UTF8, BAD_JSON, NOT_AN_OBJECT."""
    try:
        value = loads(piece)
    except TooDeep as error:
        raise BadEvent("TOO_DEEP", str(error)) from None
    except UnicodeDecodeError:
        raise BadEvent("BAD_UTF8", "The event is not valid UTF-8.") from None
    except ValueError as error:
        raise BadEvent("BAD_JSON", f"The event is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadEvent("NOT_AN_OBJECT", "The event is not a JSON object.")
    return value
