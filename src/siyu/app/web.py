"""The process of the roles `web` and `collect`: doors, API and console behind one HTTP server."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast
from zoneinfo import ZoneInfo

import msgspec
from litestar import Litestar, Request, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, NotFoundException
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
from siyu.api.problems import on_http_exception, on_malformed_value, on_siyu_error, on_unexpected
from siyu.api.quick_posts import QuickPost, QuickPosts
from siyu.api.shortcuts import Shortcut, Shortcuts
from siyu.api.strict import StrictRequest
from siyu.app.connections import HttpServer, Listener, ask
from siyu.app.doors import REPORT_PATH, Backlog, Entrance, answer_json, channels, http_config, watching
from siyu.app.scrubs import ERASURE_SCRUBS, EXPORT_FILES
from siyu.app.selling import order_tools
from siyu.app.services import Services, open_services
from siyu.calendar.http import routes as calendar_routes
from siyu.collect.actions import KeyRing
from siyu.collect.http import Door
from siyu.collect.report import DoorReport, Doors, report_of
from siyu.connectors.miniprogram.http import logins as mini_program_logins
from siyu.connectors.miniprogram.http import routes as mini_program_routes
from siyu.connectors.miniprogram.wechat import WeChat
from siyu.connectors.shop.http import callbacks as shop_callbacks
from siyu.connectors.shop.http import routes as connector_routes
from siyu.console.http import routes as console_routes
from siyu.coupons.http import redeem
from siyu.coupons.http import routes as coupon_routes
from siyu.coupons.http_manage import routes as promotion_routes
from siyu.coupons.request import Redeem
from siyu.coupons.till import Till
from siyu.dimensions.http import routes as dimension_routes
from siyu.errors import SiyuError
from siyu.identity.http import routes as identity_routes
from siyu.ledger.http import routes as currency_routes
from siyu.ledger.http_seals import routes as seal_routes
from siyu.loyalty import Points
from siyu.loyalty.http import earn, spend, transfer
from siyu.loyalty.http import routes as loyalty_routes
from siyu.loyalty.http_explain import routes as explain_routes
from siyu.loyalty.newcomers import Newcomers
from siyu.loyalty.request import Earn, Give, Spend
from siyu.membership.http import routes as membership_routes
from siyu.profile.http import lookup_person, page_limit, person_timeline, show_person
from siyu.profile.http import routes as profile_routes
from siyu.segments.http import routes as segment_routes
from siyu.segments.rules_http import routes as rule_routes
from siyu.settings import Settings
from siyu.shop import Orders
from siyu.shop.http import place_order
from siyu.shop.http import routes as order_routes
from siyu.shop.http_mall import routes as mall_routes
from siyu.shop.http_payments import callbacks as payment_callbacks
from siyu.shop.http_payments import routes as payment_routes
from siyu.shop.http_products import routes as product_routes
from siyu.shop.products import Stock
from siyu.shop.request import Place

REPORT_SECONDS_MAX: Final = 2.5

SHORTCUTS: Final = (
    Shortcut(lookup_person, {"kind": str, "value": str}, {}),
    Shortcut(show_person, {}, {}),
    Shortcut(person_timeline, {}, {"limit": page_limit}),
)
QUICK_POSTS: Final = (
    QuickPost(earn, Earn),
    QuickPost(spend, Spend),
    QuickPost(transfer, Give),
    QuickPost(redeem, Redeem),
    QuickPost(place_order, Place),
)
PLAIN_ROUTES: Final = (
    *api_routes,
    *profile_routes,
    *identity_routes,
    *analytics_routes,
    *rule_routes,
    *segment_routes,
    *dimension_routes,
    *calendar_routes,
    *seal_routes,
    *mini_program_routes,
)
VALUE_ROUTES: Final = (
    *currency_routes,
    *loyalty_routes,
    *explain_routes,
    *membership_routes,
    *coupon_routes,
    *promotion_routes,
    *order_routes,
    *payment_routes,
    *product_routes,
    *mall_routes,
    *connector_routes,
)
"""They give and take value: a body that does not fit is 422 here."""
_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/mp_login"})


class Desks(NamedTuple):
    """Where requests about value are done in groups."""

    points: Points
    orders: Orders
    till: Till
    newcomers: Newcomers


def api_app(services: Services, ring: KeyRing, doors: Doors, desks: Desks) -> Litestar:
    """Console and API as one Litestar application."""
    injected = _injected(services, doors, desks)
    return Litestar(
        route_handlers=[*_routers(), *shop_callbacks, *payment_callbacks, *mini_program_logins, *console_routes],
        dependencies={name: _provided(value) for name, value in injected.items()},
        exception_handlers={SiyuError: on_siyu_error, HTTPException: on_http_exception, Exception: on_unexpected},
        openapi_config=_description(),
        request_max_body_size=services.settings.request_bytes_max,
        state=State({"key_ring": ring}),
        logging_config=None,
    )


def _description() -> OpenAPIConfig:
    """The API's description, made when it is first asked for: a third of a second of every start else."""
    lock = asyncio.Lock()
    described = False

    def describe(app: Litestar) -> None:
        _describe_problems(app.openapi_schema)
        # Litestar replaces the schemas of its configuration by those it found itself.
        app.openapi_schema.components.schemas.update(question_schemas)

    async def complete(request: Request[Any, Any, Any]) -> None:
        nonlocal described
        if "path" in request.path_params:  # Litestar's page, in HTML, for everything else right below /api
            raise NotFoundException
        async with lock:
            if not described:
                await asyncio.to_thread(describe, request.app)
                described = True

    return OpenAPIConfig(
        title="Siyu",
        version=__version__,
        components=Components(
            security_schemes={"token": SecurityScheme(type="http", scheme="bearer", description="API token")},
        ),
        security=[{"token": []}],
        openapi_router=Router(
            "/api", route_handlers=[], include_in_schema=False, dto=None, return_dto=None, before_request=complete
        ),
    )


def _routers() -> list[Router]:
    """The routes that ask for a token."""
    return [
        Router(path="/", route_handlers=list(PLAIN_ROUTES), guards=[require_token]),
        Router(
            path="/",
            route_handlers=list(VALUE_ROUTES),
            guards=[require_token],
            exception_handlers={HTTPException: on_malformed_value},
            request_class=StrictRequest,
        ),
    ]


def _provided(value: Any) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)


def _injected(services: Services, doors: Doors, desks: Desks) -> dict[str, Any]:
    """What handlers may ask for by name."""
    return services._asdict() | {
        "scrubs": ERASURE_SCRUBS,
        "files": EXPORT_FILES,
        "doors": doors,
        "desk": desks.points,
        "pricing": desks.orders.tools.pricing,
        "till": desks.till,
        "orders": desks.orders,
        "newcomers": desks.newcomers,
        "wechat": WeChat(services.settings.wechat_api_url),
        "stock_desk": Stock(services.db, desks.orders.tools.ledger, services.now),
    }


def _describe_problems(schema: OpenAPI) -> None:
    """Every refusal is described as what it is: problem details."""
    body = OpenAPIMediaType(
        schema=Schema(
            type=OpenAPIType.OBJECT,
            properties={
                name: Schema(type=OpenAPIType.INTEGER if name == "status" else OpenAPIType.STRING)
                for name in ("type", "title", "title_zh", "status", "detail", "detail_zh", "code")
            },
            required=["title", "status", "detail", "code"],
        )
    )
    for item in (schema.paths or {}).values():
        for operation in (item.get, item.post, item.put, item.patch, item.delete):
            for status, response in (operation.responses or {}).items() if operation else ():
                if status.startswith("4") and isinstance(response, OpenAPIResponse):
                    response.content = {"application/problem+json": body}


def site(services: Services, entrance: Entrance, doors: Sequence[socket.socket] = ()) -> ASGIApp:
    """Everything but the doors. `doors`: the channels to the processes that have the others."""

    async def reports() -> Sequence[DoorReport]:
        return [report_of(entrance.door.intake), *await asyncio.gather(*map(_report_of, doors))]

    desk = Points(services.db, services.now, ZoneInfo(services.settings.timezone), services.secret)
    orders = Orders(services.db, services.now, order_tools(services, desk.ledger))
    till = Till(services.db, services.now, orders.tools.pricing)
    desks = Desks(desk, orders, till, Newcomers(services.db, services.now, services.secret))
    framework = cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, api_app(services, entrance.ring, reports, desks))))
    shortcuts = Shortcuts(SHORTCUTS, services._asdict(), entrance.ring)
    quick_services = {"desk": desk, "till": till, "orders": orders, "newcomers": desks.newcomers}
    quick_posts = QuickPosts(QUICK_POSTS, quick_services, entrance.ring)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            if (body := await shortcuts.answer(scope)) is not None:
                await answer_json(send, body)
                return
            if quick_posts.handles(scope):
                await quick_posts(cast(Any, scope), cast(Any, receive), cast(Any, send), cast(Any, framework))
                return
        await framework(scope, receive, send)

    return app


async def _report_of(doors: socket.socket) -> DoorReport:
    try:
        return msgspec.json.decode(await ask(doors, REPORT_PATH, REPORT_SECONDS_MAX), type=DoorReport)
    except (OSError, TimeoutError, msgspec.MsgspecError) as error:
        return DoorReport({}, "doors", f"A process of the doors does not answer: {str(error) or 'no answer in time'}")


def web_app(
    services: Services, entrance: Entrance, *, doors_only: bool, doors: Sequence[socket.socket] = ()
) -> ASGIApp:
    """Doors first, since they are hot and need no framework; everything else goes to Litestar."""
    door = entrance.door
    inner = site(services, entrance, doors)

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


async def serve_web(settings: Settings, *, doors_only: bool) -> None:
    """Answer HTTP on SIYU_LISTEN_FD, else on host and port, until SIGTERM."""
    async with open_services(settings) as services:
        backlog = Backlog(services.db)
        async with watching(backlog):
            ring = KeyRing(services.db)
            door = Door(services.stream, ring, settings, now=services.now, backlog=backlog)
            doors = channels()
            app = web_app(services, Entrance(door, ring), doors_only=doors_only, doors=doors)
            server = HttpServer(http_config(cast(Any, app), settings))
            inherited = os.environ.get("SIYU_LISTEN_FD")
            port = socket.socket(fileno=int(inherited)) if inherited else server.config.bind_socket()
            await server.serve_from(Listener(port, door.handles, doors))
