"""The Sensors (神策) dialect → events. Pure.

A message is either a behaviour (track…) or a change of a profile (profile_*) or of a thing (item_*); all are events.
Nothing is refused for a name or an identity key that was not declared: it is stored and reported in `$siyu`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import xxhash

from siyu.collect import own_events, sensors_profile, touch
from siyu.collect.body import form_fields, is_form, unwrap
from siyu.collect.catalogue import BY_NAME, value_fen
from siyu.collect.event import Effects, Event, Rejected
from siyu.collect.identifiers import arrange
from siyu.collect.instants import settle, skew_ms
from siyu.collect.loose_json import TooDeep, dumps, loads, may_hold_nul, split_items, without_nul
from siyu.collect.loose_object import loads_object
from siyu.collect.marks import clamped, event_name, marked, odd_names, parsed_ms
from siyu.collect.parsed import BadEvent, BadJson, Limits, Parsed, UnusableBody, rejected
from siyu.collect.sensors_identity import Who, who_of, who_tracked

DIALECT: Final = "sensors"
THINGS: Final = "device\x1f$items"
"""Anchor of item_set and item_delete, which are about no person."""
_TRACKS: Final = frozenset(("track", "track_signup", "track_id_bind", "track_id_unbind"))
_PROFILES: Final = frozenset(
    f"profile_{verb}" for verb in ("set", "set_once", "increment", "append", "unset", "delete")
)
_ITEMS: Final = frozenset(("item_set", "item_delete"))
_MILLIS_MIN: Final = 100_000_000_000
"""Smaller numbers are seconds."""
_CRC_BYTES_MAX: Final = 64 * 1024
"""The web SDK's single messages are smaller; a longer one is not worth the time."""
_DEFAULT_NAMES: Final = {"track_signup": "$SignUp", "track_id_bind": "$BindID", "track_id_unbind": "$UnbindID"}
_ENDS: Final = {
    "MiniProgram": "mini_program",
    "WechatMini": "mini_program",
    "MiniGame": "mini_program",
    "js": "web",
    "iOS": "app",
    "Android": "app",
    "Harmony": "app",
    "HarmonyOS": "app",
    "Flutter": "app",
    "ReactNative": "app",
}
_NO_EFFECTS: Final = Effects()
_NOT_CONTEXT: Final = frozenset(("event", "properties", "time", "token", "project"))


def parse(body: bytes, now_ms: int, limits: Limits) -> list[Parsed]:
    """The events of a `/sa` body or query string, one Parsed per write key named inside messages (none: `keys` empty).

    Raises UnusableBody and its kin when nothing in the body can be read, RequestTooLarge."""
    raw = unwrap(body, limits.request_bytes)
    crc_wrong = not _crc_right(body)
    parts: dict[tuple[str, ...], tuple[list[Event], list[Rejected]]] = {}
    for message, piece in _messages(raw, limits):
        keys = _keys(message)
        events, letters = parts.setdefault(keys, ([], []))
        try:
            if isinstance(message, BadEvent):
                raise message
            events.append(_event(message, now_ms, limits, {"crc": "wrong"} if crc_wrong else {}))
        except BadEvent as error:
            letters.append(_letter(error, message, piece, limits))
    if not parts:
        raise UnusableBody("The body holds no message.")
    return [Parsed(events, letters, keys) for keys, (events, letters) in parts.items()]


def _letter(error: BadEvent, message: Mapping[str, Any] | BadEvent, piece: bytes, limits: Limits) -> Rejected:
    if isinstance(message, BadEvent):
        return rejected(error, piece, limits, DIALECT)
    return rejected(error, piece or _piece(message), limits, DIALECT, _content_id(message))


def _keys(message: Mapping[str, Any] | BadEvent) -> tuple[str, ...]:
    if isinstance(message, BadEvent):
        return ()
    if "token" not in message and "project" not in message:
        return ()
    named = (message.get("token"), message.get("project"))
    return tuple(key for key in named if isinstance(key, str) and key)


def _messages(raw: bytes, limits: Limits) -> list[tuple[Mapping[str, Any] | BadEvent, bytes]]:
    """The messages of a JSON text, each with its own bytes; one that cannot be read is a BadEvent in its place."""
    try:
        value = loads(raw)
    except ValueError as error:
        split = split_items(raw, None)
        if split is None:
            if isinstance(error, TooDeep | UnicodeDecodeError):
                return [(BadEvent("TOO_DEEP" if isinstance(error, TooDeep) else "BAD_UTF8", str(error)), raw)]
            raise BadJson(f"The body is not JSON: {error}") from None
        return [_message(piece, limits) for piece in split[0]]
    if may_hold_nul(raw):
        value = without_nul(value)
    items = value if isinstance(value, list) else [value]
    return [_checked(item, len(raw), limits) for item in items]


def _message(piece: bytes, limits: Limits) -> tuple[Mapping[str, Any] | BadEvent, bytes]:
    try:
        return _checked(without_nul(loads_object(piece)), len(piece), limits)
    except BadEvent as error:
        return error, piece


def _checked(item: object, at_most: int, limits: Limits) -> tuple[Mapping[str, Any] | BadEvent, bytes]:
    """A message that is an object within the size limit; `at_most` bounds its size without encoding it again."""
    if not isinstance(item, dict):
        return BadEvent("NOT_AN_OBJECT", "The message is not a JSON object."), _piece(item)
    if at_most > limits.event_bytes and (size := len(_piece(item))) > limits.event_bytes:
        reason = f"An event may have {limits.event_bytes} bytes, this one has {size}."
        return BadEvent("EVENT_TOO_LARGE", reason), _piece(item)
    return item, b""


def _piece(item: object) -> bytes:
    return msgspec.json.encode(item)


def _event(message: Mapping[str, Any], now_ms: int, limits: Limits, marks: dict[str, Any]) -> Event:
    """One event. Raises BadEvent."""
    kind = str(message.get("type") or ("track" if message.get("event") else "")).strip()
    properties = message.get("properties")
    if properties is None or properties == []:  # PHP writes an empty map so
        properties = {}
    if not isinstance(properties, dict):
        raise BadEvent("BAD_PROPERTIES", "`properties` is not a JSON object.")
    if kind in _TRACKS:
        name = event_name(message.get("event") or _DEFAULT_NAMES.get(kind))
    elif kind in _PROFILES or kind in _ITEMS:
        name = kind
    else:
        raise BadEvent("UNKNOWN_TYPE", f"{kind[:64]!r} is no message type.")
    if kind == "track":
        who = who_tracked(message, properties)
    else:
        who = Who([THINGS]) if kind in _ITEMS else who_of(message, properties, kind)
    held = arrange(who.keys)
    if held is None:
        raise BadEvent("NO_IDENTIFIER", "The message names nobody: no usable distinct_id, identity or login_id.")
    occurred_ms = _occurred_ms(message, now_ms, limits, marks)
    if who.unknown:
        marks["unknown_identities"] = who.unknown
    if odd := odd_names((name, *properties)):
        marks["odd_names"] = odd
    stored = properties if kind not in _ITEMS else {**properties, **_thing(message)}
    context = {key: value for key, value in message.items() if key not in _NOT_CONTEXT}
    effects, money = _effects(kind, name, properties, who)
    end = _ENDS.get(str(properties.get("$lib") or _lib(message)), "")
    anchor, others = held
    return Event(
        _content_id(message), name, occurred_ms, anchor, others, dumps(stored), marked(dumps(context), marks), money,
        effects, end,
    )  # fmt: skip


def _lib(message: Mapping[str, Any]) -> object:
    lib = message.get("lib")
    return lib.get("$lib") if isinstance(lib, dict) else None


def _thing(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: message[key] for key in ("item_type", "item_id") if key in message}


def _occurred_ms(message: Mapping[str, Any], now_ms: int, limits: Limits, marks: dict[str, Any]) -> int:
    """When it happened by our clock: corrected by the moment the SDK sent it (`_flush_time`)."""
    stamp = message.get("time")
    if type(stamp) is int and _MILLIS_MIN <= stamp <= now_ms and "_flush_time" not in message:
        return stamp
    if stamp is None or stamp == "":
        return now_ms
    ms = parsed_ms(stamp, zone=limits.zone, unpadded_ms=True)
    settled = settle(ms, skew_ms(message.get("_flush_time"), now_ms, limits.zone), now_ms, limits.future_ms)
    if settled.clamped:
        marks |= clamped(stamp)
    return settled.ms


def _effects(kind: str, name: str, properties: dict[str, Any], who: Who) -> tuple[Effects | None, int]:
    if kind in _PROFILES:
        effects = Effects(links=who.links)
        sensors_profile.apply(kind, properties, effects)
        return (effects if effects != _NO_EFFECTS else None), 0
    if kind not in _TRACKS:
        return None, 0
    entry = BY_NAME.get(name)
    money = value_fen(name, properties) if entry is not None and entry.sign else 0
    came = touch.of_properties(properties, entrance=entry is not None and entry.entrance)
    if not came and not who.links and name not in own_events.OWN:
        return None, money
    effects = Effects(links=who.links, touch=came)
    own_events.apply(name, properties, effects)
    return (effects if effects != _NO_EFFECTS else None), money


def _content_id(message: Mapping[str, Any]) -> str:
    """The SDK gives no id: what it repeats is the same (type, event, distinct_id, time, _track_id, properties)."""
    get = message.get
    parts = (
        get("type"), get("event"), get("distinct_id"), get("original_id"), get("time"), get("_track_id"),
        get("properties"), get("identities"), get("item_type"), get("item_id"),
    )  # fmt: skip
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(parts, order="sorted"))


def _crc_right(body: bytes) -> bool:
    """Whether the web SDK's `ext=crc=<n>` (Java's String.hashCode of the base64 text) fits, when there is one."""
    if not is_form(body):
        return True
    fields = form_fields(body)
    ext, data = fields.get("ext", b""), fields.get("data", b"")
    if not ext.startswith(b"crc=") or len(data) > _CRC_BYTES_MAX:
        return True
    return ext[4:].strip() == str(java_hash(data.decode("latin-1"))).encode()


def java_hash(text: str) -> int:
    """Java's `String.hashCode`: 32 bits, signed."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value
