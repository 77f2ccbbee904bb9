"""The process of the roles `web` and `collect`: doors, API and console behind one HTTP server."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, Final, cast

import structlog
import uvicorn
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import (
    Components,
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Schema,
    SecurityScheme,
)
from litestar.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from siyu import __version__
from siyu.analytics.http import routes as analytics_routes
from siyu.analytics.http import schemas as question_schemas
from siyu.api.access import require_token
from siyu.api.http import routes as api_routes
from siyu.api.problems import on_http_exception, on_siyu_error, on_unexpected
from siyu.app.scrubs import ERASURE_SCRUBS
from siyu.app.services import Services, open_services
from siyu.collect.actions import KeyRing
from siyu.collect.http import Door
from siyu.collect.intake import Intake
from siyu.console.http import routes as console_routes
from siyu.errors import SiyuError
from siyu.identity.http import routes as identity_routes
from siyu.processor.actions import stream_state
from siyu.profile.http import routes as profile_routes
from siyu.segments.http import routes as segment_routes
from siyu.segments.rules_http import routes as rule_routes
from siyu.settings import Settings
from siyu.store.postgres import Database

log = structlog.get_logger()

_BACKLOG_SECONDS: Final = 0.25
_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})


def api_app(services: Services, ring: KeyRing, intake: Intake) -> Litestar:
    """Console and API as one Litestar application."""

    def provided(value: Any) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    names = ("settings", "db", "events", "stream", "now", "secret")
    api = Router(
        path="/",
        route_handlers=[
            *api_routes,
            *profile_routes,
            *identity_routes,
            *analytics_routes,
            *rule_routes,
            *segment_routes,
        ],
        guards=[require_token],
    )
    app = Litestar(
        route_handlers=[api, *console_routes],
        dependencies={name: provided(getattr(services, name)) for name in names}
        | {"scrubs": provided(ERASURE_SCRUBS), "intake": provided(intake)},
        exception_handlers={
            SiyuError: on_siyu_error,
            HTTPException: on_http_exception,
            Exception: on_unexpected,
        },
        openapi_config=OpenAPIConfig(
            title="Siyu",
            version=__version__,
            path="/api",
            components=Components(
                security_schemes={"token": SecurityScheme(type="http", scheme="bearer", description="API token")},
            ),
            security=[{"token": []}],
        ),
        request_max_body_size=services.settings.request_bytes_max,
        state=State({"key_ring": ring}),
        logging_config=None,
    )
    _describe_problems(app.openapi_schema)
    # Litestar replaces the schemas of its configuration by those it found itself.
    app.openapi_schema.components.schemas.update(question_schemas)
    return app


def _describe_problems(schema: OpenAPI) -> None:
    """Every refusal is described as what it is: problem details."""
    body = OpenAPIMediaType(
        schema=Schema(
            type=OpenAPIType.OBJECT,
            properties={
                name: Schema(type=OpenAPIType.INTEGER if name == "status" else OpenAPIType.STRING)
                for name in ("type", "title", "status", "detail", "code")
            },
            required=["title", "status", "detail", "code"],
        )
    )
    for item in (schema.paths or {}).values():
        for operation in (item.get, item.post, item.put, item.patch, item.delete):
            for status, response in (operation.responses or {}).items() if operation else ():
                if status.startswith("4") and isinstance(response, OpenAPIResponse):
                    response.content = {"application/problem+json": body}


def web_app(services: Services, backlog: Callable[[], int], *, doors_only: bool) -> ASGIApp:
    """Doors first, since they are hot and need no framework; everything else goes to Litestar."""
    ring = KeyRing(services.db)
    door = Door(services.stream, ring, services.settings, now=services.now, backlog=backlog)
    inner = cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, api_app(services, ring, door.intake))))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if scope["type"] == ScopeType.HTTP:
            if door.handles(path):
                await door(cast(Any, scope), cast(Any, receive), cast(Any, send))
                return
            if doors_only and path not in _OPEN_PATHS:
                scope["path"] = "/not-served-by-this-role"
        await inner(scope, receive, send)

    return app


class Backlog:
    """How many events wait to be processed, read at most four times a second."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.waiting = 0

    def __call__(self) -> int:
        return self.waiting

    async def watch(self) -> None:
        """Keep `waiting` fresh until cancelled."""
        while True:
            try:
                state = await stream_state(self._db)
                self.waiting = state.accepted - state.processed
            except SiyuError as error:
                log.warning("backlog unknown", error=str(error))
            await asyncio.sleep(_BACKLOG_SECONDS)


async def serve_web(settings: Settings, *, doors_only: bool) -> None:
    """Answer HTTP on SIYU_LISTEN_FD, else on host and port, until SIGTERM."""
    async with open_services(settings) as services:
        backlog = Backlog(services.db)
        watching = asyncio.create_task(backlog.watch())
        app = web_app(services, backlog, doors_only=doors_only)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            lifespan="off",
            http="httptools",
            ws="none",
            log_config=None,
            proxy_headers=False,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        inherited = os.environ.get("SIYU_LISTEN_FD")
        sockets = [socket.socket(fileno=int(inherited))] if inherited else None
        try:
            await uvicorn.Server(config).serve(sockets=sockets)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
