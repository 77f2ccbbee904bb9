"""Ask a question: compile, fetch, count, and name the persons behind a number."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import msgspec
import pyarrow as pa

from siyu.analytics import records
from siyu.analytics.columns import Ints
from siyu.analytics.funnel import Funnel, FunnelFigures, FunnelGroups
from siyu.analytics.kinds import KINDS, Kind, Outcome, parse_question
from siyu.analytics.pages import PersonPage
from siyu.analytics.person_values import person_values
from siyu.analytics.question import Breakdown, Question, refuse, zone_of
from siyu.analytics.scope import Query, Scope, Shard, Stored
from siyu.analytics.segment_size import SegmentSize, outcome_of
from siyu.analytics.timeline import TimelineQuestion, page_of
from siyu.dimensions.catalogue import DIMENSIONS
from siyu.errors import NotFound, PersonNotFound
from siyu.identity.mirror import person_sql
from siyu.profile.actions import timeline
from siyu.profile.trait_values import values_of_all
from siyu.rules import text_of
from siyu.rules.rule import Person
from siyu.rules.window import Setting
from siyu.segments.population import Source, survey
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore, QueryTooExpensive
from siyu.store.postgres import Database

EVENTS_PER_SHARD: Final = 20_000_000
"""Events held at once; beyond it persons are taken in several passes: memory stays bounded."""
EVENTS_PER_SLICE: Final = 1_000_000
SLICES_MAX: Final = 4
SAMPLE_PARTS: Final = 256
SAMPLE_STEP: Final = 64
"""One range in so many of the identifiers is looked at to estimate how many rows a question has."""
STATEMENTS_AT_ONCE: Final = 2
"""More slices than statements at once, since identifiers differ in how much they did."""

_STORED: Final = """
SELECT (SELECT count() > 0 FROM person_spans), count(), toUnixTimestamp64Milli(min(occurred_at)), max(anchor),
  greatest(max(anchor), (SELECT max(person) FROM person_map), (SELECT max(arrayMax(person)) FROM person_spans))
FROM events
"""
"""Answered from the engine's own records of its parts and the two small tables, without reading events."""

_NAMES: Final = "SELECT DISTINCT toString(name) FROM events LIMIT {limit:UInt32}"
NAMES_MAX: Final = 4_096
"""With more different names of events a question that wants to know them does without."""

_FETCH: Final = {
    "output_format_arrow_compression_method": "none",
    "output_format_arrow_low_cardinality_as_dictionary": 1,
}


async def ask(
    db: Database,
    events: EventStore,
    question: Question | bytes | str | dict[str, Any],
    now: datetime,
    tz: str,
    *,
    seconds_max: int = 60,
) -> msgspec.Struct:
    """The answer to a question; with `cell`, a PersonPage. `tz` is the brand's zone, `now` aware.

    Raises InvalidQuestion, QueryTooExpensive (over `seconds_max`), EngineUnavailable."""
    if not isinstance(question, Question):
        question = parse_question(question)
    if isinstance(question, TimelineQuestion):
        return await timeline(db, events, await _person_of(db, question), page_of(question))
    outcome: Outcome
    if isinstance(question, SegmentSize):
        source = Source(db, events, WORDS, seconds_max)
        outcome = await outcome_of(question, source, Setting(now, zone_of(question.timezone, tz)))
    else:
        async with _scope(db, events, question, now, tz) as scope:
            outcome = await _outcome(events, question, scope, seconds_max)
    cell = getattr(question, "cell", None)
    if cell is not None:
        return await _page(db, await asyncio.to_thread(outcome.persons, cell), question)
    answer = await asyncio.to_thread(outcome.answer)
    if question.persons:
        if not isinstance(question, Funnel):
            raise refuse("persons needs a cell here: name the number whose persons you want.", "cell")
        await _name_steps(db, outcome, question, answer)
    return answer


async def _person_of(db: Database, question: TimelineQuestion) -> UUID:
    if isinstance(question.person, str):
        return UUID(question.person)
    async with db.connect() as connection:
        found = await records.find_identifier(connection, question.person.kind, question.person.value)
    if found is None:
        raise PersonNotFound("No person has this identifier.")
    return found


@asynccontextmanager
async def _scope(db: Database, events: EventStore, question: Question, now: datetime, tz: str) -> AsyncIterator[Scope]:
    """What compiling needs, with the person properties asked for as Join tables that live as long as the question."""
    zone = zone_of(question.timezone, tz)
    ((spans, *stored),) = await events.rows(_STORED)
    scope = Scope(zone, now, person_sql(bool(spans)), {}, Stored(*stored))
    if KINDS[type(question)].names:
        named = await events.rows(_NAMES, {"limit": NAMES_MAX + 1})
        if len(named) <= NAMES_MAX:
            scope = scope._replace(stored=scope.stored._replace(names=tuple(sorted(name for (name,) in named))))
    breakdown: Breakdown | None = getattr(question, "breakdown", None)
    if breakdown is None or breakdown.person_prop is None:
        yield scope
        return
    if DIMENSIONS.named(breakdown.person_prop) is not None:
        values = await _dimension_of_all(Source(db, events, WORDS), breakdown.person_prop, Setting(now, zone))
    else:
        async with db.driver() as connection:
            values = await values_of_all(connection, breakdown.person_prop)
    texts = await asyncio.to_thread(lambda: {person: text_of(value) for person, value in values.items()})
    async with person_values(events, texts) as table:
        yield scope._replace(traits={breakdown.person_prop: table})


async def _dimension_of_all(source: Source, name: str, setting: Setting) -> dict[int, Any]:
    """Person number → the value of a dimension, 0 too. Raises QueryTooExpensive, EngineUnavailable."""
    population = await survey(source, [Person(name, "exists", None)], setting)
    for error in population.failed.values():
        raise error
    codes, values = population.columns.attributes[name]
    everybody = zip(population.persons.tolist(), codes.tolist(), strict=True)
    return {person: values[code] for person, code in everybody if values[code] is not None}


async def _outcome(events: EventStore, question: Question, scope: Scope, seconds_max: int) -> Outcome:
    kind = KINDS[type(question)]
    anchors = scope.stored.anchors
    fetch = Fetch(events, asyncio.get_running_loop().time() + seconds_max)
    slices = min(SLICES_MAX, 1 + scope.stored.events // EVENTS_PER_SLICE) if kind.slices else 1
    shards = await _passes(fetch, kind, question, scope)
    parts = []
    for rest in range(shards):
        cut = Shard(rest, shards).slices(anchors, slices)
        try:
            table = await fetch.rows([kind.plan(question, scope, part) for part in cut])
        except QueryTooExpensive:
            if kind.otherwise is None:
                raise
            table = await fetch.rows([kind.otherwise(question, scope, part) for part in cut])
        parts.append(await asyncio.to_thread(kind.reduce, question, scope, table))
    return await asyncio.to_thread(kind.finish, question, scope, parts)


async def _passes(fetch: Fetch, kind: Kind, question: Question, scope: Scope) -> int:
    """In how many passes the persons are taken. Each reads all events, so of very many events it is first estimated
    how many rows of them a question has, from a few small ranges of the identifiers."""
    stored = scope.stored
    if kind.keeps == "figures":
        return 1
    rows = stored.events
    if kind.slices and rows >= EVENTS_PER_SHARD:
        sample = Shard().slices(stored.anchors, SAMPLE_PARTS)[::SAMPLE_STEP]
        found = await fetch.how_many([kind.plan(question, scope, part) for part in sample])
        rows = min(rows, found * SAMPLE_PARTS // len(sample))
    return 1 + rows // EVENTS_PER_SHARD


class Fetch(NamedTuple):
    """What asks the event store for one question. Raises QueryTooExpensive after the deadline (of the loop's clock)."""

    events: EventStore
    deadline: float

    async def rows(self, queries: Sequence[Query]) -> pa.Table:
        """The rows of all statements, a few of which run at once, since the embedded engine has one thread for each."""
        gate = asyncio.Semaphore(STATEMENTS_AT_ONCE)

        async def fetch(query: Query) -> pa.Table:
            async with gate:
                seconds = max(1, math.ceil(self.deadline - asyncio.get_running_loop().time()))
                settings = {**_FETCH, "max_execution_time": seconds}
                return await self.events.arrow(query.sql, query.params, settings=settings)

        try:
            async with asyncio.TaskGroup() as group:
                fetching = [group.create_task(fetch(query)) for query in queries]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return pa.concat_tables([task.result() for task in fetching])

    async def how_many(self, queries: Sequence[Query]) -> int:
        """How many rows these are."""
        counts = await self.rows([Query(f"SELECT count() AS n FROM ({sql})", params) for sql, params in queries])
        return int(sum(counts["n"].to_pylist()))


async def _uids(db: Database, numbers: list[int]) -> list[str]:
    async with db.connect() as connection:
        found = await records.person_uids(connection, numbers)
    return [str(found[number]) for number in numbers if number in found]


async def _page(db: Database, numbers: Ints, question: Question) -> PersonPage:
    end = question.offset + question.limit
    page = await _uids(db, numbers[question.offset : end].tolist())
    return PersonPage(len(numbers), page, end if end < len(numbers) else None)


async def _name_steps(db: Database, outcome: Any, question: Funnel, answer: msgspec.Struct) -> None:
    """Add the persons of each step to the figures, one page of each list."""
    figures: list[tuple[str | None, FunnelFigures]] = (
        list(answer.groups.items()) if isinstance(answer, FunnelGroups) else [(None, answer)]  # type: ignore[list-item]  # the other form
    )
    end = question.offset + question.limit
    for group, item in figures:
        pages = [outcome.at_step(k, group)[question.offset : end].tolist() for k in range(len(question.steps))]
        item.persons = [await _uids(db, page) for page in pages]


class SavedQuestion(msgspec.Struct):
    """A question that was kept."""

    id: UUID
    name: str
    question: msgspec.Raw
    created_at: datetime
    updated_at: datetime


def _saved(row: dict[str, Any]) -> SavedQuestion:
    return SavedQuestion(
        row["id"], row["name"], msgspec.Raw(row["question"].encode()), row["created_at"], row["updated_at"]
    )


async def save_question(
    db: Database, name: str, body: dict[str, Any], now: datetime, question_id: UUID | None = None
) -> SavedQuestion:
    """Keep a question under a name. Saved again under the same `question_id` it is one. Raises InvalidQuestion."""
    question = parse_question(body)
    if not isinstance(question, TimelineQuestion | SegmentSize):
        breakdown: Breakdown | None = getattr(question, "breakdown", None)
        traits = {} if breakdown is None or breakdown.person_prop is None else {breakdown.person_prop: "none"}
        scope = Scope(zone_of(question.timezone, "UTC"), now, person_sql(False), traits)
        KINDS[type(question)].plan(question, scope, Shard())  # refuses what only compiling finds
    if not name.strip() or len(name) > 200:
        raise refuse("A name has 1 to 200 characters.", "name")
    question_id, text = question_id or uuid4(), msgspec.json.encode(body).decode()
    async with db.begin() as connection:
        await records.insert_saved(connection, question_id, name.strip(), text, now)
        row = await records.read_saved(connection, question_id)
    assert row is not None
    return _saved(row)


async def saved_questions(db: Database) -> list[SavedQuestion]:
    """All questions kept, by name."""
    async with db.connect() as connection:
        return [_saved(row) for row in await records.list_saved(connection)]


async def saved_question(db: Database, question_id: UUID) -> SavedQuestion:
    """One question kept. Raises NotFound."""
    async with db.connect() as connection:
        row = await records.read_saved(connection, question_id)
    if row is None:
        raise NotFound("There is no such saved question.")
    return _saved(row)


async def forget_question(db: Database, question_id: UUID) -> None:
    """Delete a question kept. Raises NotFound."""
    async with db.begin() as connection:
        if not await records.delete_saved(connection, question_id):
            raise NotFound("There is no such saved question.")
