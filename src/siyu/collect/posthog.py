"""The PostHog dialect → events. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import xxhash

from siyu.collect import own_events, touch
from siyu.collect.body import unwrap
from siyu.collect.catalogue import BY_NAME, value_fen
from siyu.collect.event import Effects, Event, Link, Rejected
from siyu.collect.identifiers import arrange, clean_key, text_of
from siyu.collect.instants import settle, skew_ms
from siyu.collect.loose_json import dumps, loads, may_hold_nul, split_items, without_nul
from siyu.collect.loose_object import loads_object
from siyu.collect.marks import clamped, event_name, marked, parsed_ms
from siyu.collect.parsed import (
    BadEvent,
    BadJson,
    BatchTooLarge,
    EmptyBatch,
    Limits,
    Parsed,
    UnusableBody,
    rejected,
)
from siyu.ids import SEPARATOR

DIALECT: Final = "posthog"
_ALIASES: Final = frozenset(("$create_alias", "$merge_dangerously"))
_LIB_ENDS: Final = {
    "web": "web",
    "js": "web",
    "posthog-ios": "app",
    "posthog-android": "app",
    "posthog-react-native": "app",
    "posthog-flutter": "app",
}
_ID_LENGTH_MAX: Final = 255
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
"""A UUID in capitals is the same UUID (RFC 9562, 4); iOS writes capitals, a server that sends it again may not."""


class _Batch(msgspec.Struct, gc=False):
    batch: list[msgspec.Raw]
    api_key: Any = None
    token: Any = None
    sent_at: Any = None
    sentAt: Any = None


_decode_batch = msgspec.json.Decoder(_Batch).decode


def parse(body: bytes, now_ms: int, limits: Limits) -> Parsed:
    """The events of a `/batch/`, `/e/`, `/i/v0/e/` or `/capture/` body.

    Raises UnusableBody and its kin (400) and RequestTooLarge (413) when nothing in the body can be used."""
    raw = unwrap(body, limits.request_bytes, ("data", "batch"))
    pieces, outer = _pieces(raw)
    if not pieces:
        raise EmptyBatch("The body holds no event.")
    if len(pieces) > limits.batch_events:
        raise BatchTooLarge(f"A batch may hold {limits.batch_events} events, this one holds {len(pieces)}.")
    sent = outer.get("sent_at", outer.get("sentAt"))
    skew = skew_ms(sent, now_ms)
    events: list[Event] = []
    letters: list[Rejected] = []
    keys = dict.fromkeys(_keys(outer))
    for piece in pieces:
        message: Any = None
        try:
            message = _message(piece, limits)
            keys |= dict.fromkeys(_keys(message))
            events.append(_event(message, now_ms, skew, limits))
        except BadEvent as error:
            event_id = text_of(message.get("uuid")) if isinstance(message, dict) else None
            letters.append(rejected(error, piece, limits, DIALECT, event_id or ""))
    return Parsed(events, letters, tuple(keys))


def _pieces(raw: bytes) -> tuple[list[bytes], Mapping[str, Any]]:
    """The raw events of the body and the object around them. A single event is its own only piece."""
    try:
        sent = _decode_batch(raw)
        outer = {"api_key": sent.api_key, "token": sent.token, "sent_at": sent.sent_at or sent.sentAt}
        return [bytes(piece) for piece in sent.batch], outer
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _loose_pieces(raw)


def _loose_pieces(raw: bytes) -> tuple[list[bytes], Mapping[str, Any]]:
    """As `_pieces`, of a body that is no well-formed batch."""
    is_list = raw.lstrip()[:1] == b"["
    split = split_items(raw, None if is_list else b"batch")
    if split is None:
        try:
            outer = loads(raw)
        except ValueError as error:
            raise BadJson(f"The body is not JSON: {error}") from None
        if not isinstance(outer, dict):
            raise UnusableBody("The body is not a JSON object.")
        if "batch" in outer:
            raise UnusableBody("`batch` is not a list.")
        return [raw], outer
    if is_list:
        return split[0], {}
    try:
        outer = loads(split[1])
    except ValueError:
        outer = {}
    return split[0], outer if isinstance(outer, dict) else {}


def _message(piece: bytes, limits: Limits) -> dict[str, Any]:
    if len(piece) > limits.event_bytes:
        reason = f"An event may have {limits.event_bytes} bytes, this one has {len(piece)}."
        raise BadEvent("EVENT_TOO_LARGE", reason)
    message = loads_object(piece)
    return without_nul(message) if may_hold_nul(piece) else message


def _keys(message: Mapping[str, Any]) -> list[str]:
    properties = message.get("properties")
    inner = properties.get("token") if isinstance(properties, dict) else None
    found = (message.get("api_key"), message.get("token"), message.get("$token"), inner)
    return [key for key in found if isinstance(key, str) and key]


def _event(message: Mapping[str, Any], now_ms: int, skew: int, limits: Limits) -> Event:
    """One event. Raises BadEvent."""
    name = event_name(message.get("event"))
    properties = message.get("properties")
    if properties is None or properties == []:  # PHP writes an empty map so
        properties = {}
    if not isinstance(properties, dict):
        raise BadEvent("BAD_PROPERTIES", "`properties` is not a JSON object.")
    properties = {key: value for key, value in properties.items() if key != "token"}
    changes = {key: message.get(key, properties.get(key)) for key in ("$set", "$set_once", "$unset")}
    keys, links = _who(name, message, properties, changes)
    held = arrange(keys)
    if held is None:
        raise BadEvent("NO_IDENTIFIER", "The event names nobody: it needs a usable distinct_id.")
    marks: dict[str, Any] = {}
    occurred_ms = _occurred_ms(message, now_ms, skew, limits, marks)
    effects = Effects(links=links)
    _traits(changes, effects)
    entry = BY_NAME.get(name)
    effects.touch = touch.of_properties(properties, entrance=entry is not None and entry.entrance)
    own_events.apply(name, properties, effects)
    money = value_fen(name, properties) if entry is not None and entry.sign else 0
    library = {"name": properties.get("$lib"), "version": properties.get("$lib_version")}
    context = marked(dumps({"library": library}) if library["name"] else "{}", marks)
    end = properties.get("end")
    end = end if isinstance(end, str) and 0 < len(end) <= 64 else _LIB_ENDS.get(str(library["name"]), "")
    anchor, others = held
    event_id = _event_id(message, now_ms)
    return Event(
        event_id, name, occurred_ms, anchor, others, dumps(properties), context, money,
        effects if effects != Effects() else None, end,
    )  # fmt: skip


def _who(
    name: str, message: Mapping[str, Any], properties: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[list[str | None], list[Link]]:
    distinct = text_of(message.get("distinct_id") or message.get("$distinct_id") or properties.get("distinct_id"))
    device = text_of(properties.get("$device_id"))
    anonymous = text_of(properties.get("$anon_distinct_id") or message.get("$anon_distinct_id"))
    is_anonymous = distinct is not None and (
        properties.get("$is_identified") is False or distinct in {device, anonymous}
    )
    person = clean_key("anonymous_id" if is_anonymous and name not in _ALIASES else "user_id", distinct)
    keys = [person, clean_key("anonymous_id", anonymous), clean_key("device", device)]
    traits = changes["$set"] if isinstance(changes["$set"], dict) else {}
    keys += [clean_key("phone", traits.get("phone")), clean_key("email", traits.get("email"))]
    links: list[Link] = []
    if name in _ALIASES:
        alias = clean_key("any", properties.get("alias") or message.get("alias"))
        if alias is None or person is None:
            raise BadEvent("NO_IDENTIFIER", f"{name} needs a usable distinct_id and alias.")
        if alias.partition(SEPARATOR)[2] != person.partition(SEPARATOR)[2]:
            links.append(Link("alias", [alias, person]))
    return keys, links


def _traits(changes: Mapping[str, Any], effects: Effects) -> None:
    """`$set`, `$set_once`, `$unset` (a list, or an object's keys)."""
    put, once, away = (changes[key] for key in ("$set", "$set_once", "$unset"))
    if isinstance(put, dict):
        effects.set = {name: value for name, value in put.items() if value is not None}
        effects.unset = [name for name, value in put.items() if value is None]
    if isinstance(once, dict):
        effects.set_once = {name: value for name, value in once.items() if value is not None}
    if isinstance(away, list | dict):
        effects.unset = [*effects.unset, *(name for name in away if isinstance(name, str))]


def _occurred_ms(message: Mapping[str, Any], now_ms: int, skew: int, limits: Limits, marks: dict[str, Any]) -> int:
    stamp = message.get("timestamp")
    if stamp is None or stamp == "":
        offset = message.get("offset")
        waited = int(offset) if isinstance(offset, int | float) and 0 <= offset < 7 * 86_400_000 else 0
        return now_ms - waited
    settled = settle(parsed_ms(stamp), skew, now_ms, limits.future_ms)
    if settled.clamped:
        marks |= clamped(stamp)
    return settled.ms


def _event_id(message: Mapping[str, Any], now_ms: int) -> str:
    event_id = text_of(message.get("uuid") or message.get("$insert_id"))
    if event_id and len(event_id) <= _ID_LENGTH_MAX:
        return event_id.lower() if _UUID.fullmatch(event_id) else event_id
    stamp = message.get("timestamp")
    named = ("event", "distinct_id", "properties", "$set", "$set_once")
    parts = [event_id, stamp, now_ms if stamp is None else 0, *(message.get(name) for name in named)]
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(parts, order="sorted"))
