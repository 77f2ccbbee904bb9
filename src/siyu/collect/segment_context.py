"""What a Segment context says beside being stored: end, identifiers, touch, consent. Pure.

Read once per distinct context: most events of an end repeat theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from siyu.collect import touch
from siyu.collect.identifiers import clean_key, known_kind
from siyu.collect.loose_json import TooDeep, dumps, loads, without_nul
from siyu.collect.own_events import consent_of_context
from siyu.collect.parsed import BadEvent

CACHED_BYTES_MAX: Final = 2_048
_END_LENGTH_MAX: Final = 64
_WEB_LIBRARIES: Final = ("analytics.js", "javascript", "analytics-next", "browser")
_APP_LIBRARIES: Final = ("android", "ios", "swift", "kotlin", "react-native", "react_native", "flutter", "harmony")


class ContextFacts(NamedTuple):
    """A context looked at once."""

    text: str
    """The JSON object to store."""
    end: str = ""
    """`context.end`, when given."""
    library_end: str = ""
    """The end that the SDK's name tells, when it does."""
    keys: tuple[str, ...] = ()
    """Identifiers: device, external ids, phone and e-mail of `traits`."""
    traits: Mapping[str, Any] = {}
    touch: dict[str, str] = {}
    consents: list[dict[str, Any]] = []

    plain: bool = True
    """Nothing in it but what is stored and the end."""


_NOTHING: Final = ContextFacts("{}")


def facts_of(raw: bytes) -> ContextFacts:
    """The facts of a raw context. Raises BadEvent when it nests too deep, UnicodeDecodeError."""
    if raw in (b"{}", b"null"):
        return _NOTHING
    text = raw.decode()
    try:
        context = loads(text)
    except TooDeep as error:
        raise BadEvent("TOO_DEEP", str(error)) from None
    if not isinstance(context, dict):
        return _NOTHING
    if "\\u0000" in text:
        context = without_nul(context)
        text = dumps(context)
    traits = context.get("traits")
    traits = traits if isinstance(traits, dict) else {}
    end = context.get("end")
    keys = tuple(key for key in _keys(context, traits) if key)
    came_from = touch.of_context(context)
    consents = consent_of_context(context.get("consent"))
    return ContextFacts(
        text,
        end.strip() if isinstance(end, str) and len(end) <= _END_LENGTH_MAX and end.isprintable() else "",
        _library_end(context.get("library")),
        keys,
        traits,
        came_from,
        consents,
        not (keys or traits or came_from or consents),
    )


_REMEMBERED_MAX: Final = 4_096
remembered: dict[bytes, ContextFacts] = {}


def cached_facts(raw: bytes) -> ContextFacts:
    """`facts_of`, remembered for contexts up to CACHED_BYTES_MAX (a dict: half the price of an lru_cache)."""
    facts = remembered.get(raw)
    if facts is None:
        facts = facts_of(raw)
        if len(raw) <= CACHED_BYTES_MAX:
            if len(remembered) >= _REMEMBERED_MAX:
                remembered.clear()
            remembered[raw] = facts
    return facts


def _keys(context: Mapping[str, Any], traits: Mapping[str, Any]) -> list[str | None]:
    device = context.get("device")
    keys = [
        clean_key("phone", traits.get("phone")),
        clean_key("email", traits.get("email")),
        clean_key("device", device.get("id")) if isinstance(device, dict) else None,
    ]
    listed = context.get("externalIds")
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict) and isinstance(kind := item.get("type"), str) and known_kind(kind):
            keys.append(clean_key(kind, item.get("id")))
    return keys


def _library_end(library: object) -> str:
    name = library.get("name") if isinstance(library, dict) else None
    if not isinstance(name, str):
        return ""
    name = name.lower()
    if any(word in name for word in _WEB_LIBRARIES):
        return "web"
    return "app" if any(word in name for word in _APP_LIBRARIES) else ""


@lru_cache(maxsize=256)
def merged(common: bytes, own: bytes) -> bytes:
    """A batch's context beneath an item's own. What cannot be read counts as empty."""
    try:
        beneath, above = loads(common), loads(own)
    except ValueError:
        return own
    if not isinstance(beneath, dict):
        return own
    return dumps(beneath | above if isinstance(above, dict) else beneath).encode()
