"""What identity and profile do with a batch, inside the committing transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.clock import Now
from siyu.collect.catalogue import PURCHASES
from siyu.collect.own_events import OF_SEGMENTS
from siyu.errors import Contended, EngineUnavailable
from siyu.identity.anchors import Anchors
from siyu.identity.resolver import Evidence, Resolver, Statement
from siyu.processor.batch import ANY_KIND, Batch, texts
from siyu.processor.records import DeadLetter
from siyu.processor.work import event_as_letter
from siyu.profile import actions as profile
from siyu.profile.change import Problem, ProfileChange
from siyu.segments.records import add_touch
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import driver_of

_REASON_CHARS_MAX: Final = 2_000
_CONNECTION_CLASSES: Final = ("08", "53", "57P", "40")
"""SQLSTATE prefixes that say nothing about the rows: connection, resources, shutdown, deadlock."""


class IdentityReaction:
    """Links between identifiers, and the persons that follow from them."""

    def __init__(self, events: EventStore, secret: bytes, members_max: int, changed: Callable[[], None]) -> None:
        self._events = events
        self._secret = secret
        self._members_max = members_max
        self._changed = changed
        self._moved = False
        self._resolver = Resolver(secret, members_max)

    async def absorb(self, connection: AsyncConnection, batch: Batch, anchors: Anchors) -> list[DeadLetter]:
        """Take in what the batch says about who is who; identity refuses by marking links, never by dead letters."""
        moved = await self._resolver.absorb(await driver_of(connection), self._events, evidence(batch, anchors))
        self._moved = bool(moved)
        return []

    async def committed(self) -> None:
        """Wake the mirror of who is who in ClickHouse."""
        if self._moved:
            self._moved = False
            self._changed()

    def reset(self) -> None:
        """The resolver's memory describes committed batches only."""
        self._resolver = Resolver(self._secret, self._members_max)


def evidence(batch: Batch, anchors: Anchors) -> Evidence:
    """The pairs of identifiers that stood on one event, and what events declare. Pure."""
    bound = {row for row, effects in batch.effects.items() if any(link.rule == "bind" for link in effects.links)}
    pairs = [(row, place) for row, places in batch.others.items() for place in places]
    rows = np.fromiter((row for row, _ in pairs), np.int64, len(pairs))
    places = np.fromiter((place for _, place in pairs), np.int64, len(pairs))
    number = dict(zip(batch.keys, anchors.tolist(), strict=True)) if batch.mentioned else {}

    def end(key: str) -> int | str:
        return key.removeprefix(ANY_KIND) if key.startswith(ANY_KIND) else number[key]

    statements = [
        Statement(link.rule, end(link.keys[0]), end(link.keys[1]) if len(link.keys) > 1 else None, at, row)
        for row, effects in sorted(batch.effects.items())
        for link in effects.links
        if link.rule != "bind"
        for at in (int(batch.occurred_ms[row]),)
    ]
    ids, sources = _column(batch, "event_id"), _column(batch, "source")
    return Evidence(
        anchors[batch.place[rows]],
        anchors[places],
        batch.occurred_ms[rows],
        rows,
        np.fromiter((row in bound for row, _ in pairs), np.bool_, len(pairs)),
        statements,
        anchors,
        lambda row: (ids(row), sources(row)),
    )


class ProfileReaction:
    """Traits, tags, consent, touches and purchases."""

    def __init__(self, now: Now) -> None:
        self._now = now

    async def absorb(self, connection: AsyncConnection, batch: Batch, anchors: Anchors) -> list[DeadLetter]:
        """Write what the batch changes; an event that is not taken, or in part only, becomes a dead letter."""
        letters: list[DeadLetter] = []
        rows = sorted(row for row, effects in batch.effects.items() if effects)
        value = batch.events["value_fen"].to_numpy()
        bought = np.flatnonzero((value != 0) | named_rows(batch, PURCHASES)).tolist()
        named = sorted({*rows, *bought})
        ids, sources, ends = (
            dict(zip(named, texts(batch, name, named), strict=True)) for name in ("event_id", "source", "end")
        )

        async def changes(part: Sequence[int]) -> None:
            made = [
                ProfileChange(
                    int(anchors[batch.place[row]]),
                    int(batch.occurred_ms[row]),
                    ids[row],
                    sources[row],
                    ends[row],
                    batch.effects[row],
                )
                for row in part
            ]
            for row, code, reason in left_out(part, made, await profile.absorb(connection, made, self._now())):
                letters.append(event_as_letter(batch, row, code, reason))

        for row, reason in await absorb_parts(connection, rows, changes):
            letters.append(event_as_letter(batch, row, "PROFILE_REFUSED", reason))
        if bought:
            await profile.absorb_purchases(
                connection,
                [
                    (
                        int(anchors[batch.place[row]]),
                        int(batch.occurred_ms[row]),
                        f"{sources[row]}\n{ids[row]}",
                        int(value[row]),
                    )
                    for row in bought
                ],
            )
        return letters

    async def committed(self) -> None:
        """Nothing to do."""

    def reset(self) -> None:
        """Nothing is remembered."""


class SegmentReaction:
    """Whom segments have to look at again."""

    def __init__(self, touched: Callable[[], None]) -> None:
        self._touched = touched

    async def absorb(self, connection: AsyncConnection, batch: Batch, anchors: Anchors) -> list[DeadLetter]:
        """Note the identifiers that the events of the batch stand under."""
        own = named_rows(batch, OF_SEGMENTS)
        place = batch.place[~own] if own.any() else batch.place
        if len(place):
            await add_touch(await driver_of(connection), np.unique(anchors[place]).astype(np.uint32).tobytes())
        return []

    async def committed(self) -> None:
        """Wake the keeper of the members."""
        self._touched()

    def reset(self) -> None:
        """Nothing is remembered."""


def named_rows(batch: Batch, names: Collection[str]) -> npt.NDArray[np.bool_]:
    """Rows whose event has one of these names."""
    column = batch.events["name"].combine_chunks()
    wanted = [name in names for name in column.dictionary.to_pylist()]
    found: npt.NDArray[np.bool_] = np.array(wanted, np.bool_)[column.indices.to_numpy()]
    return found


def left_out(
    rows: Sequence[int], changes: Sequence[ProfileChange], problems: Sequence[Problem]
) -> Iterator[tuple[int, str, str]]:
    """(row, code, reason) of each event whose profile change was taken in part only; `changes` stand for `rows`. Pure.

    Such an event is stored and its other parts are taken: the reason says so."""
    of_event: dict[tuple[str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        of_event[problem.source, problem.event_id.replace("\x00", "")].append(problem)
    for row, change in zip(rows, changes, strict=True):
        if found := of_event.pop((change.source, change.event_id.replace("\x00", "")), None):
            reasons = " ".join(dict.fromkeys(problem.reason for problem in found))
            yield row, found[0].code, f"The event is stored, without this: {reasons}"[:_REASON_CHARS_MAX]


def _column(batch: Batch, name: str) -> Callable[[int], str]:
    column = batch.events[name].combine_chunks().cast(pa.string())

    def value(row: int) -> str:
        text: str = column[row].as_py()
        return text

    return value


async def absorb_parts(
    connection: AsyncConnection, rows: list[int], absorb: Callable[[Sequence[int]], Awaitable[None]]
) -> list[tuple[int, str]]:
    """All rows in one go; when PostgreSQL refuses, halves, until the refused rows stand alone: (row, reason) each."""
    if not rows:
        return []
    try:
        async with connection.begin_nested():
            await absorb(rows)
    except (EngineUnavailable, Contended):
        raise
    except Exception as error:
        if _about_the_connection(error):
            raise
        if len(rows) == 1:
            return [(rows[0], str(error).splitlines()[0])]
        middle = len(rows) // 2
        first = await absorb_parts(connection, rows[:middle], absorb)
        return first + await absorb_parts(connection, rows[middle:], absorb)
    return []


def _about_the_connection(error: Exception) -> bool:
    cause: Any = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    return isinstance(cause, OSError) or (isinstance(state, str) and state.startswith(_CONNECTION_CLASSES))
