"""Who may call the API: a Bearer token, checked on the server for every route but those marked open."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from siyu.collect.actions import KeyRing
from siyu.errors import Unauthorized

Connection = ASGIConnection[Any, Any, Any, Any]


async def require_token(connection: Connection, handler: BaseRouteHandler) -> None:
    """A Litestar guard. Raises Unauthorized when there is no valid API token."""
    if handler.opt.get("open"):
        return
    ring: KeyRing = connection.app.state["key_ring"]
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("Send the API token as `Authorization: Bearer <token>`; `siyu keys create` makes one.")
    if not await ring.is_api_token(token.strip()):
        raise Unauthorized("This API token is not known or was revoked.")
