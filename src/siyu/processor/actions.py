"""What people may ask of the processor: its state, its dead letters, another try for one of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from siyu.collect.frame import Arrival, frames_of
from siyu.collect.records import end_of
from siyu.errors import NotFound
from siyu.processor import records
from siyu.processor.replay import parse_again
from siyu.store.postgres import Database
from siyu.stream.stream import Stream


class State(NamedTuple):
    """Totals since the beginning; `lag_seconds` is the time since the processor last moved while frames wait."""

    accepted: int
    processed: int
    dead: int
    lag_seconds: float


async def stream_state(db: Database) -> State:
    """How far processing is. Raises EngineUnavailable."""
    async with db.driver() as connection:
        state = await records.stream_state(connection)
    lag_s = 0.0
    if state.accepted > state.processed and state.waiting_since is not None:
        lag_s = max(0.0, (datetime.now(UTC) - state.waiting_since).total_seconds())
    return State(state.accepted, state.processed, state.dead, lag_s)


async def dead_letters(db: Database, *, limit: int, before: int | None = None, source: str | None = None) -> list[Any]:
    """Dead letters, newest first, as rows with the columns of `dead_letters`."""
    async with db.driver() as connection:
        return await records.list_dead_letters(connection, limit, before, source)


async def replay_dead_letter(db: Database, stream: Stream, letter_id: int, now: datetime) -> tuple[int, int]:
    """Put a dead letter through its dialect again; (events accepted, rejected again). Raises NotFound.

    It counts as replayed only when something of it was accepted; the append comes first, since dedupe by event id
    makes a second append harmless while a lost one would not be."""
    async with db.driver() as connection:
        letter = await records.find_dead_letter(connection, letter_id)
    if letter is None:
        raise NotFound(f"There is no dead letter {letter_id} that waits for a replay.")
    source = letter["source"]
    async with db.connect() as connection:
        end = await end_of(connection, source)
    received_ms = int(letter["received_at"].timestamp() * 1000)
    events, rejected = parse_again(letter["dialect"], letter["body"], received_ms)
    if events:
        arrival = Arrival(events, [], source, end, received_ms)
        await stream.append(frames_of([arrival], stream.shards, stream.frame_bytes_max))
        async with db.driver() as connection:
            await records.mark_replayed(connection, letter_id, now)
    return len(events), len(rejected)
