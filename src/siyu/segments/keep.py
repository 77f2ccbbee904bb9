"""The keeper: keeps the members of all segments true, beside the processor, and calls who follows its looks.

What makes it look: identifiers that a batch saw, changes of who is who, a new version of a segment, and time. It looks
at persons in one way only, whatever the cause: everything that the rules read, read again. A failure loses nothing:
what was to be done stays in its table until the transaction that writes the members.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import structlog

from siyu.clock import Now
from siyu.collect.event import Event
from siyu.collect.frame import Arrival, frames_of
from siyu.collect.own_events import SEGMENT_ENTERED, SEGMENT_LEFT
from siyu.errors import MalformedRequest, SiyuError
from siyu.identity.link_records import changes_after, last_change
from siyu.identity.mirror import mirror
from siyu.identity.spans import Touched, touched_by
from siyu.ids import identifier_key
from siyu.rules.masks import mask_of
from siyu.rules.rule import Rule
from siyu.rules.window import Setting
from siyu.segments import records
from siyu.segments.fading import faded
from siyu.segments.follower import Follower, Following, Look
from siyu.segments.membership import Change, changes
from siyu.segments.population import Population, Source, survey
from siyu.segments.ready import READY
from siyu.segments.segment import Live, ages, live_of
from siyu.store.postgres import driver_of
from siyu.stream.stream import Stream

log = structlog.get_logger()

ANCHORS_PER_LOOK: Final = 5_000
EVERYBODY_FROM: Final = 60_000
EVERYBODY_SHARE: Final = 20
"""With more identifiers waiting, or more than one in so many persons (but no fewer than one look takes), one look at
everybody costs less."""
TOUCHES_PER_STEP: Final = 10_000
MOVES_PER_FRAME: Final = 2_000
IDLE_SECONDS: Final = 1.0
REST: Final = 9.0
"""While events flood in, the keeper rests so many times as long as a long look took, so that events go first."""
FLOOD: Final = 2_000
FLOOD_SECONDS: Final = 2.0
"""So many identifiers noted in so long are a flood."""
FEW: Final = 20
"""So few identifiers are no flood, however long the last look took: nobody waits for its end."""
FLOOD_PASSES_SECONDS: Final = 30.0
"""So long a flood that more than one look is needed for is let pass before the first of them."""
ROLL_REST: Final = 50
"""Looking for who is due reads the times of all events: at most a fiftieth of the (settable) time goes into it."""
SHORT_SECONDS: Final = 0.5
REST_SECONDS_MAX: Final = 120.0
RETRY_SECONDS: Final = 30.0
"""A segment whose rule could not be read is looked at again, among everybody, after so long."""
PROBLEM_CHARS_MAX: Final = 300
SOURCE_NAME: Final = "siyu"


class Passed(NamedTuple):
    """Time since the last look at what time changes, as far as this look goes."""

    ticked: datetime
    until: datetime
    now: datetime


class Aim(NamedTuple):
    """What a look is for."""

    keys: set[str]
    followers: Sequence[Follower]
    seen: frozenset[int] = frozenset()


class Keeper:
    """Keeps members. One works at a time, in all processes."""

    def __init__(
        self,
        source: Source,
        stream: Stream,
        now: Now,
        zone: ZoneInfo,
        followers: Sequence[Follower] = (),
        *,
        busy: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._source = source
        self._stream = stream
        self._now = now
        self._zone = zone
        self._versions: tuple[tuple[str, int], ...] = ()
        self._live: dict[str, Live] = {}
        self._followers = followers
        self._busy = busy
        """Whether many events wait to be processed: beside a large batch seconds pass without anything noted."""
        self._following: dict[Follower, Following] = {}
        self._roll_rest_s = 0.0
        self._wrong: dict[str, MalformedRequest] = {}
        self._retry_at: dict[str | Follower, float] = {}
        """When members that wait are looked for again."""
        self._everybody_from = EVERYBODY_FROM
        self._not_before = 0.0
        """While events flood in nothing is looked at before this monotonic time."""

    async def run(self, wake: asyncio.Event, stopping: asyncio.Event) -> None:
        """Keep members until `stopping` is set; look at once when `wake` is set."""
        while not stopping.is_set():
            wake.clear()
            try:
                await self._let_pass(stopping)
                if not stopping.is_set():
                    await self._timed_step()
            except SiyuError as error:
                log.warning("segments put off", error=str(error))
            except Exception:
                log.exception("segments failed, will be repeated")
            await _wait(wake, IDLE_SECONDS)

    async def _timed_step(self) -> None:
        started = time.monotonic()
        try:
            await self.step()
        finally:
            if (spent := time.monotonic() - started) > SHORT_SECONDS:
                self._not_before = started + spent + min(REST * spent, REST_SECONDS_MAX)

    async def _let_pass(self, stopping: asyncio.Event) -> None:
        """Wait while events flood in, after a long look and when more than one look is needed, but not for ever."""
        noted = await self._noted()
        if noted <= FEW and not (self._busy is not None and await self._busy()):
            return
        patience = FLOOD_PASSES_SECONDS if noted > ANCHORS_PER_LOOK else 0.0
        until = max(self._not_before, time.monotonic() + patience)
        while (left := until - time.monotonic()) > 0 and not stopping.is_set():
            await _wait(stopping, min(left, FLOOD_SECONDS))
            before, noted = noted, await self._noted()
            if noted - before < FLOOD and not (self._busy is not None and await self._busy()):
                return

    async def _noted(self) -> int:
        async with self._source.db.driver() as connection:
            return await records.count_touched(connection)

    async def step(self) -> bool:
        """Look at whatever has to be looked at now; False when another process does.

        Raises EngineUnavailable, QueryTooExpensive: then nothing of it is forgotten."""
        async with self._source.db.driver() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", records.KEEPER_LOCK):
                return False
            try:
                await self._step(connection)
            finally:
                if not connection.is_closed():
                    await connection.execute("SELECT pg_advisory_unlock($1)", records.KEEPER_LOCK)
        return True

    async def _step(self, connection: Any) -> None:
        now = self._now()
        if (before := await records.progress(connection)) is None:
            async with connection.transaction():
                await self._begin(connection, now)
            before = await records.progress(connection)
            assert before is not None
        await self._load(connection)
        self._following = {follower: await follower.load(connection, now) for follower in self._followers}
        seq, ticked = before
        lost, moved = await changes_after(connection, seq)
        seq = max([seq, *(number for number, _, _ in moved)])
        if moved:
            await mirror(self._source.db, self._source.events)
        touches = await records.touches(connection, TOUCHES_PER_STEP)
        anchors = {anchor for _, _, change in moved for anchor in (*change.moved, *change.touched)}
        seen = frozenset(np.unique(np.frombuffer(b"".join(body for _, body in touches), np.uint32)).tolist())
        anchors |= seen
        due = not 0 <= (now - ticked).total_seconds() < self._roll_rest_s
        until = now if due else ticked
        if self._live or any(following.rules for following in self._following.values()):
            anchors |= await self._rolled(ticked, until)
            for follower in self._followers:
                anchors |= await follower.due(connection, now)
            await self._look_again(connection, anchors, Passed(ticked, until, now), seen, everybody=lost)
        async with connection.transaction():
            await records.drop_touches(connection, [number for number, _ in touches])
            await records.advance(connection, seq, until)
        await self._send(connection)

    async def _begin(self, connection: Any, now: datetime) -> None:
        """At the very first start the ready segments are made; from then on they are the brand's own."""
        if await records.begin_progress(connection, await last_change(connection), now):
            for definition in READY:
                await records.write_segment(connection, definition, now, SOURCE_NAME, changed=True)

    async def _load(self, connection: Any) -> None:
        segments = await records.all_segments(connection)
        versions = tuple((one.key, one.version) for one in segments)
        if versions != self._versions:
            self._live, self._wrong = live_of(segments, self._source.words)
            self._versions = versions
            self._retry_at = {}
        if said := {one.key: str(self._wrong[one.key]) for one in segments if one.key in self._wrong}:
            await records.note_problems(connection, said)
        self._live = {one.key: self._live[one.key]._replace(segment=one) for one in segments if one.key in self._live}

    async def _rolled(self, ticked: datetime, until: datetime) -> set[int]:
        """Identifiers with an event that left a rolling window, or whose time has come."""
        started = time.monotonic()
        if ticked >= until:
            return set()
        found = await faded(self._source, list(self._rules(self._live, self._followers)), ticked, until)
        self._roll_rest_s = max(IDLE_SECONDS, ROLL_REST * (time.monotonic() - started))
        return found

    def _rules(self, keys: Collection[str], followers: Sequence[Follower]) -> Iterator[Rule]:
        yield from (self._live[key].rule for key in sorted(keys))
        for follower in followers:
            yield from self._following[follower].rules

    async def _look_again(
        self, connection: Any, anchors: Collection[int], passed: Passed, seen: frozenset[int], *, everybody: bool
    ) -> None:
        live, now, words = self._live, passed.now, self._source.words
        put_off = {one for one, at in self._retry_at.items() if at > time.monotonic()}
        whole = {key for key, one in live.items() if not one.segment.is_ready}
        following = [one for one in self._followers if self._following[one].whole or one in self._retry_at]
        if everybody or now < passed.ticked or len(anchors) > self._everybody_from:
            whole, following, anchors = set(live), list(self._followers), ()
        elif self._hour(passed.ticked) != self._hour(passed.until):
            whole |= {key for key, one in live.items() if one.ages(words)}
            aging = [f for f in self._followers if any(ages(rule, words) for rule in self._following[f].rules)]
            following = [one for one in self._followers if one in following or one in aging]
        # Of who waits everybody is looked at when the time has come, so nothing of it is lost meanwhile.
        whole = {key for key in whole if key not in put_off}
        following = [one for one in following if one not in put_off]
        personal = [one for one in following if self._following[one].personal]
        together = [one for one in following if one not in personal]
        if whole or together:
            await self._look(connection, Aim(whole, together, seen), None, now)
        if personal:
            for some in _slices(await records.all_anchors(connection)):
                await self._look(connection, Aim(set(), personal, seen), some, now)
        for some in _slices(sorted(anchors)):
            able = [one for one in self._followers if one not in self._retry_at]
            await self._look(connection, Aim({key for key in live if key not in self._retry_at}, able, seen), some, now)
        for follower in following:
            if follower not in self._retry_at:
                async with connection.transaction():
                    await follower.built(connection, now)

    def _hour(self, at: datetime) -> str:
        return at.astimezone(self._zone).strftime("%Y%m%d%H")

    async def _look(self, connection: Any, aim: Aim, anchors: Sequence[int] | None, now: datetime) -> None:
        """Find the members of these segments among everybody, or among who has or had these identifiers."""
        live = {key: self._live[key] for key in sorted(aim.keys)}
        setting = Setting(now, self._zone)
        touched: Touched | None = None
        asked: list[int] | None = None
        if anchors is not None:
            touched = await touched_by(connection, anchors)
            asked = sorted({*touched.persons, *anchors})
        rules = list(self._rules(aim.keys, aim.followers))
        starts = await self._starts(connection, aim.followers, touched)
        reading = asyncio.ensure_future(records.kept(connection, asked if asked is not None or live else ()))
        try:
            population = await survey(self._source, rules, setting, touched, starts)
            kept = await reading
        finally:
            # The connection does one thing at a time.
            reading.cancel()
            await asyncio.wait({reading})
        problems = {key: population.problem_of(one.rule) for key, one in live.items()}
        live = {key: one for key, one in live.items() if problems[key] is None}
        halted = {one: self._problem(one, population) for one in aim.followers}

        def compare() -> tuple[list[Change], list[tuple[str, int]]]:
            words = self._source.words
            masks = {key: mask_of(one.rule, population.columns, setting, words) for key, one in live.items()}
            counts = [(key, int(mask.sum())) for key, mask in masks.items()]
            return changes(kept, population.persons, masks, asked or ()), counts

        changed, counts = await asyncio.to_thread(compare)
        built = [(key, one.segment.version) for key, one in live.items() if not one.segment.is_built]
        self._put_off({**problems, **halted})
        async with self._source.db.begin() as conn:
            driver = await driver_of(conn)
            await records.write_changes(driver, changed)
            await records.add_moves(driver, list(self._moves(changed)), now)
            await records.change_sizes(driver, sizes(changed))
            await records.note_problems(driver, {key: _said(error) for key, error in problems.items()})
            if anchors is None:
                share = len(population.persons) // EVERYBODY_SHARE
                self._everybody_from = min(max(ANCHORS_PER_LOOK, share), EVERYBODY_FROM)
                # Counted anew, so that a sum of differences never drifts.
                await records.set_sizes(driver, counts)
                await records.mark_built(driver, built, now)
            for follower in (one for one in aim.followers if halted[one] is None):
                await follower.decide(driver, Look(population, touched, setting, aim.seen))

    async def _starts(
        self, connection: Any, followers: Sequence[Follower], touched: Touched | None
    ) -> dict[int, int] | None:
        personal = [one for one in followers if self._following[one].personal]
        if touched is None or not personal:
            return None
        starts: dict[int, int] = {}
        for one in personal:
            starts |= await one.starts(connection, touched.persons)
        return starts

    def _problem(self, follower: Follower, population: Population) -> Exception | None:
        """Why a follower cannot decide."""
        problems = (population.problem_of(rule) for rule in self._following[follower].rules)
        return next((problem for problem in problems if problem is not None), None)

    def _put_off(self, problems: Mapping[Any, Exception | None]) -> None:
        """Segments and followers of which nothing can be said wait, the others do not wait for them."""
        for key, error in problems.items():
            if error is None:
                self._retry_at.pop(key, None)
                continue
            self._retry_at[key] = time.monotonic() + RETRY_SECONDS
            log.warning("members wait", of=str(key), error=str(error), exc_info=error)

    def _moves(self, changed: Sequence[Change]) -> list[tuple[str, int, int, bool]]:
        """Who entered or left a segment that says so. The first members of a version are simply there."""
        moves = []
        for change in changed:
            for key in sorted(change.before ^ change.after):
                one = self._live.get(key)
                if one is None or change.gone or not (one.segment.announced and one.segment.is_built):
                    continue
                entered = key in change.after
                moves += [(key, one.segment.version, person, entered) for person in change.persons.tolist()]
        return moves

    async def _send(self, connection: Any) -> None:
        """Bring what happened into the stream; sent twice after a crash, it is known by its id."""
        while moves := await records.waiting_moves(connection, MOVES_PER_FRAME):
            if sent := [_event(move) for move in moves if move[5] is not None]:
                received_ms = int(self._now().timestamp() * 1000)
                arrival = Arrival(sent, [], SOURCE_NAME, "server", received_ms)
                await self._stream.append(frames_of([arrival], self._stream.shards, self._stream.frame_bytes_max))
            await records.drop_moves(connection, moves[-1][0])


def _slices(anchors: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(anchors), ANCHORS_PER_LOOK):
        yield anchors[start : start + ANCHORS_PER_LOOK]


def sizes(changed: Sequence[Change]) -> list[tuple[str, int]]:
    """By how much each segment grows."""
    more: dict[str, int] = {}
    for change in changed:
        for key in change.before ^ change.after:
            more[key] = more.get(key, 0) + len(change.persons) * (1 if key in change.after else -1)
    return sorted(more.items())


def _event(move: Any) -> Event:
    """A row of `records.waiting_moves` as an event."""
    seq, key, version, entered, at, kind, value, label = move
    properties = {"segment": key, "label": label or key, "version": version}
    return Event(
        f"segment-{seq}-{int(at.timestamp() * 1000)}",
        SEGMENT_ENTERED if entered else SEGMENT_LEFT,
        int(at.timestamp() * 1000),
        identifier_key(kind, value),
        properties=msgspec.json.encode(properties).decode(),
    )


def _said(error: Exception | None) -> str | None:
    """A problem in a line; what is not an error of ours is named by its kind too."""
    if error is None:
        return None
    line = (str(error).strip().splitlines() or [""])[0]
    return (line if isinstance(error, SiyuError) else f"{type(error).__name__}: {line}")[:PROBLEM_CHARS_MAX]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
