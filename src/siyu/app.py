"""The wiring: which rooms exist, what they get, and the processes they run in. Nothing else knows everything.

`python -m siyu.app web|collect|process|bootstrap`; `siyu serve` starts these with the engines' addresses in SIYU_*.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple, cast
from zoneinfo import ZoneInfo

import msgspec
import structlog
import uvicorn
import uvloop
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp, Receive, Scope, Send

from siyu import __version__
from siyu.analytics.http import routes as analytics_routes
from siyu.api.access import require_token
from siyu.api.http import routes as api_routes
from siyu.api.problems import on_http_exception, on_siyu_error, on_unexpected
from siyu.clock import MovableClock, Now, system_now
from siyu.collect import actions as keys
from siyu.collect.actions import KeyRing
from siyu.collect.http import Door
from siyu.console.actions import ensure_admin
from siyu.console.http import routes as console_routes
from siyu.errors import SiyuError
from siyu.identity.http import routes as identity_routes
from siyu.processor.actions import stream_state
from siyu.processor.reactions import IdentityReaction, ProfileReaction
from siyu.processor.run import keep_mirrored, keep_running, run_processor
from siyu.processor.scrub import scrub_dead_letters, scrub_stream
from siyu.processor.work import Reaction
from siyu.profile.http import routes as profile_routes
from siyu.profile.jobs import REFRESH_SECONDS, put_aside_superseded, refresh_rfm
from siyu.profile.rights import Scrub
from siyu.schema import complete_metadata
from siyu.settings import Settings, load_settings
from siyu.store.clickhouse import EventStore
from siyu.store.files import write_private
from siyu.store.migrate import migrate
from siyu.store.postgres import Database
from siyu.stream.postgres import PostgresStream
from siyu.stream.stream import Stream

log = structlog.get_logger()

_BACKLOG_SECONDS: Final = 0.25
ERASURE_SCRUBS: Final[tuple[Scrub, ...]] = (scrub_dead_letters, scrub_stream)
"""What rooms above the profile remove of an erased person, for the API and the command line alike."""
_CUTS_SECONDS: Final = 60.0
_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class Services(NamedTuple):
    """What rooms get handed."""

    settings: Settings
    db: Database
    events: EventStore
    stream: Stream
    now: Now
    secret: bytes


def installation_secret(settings: Settings) -> bytes:
    """SIYU_SECRET_KEY, else the one made at the first start and kept in SIYU_HOME/secret (0600)."""
    if settings.secret_key:
        return settings.secret_key.encode()
    path = settings.home_path / "secret"
    if not path.exists():
        write_private(path, secrets.token_hex(32).encode())
    return path.read_text().strip().encode()


@asynccontextmanager
async def open_services(settings: Settings, *, consume: bool = False) -> AsyncIterator[Services]:
    """The engines and the stream, connected. Raises EngineUnavailable."""
    if settings.database_url is None or settings.events_url is None:
        raise SiyuError("Start through `siyu serve`: the addresses of the engines are not set.")
    async with AsyncExitStack() as stack:
        db = await Database.open(settings.database_url)
        stack.push_async_callback(db.close)
        events = await EventStore.open(settings.events_url)
        stack.push_async_callback(events.close)
        stream = await open_stream(settings, db, consume=consume)
        stack.push_async_callback(stream.close)
        now: Now = MovableClock(settings.home_path / "test-clock") if settings.test_clock else system_now
        yield Services(settings, db, events, stream, now, installation_secret(settings))


async def open_stream(settings: Settings, db: Database, *, consume: bool) -> Stream:
    """The stream that the settings name."""
    if settings.stream_url is None:
        return PostgresStream(db)
    from siyu.stream.kafka import KafkaStream  # the client is an extra that most installations do without

    return await KafkaStream.open(settings.stream_url, db, consume=consume)


def api_app(services: Services, ring: KeyRing) -> Litestar:
    """Console and API as one Litestar application."""

    def provided(value: Any) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    names = ("settings", "db", "events", "stream", "now", "secret")
    api = Router(
        path="/",
        route_handlers=[*api_routes, *profile_routes, *identity_routes, *analytics_routes],
        guards=[require_token],
    )
    return Litestar(
        route_handlers=[api, *console_routes],
        dependencies={name: provided(getattr(services, name)) for name in names} | {"scrubs": provided(ERASURE_SCRUBS)},
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
                security_schemes={"token": SecurityScheme(type="http", scheme="bearer", description="API token")}
            ),
            security=[{"token": []}],
        ),
        request_max_body_size=services.settings.request_bytes_max,
        state=State({"key_ring": ring}),
        logging_config=None,
    )


def web_app(services: Services, backlog: Callable[[], int], *, doors_only: bool) -> ASGIApp:
    """Doors first, since they are hot and need no framework; everything else goes to Litestar."""
    ring = KeyRing(services.db)
    door = Door(services.stream, ring, services.settings, now=services.now, backlog=backlog)
    inner = api_app(services, ring)

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


async def prepare_stores(settings: Settings) -> None:
    """Bring both databases to this version's tables. Idempotent; safe when several processes start at once."""
    complete_metadata()
    async with open_services(settings) as services:
        await migrate(services.db)
        await services.events.create_all()


async def bootstrap(settings: Settings) -> dict[str, str]:
    """Tables, and at the first start the first keys and the first operator; what the start shows to people.

    What was made here is kept in SIYU_HOME/credentials.json (0600), so that later starts can show it again."""
    await prepare_stores(settings)
    path = settings.home_path / "credentials.json"
    known: dict[str, str] = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
    async with open_services(settings) as services:
        name, password = await ensure_admin(services.db, settings.admin_password, system_now())
        shown = await keys.ensure_first_keys(
            services.db, write_key=settings.write_key, api_token=settings.api_token, now=system_now()
        )
    fresh = {"console_user": name} | {key: value for key, value in shown.items() if value}
    if password:
        fresh["console_password"] = password
    credentials = known | fresh
    if credentials != known:
        write_private(path, msgspec.json.encode(credentials))
    return credentials


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


async def process(settings: Settings) -> None:
    """Process the stream until SIGTERM."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with open_services(settings, consume=True) as services:
        changed = asyncio.Event()

        def reactions() -> Sequence[Reaction]:
            return [
                IdentityReaction(services.events, services.secret, settings.identifiers_per_person_max, changed.set),
                ProfileReaction(services.now),
            ]

        beside = [
            keep_mirrored(services.db, services.events, changed, stopping),
            keep_running(
                "rfm cuts",
                lambda: refresh_rfm(services.db, services.now(), ZoneInfo(settings.timezone)),
                _CUTS_SECONDS,
                stopping,
            ),
            keep_running("old traits", lambda: put_aside_superseded(services.db), REFRESH_SECONDS, stopping),
        ]
        tasks = [asyncio.create_task(work) for work in beside]
        await run_processor(
            db=services.db,
            events=services.events,
            stream=services.stream,
            secret=services.secret,
            reactions=reactions,
            stopping=stopping,
        )
        await asyncio.gather(*tasks)


def configure_log() -> None:
    """One line per event on stderr; traces without local variables, which would show people's data."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def main(role: str) -> None:
    """Run one process of the given role; returns when it is told to stop."""
    configure_log()
    complete_metadata()
    settings = load_settings()
    if role == "bootstrap":
        sys.stdout.write(msgspec.json.encode(uvloop.run(bootstrap(settings))).decode() + "\n")
    elif role in ("web", "collect"):
        uvloop.run(serve_web(settings, doors_only=role == "collect"))
    elif role == "process":
        uvloop.run(process(settings))
    else:
        raise SystemExit(f"unknown role {role!r}: web, collect, process or bootstrap")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "web")
