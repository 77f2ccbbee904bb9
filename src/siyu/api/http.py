"""Routes that belong to no room: the stream's state, dead letters, health, metrics, the test clock."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import Parameter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from siyu import __version__
from siyu.clock import MovableClock, Now
from siyu.collect.meters import Sums
from siyu.collect.report import Doors
from siyu.errors import MalformedRequest, NotFound, SiyuError
from siyu.idempotency import Key
from siyu.identity.outbox import until_sent
from siyu.ledger.seal_records import state as read_seal_state
from siyu.processor import actions as processing
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.store.replies import Asked, repeatable
from siyu.stream.stream import Stream

_PROBE_SECONDS = 3.0
_TOLD_SECONDS = 2.0


class StreamAnswer(msgspec.Struct):
    """`lag_seconds`: age of the oldest event accepted and not yet processed; 0 when all are."""

    accepted: int
    processed: int
    dead: int
    lag_seconds: float


class DeadLetterAnswer(msgspec.Struct):
    """What could not be processed. `body_base64` is there when the body is not text."""

    id: int
    source: str
    event_id: str
    code: str
    reason: str
    dialect: str
    received_at: datetime
    replayed_at: datetime | None
    body: str | None = None
    body_base64: str | None = None


class DeadLetterPage(msgspec.Struct):
    """Newest first; `next_before` continues."""

    items: list[DeadLetterAnswer]
    next_before: int | None


class Replayed(msgspec.Struct):
    """`events` went back into the stream; `rejected` were refused again."""

    id: int
    events: int
    rejected: int


class ClockRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Exactly one of both."""

    now: datetime | None = None
    advance_s: float | None = None


@get("/healthz", summary="Alive", opt={"open": True}, tags=["system"])
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok", "version": __version__}


@get("/readyz", summary="Ready, engine by engine", opt={"open": True}, tags=["system"])
async def readyz(db: Database, events: EventStore, stream: Stream, doors: Doors) -> Response[dict[str, Any]]:
    """200 when every engine answers and the doors can keep what they take, else 503 that names the one at fault."""
    probes = {"postgresql": db.ping(), "clickhouse": events.ping(), "stream": stream.accepted()}
    states = await asyncio.gather(*(_probe(probe) for probe in probes.values()))
    engines = dict(zip(probes, states, strict=True))
    for report in await doors():
        if report.engine is not None:
            engines[report.engine] = {"ok": False, "detail": report.trouble}
    ready = all(state["ok"] for state in engines.values())
    return Response({"ready": ready, "engines": engines}, status_code=200 if ready else 503)


async def _probe(call: Any) -> dict[str, Any]:
    try:
        await asyncio.wait_for(call, _PROBE_SECONDS)
    except TimeoutError:
        return {"ok": False, "detail": f"no answer within {_PROBE_SECONDS:g} s"}
    except (SiyuError, OSError) as error:
        return {"ok": False, "detail": str(error)}
    return {"ok": True}


@get("/metrics", summary="Prometheus metrics", opt={"open": True}, media_type="text/plain", tags=["system"])
async def metrics(db: Database, doors: Doors, now: Now) -> Response[bytes]:
    """Counters of the stream, the doors and the ledger's seals, and figures of this process, in Prometheus text."""
    registry = CollectorRegistry()
    registry.register(Sums(report.counts for report in await doors()))
    state = await processing.stream_state(db)
    async with db.driver() as connection:
        seals = await read_seal_state(connection)
    for name, value, text in (
        ("siyu_events_accepted", state.accepted, "Events made durable since the beginning"),
        ("siyu_events_processed", state.processed, "Events fully processed since the beginning"),
        ("siyu_dead_letters", state.dead, "Dead letters not replayed"),
        ("siyu_lag_seconds", state.lag_seconds, "Age of the oldest unprocessed frame"),
        ("siyu_ledger_sealed", seals.sealed, "Transfers of the ledger that are sealed"),
        ("siyu_ledger_unsealed", seals.waiting, "Transfers of the ledger that wait for their seal"),
        ("siyu_ledger_seal_lag_seconds", seals.lag_seconds(now()), "Age of the oldest transfer that is not sealed"),
    ):
        Gauge(name, text, registry=registry).set(value)
    # generate_latest() alone: what the library knows of this process.
    return Response(generate_latest(registry) + generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@get("/api/stream", summary="How far processing is", tags=["events"])
async def stream_state(db: Database) -> StreamAnswer:
    """Events made durable, fully processed, set aside as bad, and the lag.

    Counted are the events of every call that was answered before this one: what waits to come into the stream is
    waited for, two seconds at most."""
    await until_sent(db, _TOLD_SECONDS)
    state = await processing.stream_state(db)
    return StreamAnswer(state.accepted, state.processed, state.dead, round(state.lag_seconds, 3))


@get("/api/dead-letters", summary="What could not be processed", tags=["events"])
async def dead_letters(
    db: Database,
    limit: int = Parameter(default=50, ge=1, le=500),
    before: int | None = Parameter(default=None, ge=1, le=2**62),
    source: str | None = Parameter(default=None, max_length=100),
) -> DeadLetterPage:
    """Dead letters with their reason, newest first."""
    rows = await processing.dead_letters(db, limit=limit, before=before, source=source)
    items = [_letter(row) for row in rows]
    return DeadLetterPage(items, items[-1].id if len(items) == limit else None)


def _letter(row: Any) -> DeadLetterAnswer:
    answer = DeadLetterAnswer(
        *(row[name] for name in ("id", "source", "event_id", "code", "reason", "dialect", "received_at", "replayed_at"))
    )
    try:
        answer.body = row["body"].decode()
    except UnicodeDecodeError:
        answer.body_base64 = base64.b64encode(row["body"]).decode()
    return answer


@post("/api/dead-letters/{letter_id:int}/replay", summary="Try a dead letter again", status_code=200, tags=["events"])
async def replay(letter_id: int, db: Database, stream: Stream, now: Now, idempotency_key: Key = None) -> Replayed:
    """Parse the body again and append what is good to the stream. 404 when there is none, or it was replayed."""
    if not 0 < letter_id < 2**62:
        raise NotFound(f"There is no dead letter {letter_id}.")

    async def work() -> Replayed:
        return Replayed(letter_id, *await processing.replay_dead_letter(db, stream, letter_id, now()))

    return await repeatable(db, Asked(idempotency_key, f"dead-letters/{letter_id}", None), Replayed, work, now)


@post("/api/clock", summary="Move the test clock", status_code=200, tags=["system"])
async def move_clock(data: ClockRequest, now: Now) -> dict[str, str]:
    """Only under SIYU_TEST_CLOCK=1: set the server's clock or move it on."""
    if not isinstance(now, MovableClock):
        raise NotFound("The clock can be moved only when the server runs with SIYU_TEST_CLOCK=1.")
    if (data.now is None) == (data.advance_s is None):
        raise MalformedRequest('Give either {"now": ISO time} or {"advance_s": seconds}.')
    try:
        if data.now is not None:
            now.set(data.now if data.now.tzinfo else data.now.replace(tzinfo=UTC))
        else:
            now.advance(data.advance_s or 0.0)
        shown = now()
    except (OverflowError, ValueError) as error:
        raise MalformedRequest("That instant is beyond what a clock can show.") from error
    return {"now": shown.isoformat()}


routes = [healthz, readyz, metrics, stream_state, dead_letters, replay, move_clock]
