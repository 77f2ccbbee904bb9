"""Verbs of connectors: keep one, and take in what a foreign shop delivers."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from cryptography.fernet import Fernet

from siyu.clock import Now
from siyu.collect.event import Rejected
from siyu.collect.frame import Arrival, frames_of
from siyu.connectors.shop import records
from siyu.connectors.shop.dialect import (
    DIALECTS,
    Delivery,
    Mapping,
    UnreadableDelivery,
    WrongMapping,
    checked,
    event_of,
    verify,
)
from siyu.connectors.shop.records import Connector
from siyu.errors import NotFound
from siyu.store.postgres import Database
from siyu.stream.stream import Stream

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


def seal(secret: str, key: bytes) -> bytes:
    """A secret as it is stored."""
    return _box(key).encrypt(secret.encode())


def unseal(sealed: bytes, key: bytes) -> str:
    """Inverse of `seal`."""
    return _box(key).decrypt(sealed).decode()


def _box(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"connector secrets\n" + key).digest()))


async def put(connection: Any, name: str, wanted: Wanted, key: bytes, now: datetime) -> Connector:
    """Keep a connector. Raises WrongMapping."""
    mapping = wanted.mapping or DIALECTS.get(wanted.dialect)
    if mapping is None:
        raise WrongMapping("A custom connector needs a mapping.", path="mapping")
    sealed = seal(wanted.secret, key)
    one = Connector(name, wanted.dialect, checked(mapping), wanted.end, wanted.client_id, sealed, wanted.active, now)
    await records.put(connection, one)
    return one


async def receive(db: Database, stream: Stream, name: str, delivery: Delivery, setting: Setting) -> bool:
    """Take a delivery in; True when it told of a step, which is durable then. Unreadable ones become dead letters.

    Raises ConnectorNotFound, WrongSignature, EngineUnavailable: then the shop delivers again."""
    async with db.driver() as connection:
        found = await records.find(connection, name)
    if found is None or not found.active:
        raise ConnectorNotFound(f"There is no connector {name[:50]!r}.")
    verify(found.mapping, delivery, found.client_id, unseal(found.secret, setting.key))
    rejected = []
    event = None
    try:
        event = event_of(found.mapping, delivery, name, setting.zone)
    except UnreadableDelivery as error:
        rejected.append(Rejected(error.code, str(error), delivery.body[:BODY_BYTES_KEPT], "", found.dialect))
    if event is None and not rejected:
        return False
    received_ms = int(setting.now().timestamp() * 1000)
    arrival = Arrival([event] if event is not None else [], rejected, f"connector:{name}", found.end, received_ms)
    await stream.append(frames_of([arrival], stream.shards, stream.frame_bytes_max))
    return event is not None
