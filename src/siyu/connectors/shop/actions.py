"""Verbs of connectors: keep one, and take in what a foreign shop delivers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from siyu.clock import Now
from siyu.collect.event import Rejected
from siyu.collect.frame import Arrival, frames_of
from siyu.connectors.sealed import seal, unseal
from siyu.connectors.shop import records
from siyu.connectors.shop.dialect import (
    DIALECTS,
    Delivery,
    Mapping,
    UnreadableDelivery,
    WrongMapping,
    WrongSignature,
    checked,
    event_of,
    verify,
)
from siyu.connectors.shop.records import Connector, Noted
from siyu.errors import NotFound
from siyu.store.postgres import Database
from siyu.stream.stream import Stream

KEPT: Final = "KEPT"
"""A step of an order, which is durable."""
IGNORED: Final = "IGNORED"
"""Of a topic that is not mapped."""
DETAIL_CHARS_MAX: Final = 300
BODY_BYTES_KEPT: Final = 32_768
"""Of an unreadable delivery, in its dead letter."""


class ConnectorNotFound(NotFound):
    """There is no such connector, or it is switched off."""

    code = "CONNECTOR_NOT_FOUND"


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A connector as it is asked for."""

    dialect: Literal["youzan", "shopify", "custom"]
    secret: Annotated[str, msgspec.Meta(min_length=8, max_length=500, pattern=r"^[^\x00]*$")]
    client_id: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00]*$")] = ""
    end: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,49}$")] = "shop"
    mapping: Mapping | None = None
    """Of a custom shop; of another one only what differs from its dialect as a whole."""
    active: bool = True


class Setting(msgspec.Struct, frozen=True):
    """What taking deliveries in needs of its process."""

    key: bytes
    zone: ZoneInfo
    now: Now


async def put(connection: Any, name: str, wanted: Wanted, key: bytes, now: datetime) -> Connector:
    """Keep a connector. Raises WrongMapping."""
    mapping = wanted.mapping or DIALECTS.get(wanted.dialect)
    if mapping is None:
        raise WrongMapping("A custom connector needs a mapping.", path="mapping")
    sealed = seal(wanted.secret, key)
    one = Connector(name, wanted.dialect, checked(mapping), wanted.end, wanted.client_id, sealed, wanted.active, now)
    await records.put(connection, one)
    return one


async def change(connection: Any, name: str, wanted: Wanted, key: bytes, now: datetime) -> Connector:
    """Keep a connector with the secret it has; that of `wanted` does not count. Raises ConnectorNotFound,
    WrongMapping."""
    before = await records.find(connection, name)
    if before is None:
        raise ConnectorNotFound(f"There is no connector {name[:50]!r}.")
    kept = msgspec.structs.replace(wanted, secret=unseal(before.secret, key))
    return await put(connection, name, kept, key, now)


async def receive(db: Database, stream: Stream, name: str, delivery: Delivery, setting: Setting) -> bool:
    """Take a delivery in; True when it told of a step, which is durable then. Unreadable ones become dead letters.

    Raises ConnectorNotFound, WrongSignature, EngineUnavailable: then the shop delivers again."""
    async with db.driver() as connection:
        found = await records.find(connection, name)
    if found is None or not found.active:
        raise ConnectorNotFound(f"There is no connector {name[:50]!r}.")
    try:
        verify(found.mapping, delivery, found.client_id, unseal(found.secret, setting.key))
    except WrongSignature as error:
        await _note(db, name, error.code, str(error), setting)
        raise
    rejected = []
    event = None
    try:
        event = event_of(found.mapping, delivery, name, setting.zone)
    except UnreadableDelivery as error:
        rejected.append(Rejected(error.code, str(error), delivery.body[:BODY_BYTES_KEPT], "", found.dialect))
    if event is None and not rejected:
        await _note(db, name, IGNORED, "", setting)
        return False
    received_ms = int(setting.now().timestamp() * 1000)
    arrival = Arrival([event] if event is not None else [], rejected, f"connector:{name}", found.end, received_ms)
    await stream.append(frames_of([arrival], stream.shards, stream.frame_bytes_max))
    code, detail = (KEPT, "") if event is not None else (rejected[0].code, rejected[0].reason)
    await _note(db, name, code, detail, setting)
    return event is not None


async def _note(db: Database, name: str, code: str, detail: str, setting: Setting) -> None:
    async with db.driver() as connection:
        await records.note(connection, name, Noted(code, setting.now(), detail[:DETAIL_CHARS_MAX].replace("\x00", "")))
