"""The calls of a Segment body as typed items, whose `properties`, `context` and `traits` stay raw text. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from siyu.collect.identifiers import text_of
from siyu.collect.loose_json import dumps
from siyu.collect.loose_object import loads_object

EMPTY: Final = msgspec.Raw(b"{}")
"""Stands in a raw field that was not sent."""
MALFORMED: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What the typed decoders raise."""


class Item(msgspec.Struct, gc=False):
    type: str | None = None
    userId: str | int | float | None = None
    anonymousId: str | int | float | None = None
    event: str | None = None
    messageId: str | None = None
    timestamp: str | int | float | None = None
    properties: msgspec.Raw = EMPTY
    context: msgspec.Raw = EMPTY
    traits: msgspec.Raw = EMPTY
    originalTimestamp: str | int | float | None = None
    name: str | None = None
    category: str | None = None
    previousId: str | int | float | None = None
    groupId: str | int | float | None = None
    channel: str | None = None
    sentAt: str | int | float | None = None


class Body(Item, gc=False):
    """A batch (then the item's fields are the batch's own) or a single call."""

    batch: list[Item] | None = None
    writeKey: str | None = None


class RawBody(msgspec.Struct, gc=False):
    """A batch as its items' own bytes."""

    batch: list[msgspec.Raw]


class Sent(NamedTuple):
    """What the items of one body share."""

    now_ms: int
    skew: int
    horizon_ms: int
    """Nothing happens later than this."""


decode_body = msgspec.json.Decoder(Body).decode
decode_raw = msgspec.json.Decoder(RawBody).decode
_decode_item = msgspec.json.Decoder(Item).decode


def loose_item(piece: bytes) -> Item:
    """An item whatever the types of its fields. Raises BadEvent."""
    try:
        return _decode_item(piece)
    except MALFORMED:
        pass
    value = loads_object(piece)
    item = Item()
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
