"""One Segment call of any kind → an event, with everything it may carry. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import xxhash

from siyu.collect import own_events, touch
from siyu.collect.catalogue import BY_NAME, value_fen
from siyu.collect.event import Effects, Event, Link
from siyu.collect.identifiers import arrange, clean_key, text_of
from siyu.collect.loose_json import TooDeep, dumps, loads, without_nul
from siyu.collect.marks import clamped, event_name, marked, parsed_ms
from siyu.collect.parsed import DEPTH_MAX, BadEvent
from siyu.collect.segment_context import ContextFacts, cached_facts
from siyu.collect.segment_item import EMPTY, Item, Sent
from siyu.ids import SEPARATOR

KINDS: Final = frozenset(("track", "identify", "page", "screen", "group", "alias"))
ID_LENGTH_MAX: Final = 255
SURELY_FLAT: Final = 2 * DEPTH_MAX
"""Shorter JSON cannot nest deeper than DEPTH_MAX."""
CHANNEL_ENDS: Final = {"web": "web", "mobile": "app"}
_NAMES_MAX: Final = 10_000
plain_names: set[str] = set()
"""Event names met that ask for nothing but being stored."""


class Name(NamedTuple):
    """An event name looked at once."""

    text: str
    looked_into: bool
    """Its properties matter: money, a way in, or our own vocabulary."""
    entrance: bool
    money: bool


def event_of(item: Item, sent: Sent, path_kind: str | None) -> Event:
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
    if item.traits is not EMPTY and kind != "group":
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
    end = facts.end or CHANNEL_ENDS.get(item.channel or "") or facts.library_end
    event_id = item.messageId
    if not event_id or len(event_id) > ID_LENGTH_MAX:
        event_id = _content_id(item, kind, sent, properties)
    event = Event(event_id, name.text, occurred_ms, held[0], held[1], properties, context_text, 0, effects, end)
    if name.looked_into or not facts.plain or kind not in {"track", "identify"} or "utm_" in properties:
        _looked_into(name, facts, event)
    return event


def _when(item: Item, sent: Sent, context: str) -> tuple[int, str]:
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
def _name(text: str) -> Name:
    name = event_name(text)
    entry = BY_NAME.get(name)
    if (entry is None and name == text and name not in own_events.OWN) or (
        entry and not (entry.sign or entry.entrance)
    ):
        if len(plain_names) >= _NAMES_MAX:
            plain_names.clear()
        plain_names.add(name)
    money, entrance = entry is not None and entry.sign != 0, entry is not None and entry.entrance
    return Name(name, money or entrance or name in own_events.OWN, entrance, money)


def may_be_deep(text: str) -> bool:
    """Whether JSON can nest deeper than DEPTH_MAX, from its length and its brackets."""
    if len(text) <= 4 * DEPTH_MAX and "[" not in text:
        return False
    return text.count("{") + text.count("[") > DEPTH_MAX


def _object_text(text: str, field: str) -> str:
    """A raw JSON object ready to be stored. Raises BadEvent for what is no object or nests too deep."""
    if text[:1] != "{":
        if text in {"null", "[]"}:  # PHP writes an empty map as a list
            return "{}"
        raise BadEvent("BAD_PROPERTIES", f"`{field}` is not a JSON object.")
    if len(text) > SURELY_FLAT and may_be_deep(text):
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


def _traits(item: Item) -> dict[str, Any]:
    if item.traits is EMPTY:
        return {}
    try:
        return without_nul(_loads_object(str(item.traits, "utf-8")))  # type: ignore[no-any-return]  # a dict stays one
    except UnicodeDecodeError:
        raise BadEvent("BAD_UTF8", "The traits are not valid UTF-8.") from None


def _trait_keys(item: Item) -> tuple[str | None, ...]:
    traits = _traits(item)
    return clean_key("phone", traits.get("phone")), clean_key("email", traits.get("email"))


def _other_call(kind: str | None, item: Item, facts: ContextFacts, properties: str) -> tuple[Name, str, Effects | None]:
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


def _looked_into(name: Name, facts: ContextFacts, event: Event) -> None:
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


def _alias(item: Item, user: str | None) -> list[Link]:
    previous = clean_key("any", item.previousId)
    if user is None or previous is None:
        raise BadEvent("NO_IDENTIFIER", "An alias call needs a usable userId and previousId.")
    return [Link("alias", [previous, user])] if previous.partition(SEPARATOR)[2] != user.partition(SEPARATOR)[2] else []


def _content_id(item: Item, kind: str | None, sent: Sent, properties: str) -> str:
    """An id made of the content, where the sender gave none that can be kept. Without a time of its own an event is
    taken for new each time it comes."""
    stamp = item.timestamp if item.timestamp is not None else item.originalTimestamp
    named = (item.userId, item.anonymousId, item.event, item.name, item.previousId, item.groupId)
    parts = (
        [item.messageId] if item.messageId else [kind, *named, stamp, properties, sent.now_ms if stamp is None else 0]
    )
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(parts))
