"""Routes of connectors of foreign shops: keeping them (with a token), and receiving (with a signature)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from litestar import Request, get, post, put
from litestar.params import Parameter

from siyu.clock import Now
from siyu.connectors.sealed import fingerprint
from siyu.connectors.shop import actions, records
from siyu.connectors.shop.actions import Setting, Wanted
from siyu.connectors.shop.dialect import Delivery
from siyu.connectors.shop.records import Connector
from siyu.idempotency import Key
from siyu.settings import Settings
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once
from siyu.stream.stream import Stream

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,39}$"
Named = Annotated[str, Parameter(pattern=NAME_PATTERN)]


class ConnectorView(msgspec.Struct, frozen=True):
    """A connector, without its secret."""

    name: str
    dialect: str
    end: str
    active: bool
    path: str
    """Where the shop delivers to."""
    changed_at: datetime


class Connectors(msgspec.Struct, frozen=True):
    """All of them."""

    items: list[ConnectorView]


class Received(msgspec.Struct, frozen=True):
    """`kept`: it told of a step of an order, which is durable now."""

    kept: bool
    code: int = 0
    msg: str = "success"
    """What youzan waits for."""


def _view(one: Connector) -> ConnectorView:
    return ConnectorView(one.name, one.dialect, one.end, one.active, f"/callbacks/{one.name}", one.changed_at)


@get("/api/connectors", summary="Connectors of foreign shops", tags=["connectors"])
async def list_connectors(db: Database) -> Connectors:
    """By name; without secrets."""
    async with db.driver() as connection:
        return Connectors([_view(one) for one in await records.connectors(connection)])


@put("/api/connectors/{name:str}", summary="Add or change a connector", tags=["connectors"])
async def put_connector(
    *, name: Named, data: Wanted, db: Database, now: Now, secret: bytes, idempotency_key: Key = None
) -> ConnectorView:
    """422 WRONG_MAPPING."""

    async def do(connection: Any) -> ConnectorView:
        return _view(await actions.put(connection, name, data, secret, now()))

    told = msgspec.structs.replace(data, secret=fingerprint(data.secret, secret))
    return await once(db, Asked(idempotency_key, f"connectors/{name}", told), ConnectorView, do, now)


@post("/callbacks/{name:str}", summary="A foreign shop delivers", status_code=200, tags=["connectors"])
async def receive(
    *, name: str, request: Request[Any, Any, Any], db: Database, stream: Stream, now: Now, settings: Settings,
    secret: bytes,
) -> Received:  # fmt: skip
    """Signed by the shop; durable when it is answered. 401 WRONG_SIGNATURE, 404 CONNECTOR_NOT_FOUND."""
    delivery = Delivery(dict(request.headers), await request.body())
    setting = Setting(secret, ZoneInfo(settings.timezone), now)
    return Received(await actions.receive(db, stream, name, delivery, setting))


routes: list[Any] = [list_connectors, put_connector]
callbacks: list[Any] = [receive]
