"""Dead letters tried again: the body goes back through its dialect into the stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from siyu.collect import dialects
from siyu.collect.event import Effects, Event, Rejected
from siyu.collect.frame import effects_decoder
from siyu.collect.parsed import Limits, UnusableBody
from siyu.errors import NotFound
from siyu.settings import Settings


class EventBody(msgspec.Struct):
    """An event of ours as a dead letter's body (dialect `event`)."""

    event_id: str
    name: str
    occurred_ms: int
    anchor: str
    others: str | None
    properties: str
    context: str
    value_fen: int
    effects: Effects | None
    end: str


def event_body(columns: Mapping[str, Any]) -> bytes:
    """A row of `collect.frame.SCHEMA` as JSON."""
    effects = columns["effects"]
    return msgspec.json.encode(
        EventBody(
            columns["event_id"],
            columns["name"],
            int(columns["occurred_at"].timestamp() * 1000),
            columns["anchor"],
            columns["others"],
            columns["properties"],
            columns["context"],
            columns["value_fen"],
            effects_decoder.decode(effects) if effects else None,
            columns["end"],
        )
    )


def event_of_body(body: bytes) -> Event:
    """Inverse of `event_body`. Raises msgspec.DecodeError."""
    return msgspec.json.decode(body, type=Event)


def parse_again(dialect: str, body: bytes, received_ms: int) -> tuple[list[Event], list[Rejected]]:
    """What the body holds today: the rules of a dialect may have become more lenient since. Raises NotFound for a
    body that no dialect can read (a damaged frame)."""
    if dialect == "event":
        return [event_of_body(body)], []
    if dialect in dialects.DIALECTS:
        try:
            return dialects.parse_again(dialect, body, received_ms, Limits.of(Settings()))
        except UnusableBody as error:
            return [], [Rejected(error.code, str(error), body, "", dialect)]
    raise NotFound("This letter cannot be replayed: it is no event of a known dialect.")
