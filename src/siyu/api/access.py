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
    authorization = connection.headers.get("authorization", "")
    if bearer(authorization) is None:
        raise Unauthorized("Send the API token as `Authorization: Bearer <token>`; `siyu keys create` makes one.")
    if not await may_call(ring, authorization):
        raise Unauthorized("This API token is not known or was revoked.")


def bearer(authorization: str) -> str | None:
    """The token of an Authorization header, if it is one."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def may_call(ring: KeyRing, authorization: str) -> bool:
    """Whether the header carries a live API token. Raises EngineUnavailable."""
    token = bearer(authorization)
    return token is not None and await ring.is_api_token(token)
