"""Who may call the API: a Bearer token, checked on the server for every route but those marked open."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from siyu.api.scopes import allows
from siyu.collect.actions import KeyRing
from siyu.errors import Forbidden, Unauthorized

Connection = ASGIConnection[Any, Any, Any, Any]


async def require_token(connection: Connection, handler: BaseRouteHandler) -> None:
    """A Litestar guard. Raises Unauthorized when there is no valid API token, Forbidden when it is not for this."""
    if handler.opt.get("open"):
        return
    ring: KeyRing = connection.app.state["key_ring"]
    token = bearer(connection.headers.get("authorization", ""))
    if token is None:
        raise Unauthorized("Send the API token as `Authorization: Bearer <token>`; `siyu keys create` makes one.")
    scope = await ring.scope(token)
    if scope is None:
        raise Unauthorized("This API token is not known or was revoked.")
    if not (isinstance(handler, HTTPRouteHandler) and allows(scope, handler.http_methods, handler.paths)):
        raise Forbidden(f"An API token of the scope {scope!r} may not do this.", scope=scope)


def bearer(authorization: str) -> str | None:
    """The token of an Authorization header, if it is one."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def may_call(ring: KeyRing, authorization: str, handler: HTTPRouteHandler) -> bool:
    """Whether the header carries a live API token for this handler. Raises EngineUnavailable."""
    token = bearer(authorization)
    scope = None if token is None else await ring.scope(token)
    return scope is not None and allows(scope, handler.http_methods, handler.paths)
