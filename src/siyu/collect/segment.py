"""The Segment and RudderStack dialect → events. Pure.

The common case (a batch of track calls) is decoded once into typed items whose `properties` and `context` stay raw
text: they are looked into only when something in them is needed. What the typed decoder refuses is read again, item by
item, with indulgence, so that one bad event never costs its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import xxhash

from siyu.collect import own_events, touch
from siyu.collect.body import unwrap
from siyu.collect.catalogue import BY_NAME, value_fen
from siyu.collect.event import Effects, Event, Link, Rejected
from siyu.collect.identifiers import arrange, clean_key, plain, text_of
from siyu.collect.instants import common_ms, skew_ms
from siyu.collect.loose_json import TooDeep, dumps, loads, split_items, without_nul
from siyu.collect.marks import clamped, event_name, marked, parsed_ms
from siyu.collect.parsed import (
    DEPTH_MAX,
    BadEvent,
    BadJson,
    BatchTooLarge,
    EmptyBatch,
    Limits,
    Parsed,
    UnusableBody,
    rejected,
)
from siyu.collect.segment_context import ContextFacts, cached_facts, merged
from siyu.ids import SEPARATOR

DIALECT: Final = "segment"
KINDS: Final = frozenset(("track", "identify", "page", "screen", "group", "alias"))
_ID_LENGTH_MAX: Final = 255
_SURELY_FLAT: Final = 2 * DEPTH_MAX
"""Shorter JSON cannot nest deeper than DEPTH_MAX."""
_EMPTY: Final = msgspec.Raw(b"{}")
_NAMES_MAX: Final = 10_000
_plain_names: set[str] = set()
"""Event names met that ask for nothing but being stored."""
_CHANNEL_ENDS: Final = {"web": "web", "mobile": "app"}


class _Item(msgspec.Struct, gc=False):
    type: str | None = None
    userId: str | int | float | None = None
    anonymousId: str | int | float | None = None
    event: str | None = None
    messageId: str | None = None
    timestamp: str | int | float | None = None
    properties: msgspec.Raw = _EMPTY
    context: msgspec.Raw = _EMPTY
    traits: msgspec.Raw = _EMPTY
    originalTimestamp: str | int | float | None = None
    name: str | None = None
    category: str | None = None
    previousId: str | int | float | None = None
    groupId: str | int | float | None = None
    channel: str | None = None
    sentAt: str | int | float | None = None


class _Body(_Item, gc=False):
    """A batch (then the item's fields are the batch's own) or a single call."""

    batch: list[_Item] | None = None
    writeKey: str | None = None


class _RawBody(msgspec.Struct, gc=False):
    batch: list[msgspec.Raw]


class _Sent(NamedTuple):
    """What the items of one body share."""

    now_ms: int
    skew: int
    horizon_ms: int
    """Nothing happens later than this."""


class _Batch(NamedTuple):
    """Typed items and all that is known about them."""

    items: list[_Item]
    raw: bytes
    many: bool
    sent: _Sent
    limits: Limits
    kind: str | None


class _Name(NamedTuple):
    """An event name looked at once."""

    text: str
    looked_into: bool
    """Its properties matter: money, a way in, or our own vocabulary."""
    entrance: bool
    money: bool


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_raw = msgspec.json.Decoder(_RawBody).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_MALFORMED: Final = (msgspec.MsgspecError, ValueError, RecursionError)


def parse(body: bytes, now_ms: int, limits: Limits, kind: str | None = None) -> Parsed:
    """The events of a `/v1/*` body; `kind` is the call that the path names, for bodies without `type`.

    Raises UnusableBody and its kin (400) and RequestTooLarge (413) when nothing in the body can be used."""
    raw = unwrap(body, limits.request_bytes)
    try:
        sent = _decode_body(raw)
    except _MALFORMED:
        return _parse_loosely(raw, now_ms, limits, kind)
    keys = (sent.writeKey,) if sent.writeKey else ()
    if sent.batch is None:
        return _one_by_one(_Batch([sent], raw, False, _shared(sent, now_ms, limits), limits, kind), keys)
    _check_batch(len(sent.batch), len(raw), limits)
    return _parsed(_Batch(_with_context(sent), raw, True, _shared(sent, now_ms, limits), limits, kind), keys)


def _shared(sent: _Body, now_ms: int, limits: Limits) -> _Sent:
    sent_at = sent.sentAt
    if sent_at is None and sent.batch:
        sent_at = sent.batch[0].sentAt
    return _Sent(now_ms, skew_ms(sent_at, now_ms), now_ms + limits.future_ms)


def _check_batch(events: int, size: int, limits: Limits) -> None:
    if events == 0:
        raise EmptyBatch("The batch holds no event.")
    if size > limits.batch_bytes:
        raise BatchTooLarge(f"A batch may have {limits.batch_bytes} bytes, this one has {size}.")
    if events > limits.batch_events:
        raise BatchTooLarge(f"A batch may hold {limits.batch_events} events, this one holds {events}.")


def _with_context(sent: _Body) -> list[_Item]:
    """The batch's items, each with the batch's own context beneath its own."""
    items = sent.batch or []
    if sent.context is not _EMPTY and (common := bytes(sent.context)) not in (b"{}", b"null"):
        for item in items:
            item.context = msgspec.Raw(merged(common, bytes(item.context)))
    return items


def _parsed(batch: _Batch, keys: tuple[str, ...]) -> Parsed:
    """Events of typed items. Only when one is refused, or may be over the event limit, are they looked at as sent."""
    sent, kind, limit = batch.sent, batch.kind, batch.limits.event_bytes
    try:
        events = [_common_track(item, sent) or _event(item, sent, kind) for item in batch.items]
    except BadEvent:
        return _one_by_one(batch, keys)
    if len(batch.raw) > limit:
        # What is not counted may all be one event's.
        counted = [len(event.properties) + len(event.context) for event in events]
        if len(batch.raw) - sum(counted) + max(counted) > limit:
            return _one_by_one(batch, keys)
    return Parsed(events, [], keys)


def _one_by_one(batch: _Batch, keys: tuple[str, ...]) -> Parsed:
    """As `_parsed`, with each item's own bytes at hand: to weigh it, and to keep it when it is refused."""
    pieces = [bytes(piece) for piece in _decode_raw(batch.raw).batch] if batch.many else [batch.raw]
    events: list[Event] = []
    letters: list[Rejected] = []
    for item, piece in zip(batch.items, pieces, strict=True):
        try:
            if len(piece) > batch.limits.event_bytes:
                raise _too_large(len(piece), batch.limits)
            events.append(_event(item, batch.sent, batch.kind))
        except BadEvent as error:
            letters.append(rejected(error, piece, batch.limits, DIALECT, item.messageId or ""))
    return Parsed(events, letters, keys)


def _too_large(size: int, limits: Limits) -> BadEvent:
    return BadEvent("EVENT_TOO_LARGE", f"An event may have {limits.event_bytes} bytes, this one has {size}.")


def _parse_loosely(raw: bytes, now_ms: int, limits: Limits, kind: str | None) -> Parsed:
    """A body that is broken somewhere, or has fields of surprising types: item by item."""
    pieces, outer = _pieces(raw)
    if not isinstance(outer, dict):
        raise UnusableBody("The body is not a JSON object.")
    if isinstance(outer.get("batch", []), list) and ("batch" in outer or kind is None or pieces):
        _check_batch(len(pieces), len(raw), limits)
    elif "batch" in outer:
        raise UnusableBody("`batch` is not a list.")
    else:
        pieces = [raw]
    key = outer.get("writeKey")
    common = outer.get("context") if "batch" in outer else None
    sent = _Sent(now_ms, skew_ms(outer.get("sentAt"), now_ms), now_ms + limits.future_ms)
    events: list[Event] = []
    letters: list[Rejected] = []
    for piece in pieces:
        item: _Item | None = None
        try:
            if len(piece) > limits.event_bytes:
                raise _too_large(len(piece), limits)
            item = _loose_item(piece)
            if isinstance(common, dict) and common:
                item.context = msgspec.Raw(merged(dumps(common).encode(), bytes(item.context)))
            events.append(_event(item, sent, kind))
        except BadEvent as error:
            letters.append(rejected(error, piece, limits, DIALECT, (item.messageId or "") if item else ""))
    return Parsed(events, letters, (key,) if isinstance(key, str) and key else ())


def _pieces(raw: bytes) -> tuple[list[bytes], Any]:
    """The raw items of the body, and the object around them. A single call is its own only item."""
    split = split_items(raw, b"batch")
    if split is None and raw.lstrip()[:1] == b"[":
        split = split_items(raw, None)
        if split is not None:
            return split[0], {"batch": []}
    try:
        if split is not None:
            return split[0], loads(split[1])
        return [raw], loads(raw)
    except UnicodeDecodeError:
        raise BadJson("The body is not valid UTF-8.") from None
    except ValueError as error:
        raise BadJson(f"The body is not JSON: {error}") from None


def _loose_item(piece: bytes) -> _Item:
    """An item whatever the types of its fields. Raises BadEvent."""
    try:
        return _decode_item(piece)
    except _MALFORMED:
        pass
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
    item = _Item()
    for field in ("type", "event", "messageId", "name", "category", "channel"):
        setattr(item, field, text_of(value.get(field)))
    for field in ("userId", "anonymousId", "previousId", "groupId"):
        setattr(item, field, text_of(value.get(field)))
    for field in ("timestamp", "originalTimestamp"):
        setattr(item, field, value.get(field))
    for field in ("properties", "context", "traits"):
        if value.get(field) is not None:
            setattr(item, field, msgspec.Raw(dumps(value[field]).encode()))
    return item


def _common_track(item: _Item, sent: _Sent) -> Event | None:
    """`_event` of a plain track call at a third of the price; None when anything about it is out of the ordinary."""
    event, stamp, event_id, user = item.event, item.timestamp, item.messageId, item.userId
    if item.type != "track" or type(stamp) is not str or not event_id or item.traits is not _EMPTY:
        return None
    try:
        facts = cached_facts(bytes(item.context))
        properties = str(item.properties, "utf-8")
    except UnicodeDecodeError:
        return None
    if (
        not facts.plain
        or event not in _plain_names
        or properties[:1] != "{"
        or "utm_" in properties
        or "\\u0000" in properties
        or (len(properties) > _SURELY_FLAT and _may_be_deep(properties))
        or len(event_id) > _ID_LENGTH_MAX
    ):
        return None
    ms = common_ms(stamp)
    if ms is None or ms < 0 or not 0 <= (occurred := ms + sent.skew) <= sent.horizon_ms:
        return None
    other = item.anonymousId
    if user is None:
        if not plain(other):
            return None
        anchor, others = f"anonymous_id\x1f{other}", None
    elif not plain(user):
        return None
    else:
        anchor, others = f"user_id\x1f{user}", None
        if other is not None:
            if not plain(other):
                return None
            others = f"anonymous_id\x1f{other}"
    end = facts.end or (_CHANNEL_ENDS.get(item.channel) if item.channel else None) or facts.library_end
    return Event(event_id, event, occurred, anchor, others, properties, facts.text, 0, None, end)


def _event(item: _Item, sent: _Sent, path_kind: str | None) -> Event:
    """One event. Raises BadEvent."""
    kind = item.type or path_kind or ("track" if item.event else None)
    try:
        facts = cached_facts(bytes(item.context))
        properties = str(item.properties, "utf-8")
    except UnicodeDecodeError:
        raise BadEvent("BAD_UTF8", "The event is not valid UTF-8.") from None
    effects: Effects | None = None
    if kind == "track":
        if not item.event:
            raise BadEvent("NO_EVENT_NAME", "A track call needs `event`.")
        name = _name(item.event)
        properties = _object_text(properties, "properties")
    else:
        name, properties, effects = _other_call(kind, item, facts, properties)
    user = None if item.userId is None else clean_key("user_id", item.userId)
    anonymous = None if item.anonymousId is None else clean_key("anonymous_id", item.anonymousId)
    keys: tuple[str | None, ...] = facts.keys
    if item.traits is not _EMPTY and kind != "group":
        keys = (*keys, *_trait_keys(item))
    if keys:
        held = arrange((user, anonymous, *keys))
    elif user is not None:
        held = (user, anonymous)
    else:
        held = None if anonymous is None else (anonymous, None)
    if held is None:
        raise BadEvent("NO_IDENTIFIER", "The event names nobody: it needs a usable userId or anonymousId.")
    if kind == "alias":
        effects = Effects(links=_alias(item, user))
    occurred_ms, context_text = _when(item, sent, facts.text)
    end = facts.end or _CHANNEL_ENDS.get(item.channel or "") or facts.library_end
    event_id = item.messageId
    if not event_id or len(event_id) > _ID_LENGTH_MAX:
        event_id = _content_id(item, kind, sent, properties)
    event = Event(event_id, name.text, occurred_ms, held[0], held[1], properties, context_text, 0, effects, end)
    if name.looked_into or not facts.plain or kind not in {"track", "identify"} or "utm_" in properties:
        _looked_into(name, facts, event)
    return event


def _when(item: _Item, sent: _Sent, context: str) -> tuple[int, str]:
    """The corrected time of an item, and its context, marked when the time is a guess."""
    stamp = item.timestamp if item.timestamp is not None else item.originalTimestamp
    if stamp is None or stamp == "":
        return sent.now_ms, context
    ms = parsed_ms(stamp)
    corrected = ms + sent.skew
    if ms >= 0 and 0 <= corrected <= sent.horizon_ms:
        return corrected, context
    return sent.now_ms, marked(context, clamped(stamp))


@lru_cache(maxsize=_NAMES_MAX)
def _name(text: str) -> _Name:
    name = event_name(text)
    entry = BY_NAME.get(name)
    if (entry is None and name == text and name not in own_events.OWN) or (
        entry and not (entry.sign or entry.entrance)
    ):
        if len(_plain_names) >= _NAMES_MAX:
            _plain_names.clear()
        _plain_names.add(name)
    money, entrance = entry is not None and entry.sign != 0, entry is not None and entry.entrance
    return _Name(name, money or entrance or name in own_events.OWN, entrance, money)


def _may_be_deep(text: str) -> bool:
    """Whether JSON can nest deeper than DEPTH_MAX, from its length and its brackets."""
    if len(text) <= 4 * DEPTH_MAX and "[" not in text:
        return False
    return text.count("{") + text.count("[") > DEPTH_MAX


def _object_text(text: str, field: str) -> str:
    """A raw JSON object ready to be stored. Raises BadEvent for what is no object or nests too deep."""
    if text[:1] != "{":
        if text == "null":
            return "{}"
        raise BadEvent("BAD_PROPERTIES", f"`{field}` is not a JSON object.")
    if len(text) > _SURELY_FLAT and _may_be_deep(text):
        _loads_object(text)
    if "\\u0000" in text:
        return dumps(without_nul(_loads_object(text)))
    return text


def _loads_object(text: str) -> dict[str, Any]:
    try:
        value = loads(text)
    except TooDeep as error:
        raise BadEvent("TOO_DEEP", str(error)) from None
    return value if isinstance(value, dict) else {}


def _traits(item: _Item) -> dict[str, Any]:
    if item.traits is _EMPTY:
        return {}
    try:
        return without_nul(_loads_object(str(item.traits, "utf-8")))  # type: ignore[no-any-return]  # a dict stays one
    except UnicodeDecodeError:
        raise BadEvent("BAD_UTF8", "The traits are not valid UTF-8.") from None


def _trait_keys(item: _Item) -> tuple[str | None, ...]:
    traits = _traits(item)
    return clean_key("phone", traits.get("phone")), clean_key("email", traits.get("email"))


def _other_call(
    kind: str | None, item: _Item, facts: ContextFacts, properties: str
) -> tuple[_Name, str, Effects | None]:
    """Name, stored properties and effects of everything but track."""
    if kind == "identify":
        traits = {**facts.traits, **_traits(item)}
        effects = Effects(
            set={name: value for name, value in traits.items() if value is not None},
            unset=[name for name, value in traits.items() if value is None],
        )
        return _name("identify"), dumps(traits), effects if traits else None
    if kind in {"page", "screen"}:
        named = {key: value for key, value in (("name", item.name), ("category", item.category)) if value}
        return _name(kind or ""), _extended(_object_text(properties, "properties"), named), None
    if kind == "group":
        return _name("group"), dumps({**_traits(item), "groupId": text_of(item.groupId)}), None
    if kind == "alias":
        return _name("alias"), dumps({"previousId": text_of(item.previousId)}), None
    raise BadEvent("UNKNOWN_TYPE", f"{str(kind)[:64]!r} is none of {', '.join(sorted(KINDS))}.")


def _extended(text: str, more: Mapping[str, str]) -> str:
    """A JSON object text with those of `more` that it lacks."""
    missing = {key: value for key, value in more.items() if f'"{key}"' not in text}
    if not missing:
        return text
    rest = text[1:].lstrip()
    return dumps(missing)[:-1] + ("," if rest[:1] != "}" else "") + rest


def _looked_into(name: _Name, facts: ContextFacts, event: Event) -> None:
    """Adds effects and money to an event in which something needs a closer look."""
    found = event.effects or Effects()
    found.touch = facts.touch
    found.consent = facts.consents
    if name.looked_into or touch.may_touch(event.properties):
        properties = _loads_object(event.properties)
        event.value_fen = value_fen(name.text, properties) if name.money else 0
        found.touch = facts.touch | touch.of_properties(properties, entrance=name.entrance)
        own_events.apply(name.text, properties, found)
    event.effects = found if found != Effects() else None


def _alias(item: _Item, user: str | None) -> list[Link]:
    previous = clean_key("any", item.previousId)
    if user is None or previous is None:
        raise BadEvent("NO_IDENTIFIER", "An alias call needs a usable userId and previousId.")
    return [Link("alias", [previous, user])] if previous.partition(SEPARATOR)[2] != user.partition(SEPARATOR)[2] else []


def _content_id(item: _Item, kind: str | None, sent: _Sent, properties: str) -> str:
    """An id made of the content, where the sender gave none that can be kept. Without a time of its own an event is
    taken for new each time it comes."""
    stamp = item.timestamp if item.timestamp is not None else item.originalTimestamp
    named = (item.userId, item.anonymousId, item.event, item.name, item.previousId, item.groupId)
    parts = (
        [item.messageId] if item.messageId else [kind, *named, stamp, properties, sent.now_ms if stamp is None else 0]
    )
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(parts))
