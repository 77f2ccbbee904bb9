"""Sources: write keys and API tokens, snippets, what arrived, dead letters."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any, Final, NamedTuple, cast, get_args

from litestar import Response, get, post

from siyu.analytics import overview as reads
from siyu.analytics.overview import Arrivals
from siyu.collect import actions as keys
from siyu.collect.keys import AccessKey, KeyKind, Scope
from siyu.console.drawing import sparkline
from siyu.console.i18n import mark as _
from siyu.console.labels import ENDS, SCOPES
from siyu.console.page import redirect
from siyu.console.snippets import snippets
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import MalformedRequest, NotFound
from siyu.processor import actions as processing
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.stream.stream import Stream

MINUTES: Final = 60
SLICES: Final = 30
LETTERS_SHOWN: Final = 30
REPLAYS_AT_ONCE: Final = 500
BODY_CHARS_SHOWN: Final = 4_000

SAID: Final = {
    "revoked": _("The key was revoked. It stops working within two seconds, for ever."),
    "replayed": _("The letter went back into the stream."),
    "refused": _("The letter was refused again for the same reason; it stays here."),
}


class Arrived(NamedTuple):
    """What one source sent in the last hour."""

    source: str
    name: str
    events: int
    line: Any
    rows: list[tuple[Arrivals, Any]]
    since: str
    """When that hour began, ISO: leads to the persons behind the numbers."""


def _by_source(arrivals: list[Arrivals], names: dict[str, str], since: str) -> list[Arrived]:
    grouped: dict[str, list[Arrivals]] = {}
    for one in arrivals:
        grouped.setdefault(one.source, []).append(one)
    found = []
    for source, rows in grouped.items():
        total = [sum(row.slices[n] for row in rows) for n in range(SLICES)]
        events = sum(row.events for row in rows)
        drawn = [(row, sparkline(row.slices, 90, 20)) for row in rows[:20]]
        found.append(Arrived(source, names.get(source, source), events, sparkline(total, 160, 28), drawn, since))
    return sorted(found, key=lambda one: -one.events)


async def _arrived(events: EventStore, visit: Visit, known: list[AccessKey]) -> list[Arrived]:
    now = visit.moment.now
    arrivals = await reads.arrivals(events, now, MINUTES, SLICES)
    return _by_source(arrivals, {key.id: key.name for key in known}, (now - timedelta(minutes=MINUTES)).isoformat())


@get("/sources", include_in_schema=False)
async def sources(request: AnyRequest, visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """Keys and what arrived through them."""
    said = request.query_params.get("said", "")
    known = await keys.list_keys(db)
    state = await processing.stream_state(db)
    return visit.page(
        "sources.html",
        keys=[key for key in known if key.kind == "write"],
        tokens=[key for key in known if key.kind == "api"],
        totals=await reads.source_totals(events),
        arrived=await _arrived(events, visit, known),
        dead=state.dead,
        ends=list(ENDS),
        scopes=SCOPES,
        fresh=None,
        said=visit.face.text(SAID[said]) if said in SAID else None,
    )


@get("/sources/arrivals", include_in_schema=False)
async def arrivals(visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """What arrived in the last hour, asked for again and again."""
    return visit.page("sources_arrivals.html", arrived=await _arrived(events, visit, await keys.list_keys(db)))


@post("/sources/keys", include_in_schema=False, status_code=303)
async def create(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Make a key. A write key leads to its snippets; an API token is shown once."""
    visit.operator.require("sources")
    form = await request.form()
    kind, scope = str(form.get("kind", "write")), str(form.get("scope", "all"))
    if kind not in get_args(KeyKind):
        raise MalformedRequest("A key is a write key or an API token.", path="kind")
    if scope not in get_args(Scope):
        raise MalformedRequest(f"A token may do one of {', '.join(get_args(Scope))}.", path="scope")
    key, secret = await keys.create_key(
        db,
        kind=cast(KeyKind, kind),
        name=str(form.get("name", "")),
        end=str(form.get("end", "")) if kind == "write" else "",
        now=visit.moment.now,
        scope=cast(Scope, scope) if kind == "api" else "all",
    )
    if key.kind == "write":
        return redirect(f"/console/sources/{key.id}")
    return visit.page("token.html", key=key, secret=secret, status=200)


@post("/sources/revoke", include_in_schema=False, status_code=303)
async def revoke(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """End a key."""
    visit.operator.require("sources")
    await keys.revoke_key(db, str((await request.form()).get("id", "")).replace("\x00", ""), visit.moment.now)
    return redirect("/console/sources?said=revoked")


@get("/sources/{key_id:str}", include_in_schema=False)
async def source(key_id: str, visit: Visit, db: Database, events: EventStore) -> Response[str]:
    """A write key with its snippets, and what came through it."""
    known = await keys.list_keys(db, "write")
    key = next((one for one in known if one.id == key_id), None)
    if key is None:
        raise NotFound("There is no such key.")
    shown = key.secret if key.secret and visit.operator.may("sources") else "wk_…"
    arrived = [one for one in await _arrived(events, visit, known) if one.source == key.id]
    return visit.page(
        "source.html", key=key, secret=shown, snippets=snippets(visit.host, shown, key.end), arrived=arrived
    )


class Letter(NamedTuple):
    """A dead letter as it is shown."""

    row: Any
    body: str
    cut: bool


def _letter(row: Any) -> Letter:
    try:
        text = row["body"].decode()
    except UnicodeDecodeError:
        text = base64.b64encode(row["body"]).decode()
    return Letter(row, text[:BODY_CHARS_SHOWN].replace("\x00", "␀"), len(text) > BODY_CHARS_SHOWN)


@get("/dead-letters", include_in_schema=False)
async def dead_letters(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """What could not be processed, with its reason."""
    given = request.query_params
    before, said = given.get("before", ""), given.get("said", "")
    rows = await processing.dead_letters(
        db, limit=LETTERS_SHOWN, before=int(before) if before.isdecimal() and len(before) < 18 else None
    )
    text = visit.face.text(SAID[said]) if said in SAID else None
    if given.get("again", "").isdecimal() and given.get("refused", "").isdecimal():
        text = visit.face.text(_("%(again)s went back into the stream, %(refused)s were refused again.")) % {
            "again": given["again"][:9],
            "refused": given["refused"][:9],
        }
    return visit.page(
        "dead_letters.html",
        letters=[_letter(row) for row in rows],
        waiting=(await processing.stream_state(db)).dead,
        names={key.id: key.name for key in await keys.list_keys(db)},
        next_before=rows[-1]["id"] if len(rows) == LETTERS_SHOWN else None,
        said=text,
    )


@post("/dead-letters/replay", include_in_schema=False, status_code=303)
async def replay(request: AnyRequest, visit: Visit, db: Database, stream: Stream) -> Response[str]:
    """Try one letter again."""
    visit.operator.require("sources")
    number = str((await request.form()).get("id", ""))
    if not number.isdecimal() or len(number) > 17:
        raise NotFound("There is no such dead letter.")
    accepted, _refused = await processing.replay_dead_letter(db, stream, int(number), visit.moment.now)
    return redirect(f"/console/dead-letters?said={'replayed' if accepted else 'refused'}")


@post("/dead-letters/replay-all", include_in_schema=False, status_code=303)
async def replay_all(visit: Visit, db: Database, stream: Stream) -> Response[str]:
    """Try every waiting letter again, at most 500 at once, newest first."""
    visit.operator.require("sources")
    again = refused = 0
    for row in await processing.dead_letters(db, limit=REPLAYS_AT_ONCE):
        if row["replayed_at"] is None:
            try:
                accepted, _n = await processing.replay_dead_letter(db, stream, row["id"], visit.moment.now)
            except NotFound:  # a damaged frame is no event of a dialect
                accepted = 0
            again, refused = again + bool(accepted), refused + (not accepted)
    return redirect(f"/console/dead-letters?again={again}&refused={refused}")


routes: list[Any] = [sources, arrivals, create, revoke, source, dead_letters, replay, replay_all]
