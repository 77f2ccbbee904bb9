"""The Segment and RudderStack dialect → events. Pure.

The common case (a batch of track calls) is decoded once into typed items whose `properties` and `context` stay raw
text: they are looked into only when something in them is needed. What the typed decoder refuses is read again, item by
item, with indulgence, so that one bad event never costs its neighbours.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from siyu.collect.body import unwrap
from siyu.collect.columns import EventColumns
from siyu.collect.event import Event, Rejected
from siyu.collect.instants import skew_ms
from siyu.collect.loose_json import dumps, loads, split_items
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
from siyu.collect.segment_call import event_of
from siyu.collect.segment_context import merged
from siyu.collect.segment_item import EMPTY, MALFORMED, Body, Item, Sent, decode_body, decode_raw, loose_item
from siyu.collect.segment_track import columns_of

DIALECT: Final = "segment"


class _Batch(NamedTuple):
    """Typed items and all that is known about them."""

    items: list[Item]
    raw: bytes
    many: bool
    sent: Sent
    limits: Limits
    kind: str | None


def parse(body: bytes, now_ms: int, limits: Limits, kind: str | None = None) -> Parsed:
    """The events of a `/v1/*` body; `kind` is the call that the path names, for bodies without `type`.

    Raises UnusableBody and its kin (400) and RequestTooLarge (413) when nothing in the body can be used."""
    raw = unwrap(body, limits.request_bytes)
    try:
        sent = decode_body(raw)
    except MALFORMED:
        return _parse_loosely(raw, now_ms, limits, kind)
    keys = (sent.writeKey,) if sent.writeKey else ()
    if sent.batch is None:
        return _one_by_one(_Batch([sent], raw, False, _shared(sent, now_ms, limits), limits, kind), keys)
    _check_batch(len(sent.batch), len(raw), limits)
    return _parsed(_Batch(_with_context(sent), raw, True, _shared(sent, now_ms, limits), limits, kind), keys)


def _shared(sent: Body, now_ms: int, limits: Limits) -> Sent:
    sent_at = sent.sentAt
    if sent_at is None and sent.batch:
        sent_at = sent.batch[0].sentAt
    return Sent(now_ms, skew_ms(sent_at, now_ms), now_ms + limits.future_ms)


def _check_batch(events: int, size: int, limits: Limits) -> None:
    if events == 0:
        raise EmptyBatch("The batch holds no event.")
    if size > limits.batch_bytes:
        raise BatchTooLarge(f"A batch may have {limits.batch_bytes} bytes, this one has {size}.")
    if events > limits.batch_events:
        raise BatchTooLarge(f"A batch may hold {limits.batch_events} events, this one holds {events}.")


def _with_context(sent: Body) -> list[Item]:
    """The batch's items, each with the batch's own context beneath its own."""
    items = sent.batch or []
    if sent.context is not EMPTY and (common := bytes(sent.context)) not in (b"{}", b"null"):
        for item in items:
            item.context = msgspec.Raw(merged(common, bytes(item.context)))
    return items


def _parsed(batch: _Batch, keys: tuple[str, ...]) -> Parsed:
    """Events of typed items. Only when one is refused, or is over the event limit, are they looked at as sent."""
    try:
        events = columns_of(batch.items, batch.sent, batch.kind)
    except (BadEvent, UnicodeDecodeError):
        return _one_by_one(batch, keys)
    if len(batch.raw) > batch.limits.event_bytes and _has_large(batch, events):
        return _one_by_one(batch, keys)
    return Parsed(events, [], keys)


def _has_large(batch: _Batch, events: EventColumns) -> bool:
    """Whether an item is over the event limit. Weighed exactly only when what is easily counted leaves room for it."""
    limit = batch.limits.event_bytes
    properties, contexts = list(map(len, events.properties)), list(map(len, events.contexts))
    rest = len(batch.raw) - sum(properties) - sum(contexts)
    if rest + max(properties) + max(contexts) <= limit:
        return False
    return any(len(bytes(piece)) > limit for piece in decode_raw(batch.raw).batch)


def _one_by_one(batch: _Batch, keys: tuple[str, ...]) -> Parsed:
    """As `_parsed`, with each item's own bytes at hand: to weigh it, and to keep it when it is refused."""
    pieces = [bytes(piece) for piece in decode_raw(batch.raw).batch] if batch.many else [batch.raw]
    events: list[Event] = []
    letters: list[Rejected] = []
    for item, piece in zip(batch.items, pieces, strict=True):
        try:
            if len(piece) > batch.limits.event_bytes:
                raise _too_large(len(piece), batch.limits)
            events.append(event_of(item, batch.sent, batch.kind))
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
    sent = Sent(now_ms, skew_ms(outer.get("sentAt"), now_ms), now_ms + limits.future_ms)
    events: list[Event] = []
    letters: list[Rejected] = []
    for piece in pieces:
        item: Item | None = None
        try:
            if len(piece) > limits.event_bytes:
                raise _too_large(len(piece), limits)
            item = loose_item(piece)
            if isinstance(common, dict) and common:
                item.context = msgspec.Raw(merged(dumps(common).encode(), bytes(item.context)))
            events.append(event_of(item, sent, kind))
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
