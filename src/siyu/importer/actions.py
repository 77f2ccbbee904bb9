"""Import a file: read, convert, append to the stream, remember how far."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import xxhash

from siyu.clock import Now
from siyu.collect.event import Event
from siyu.collect.frame import Arrival, frames_of
from siyu.importer import records
from siyu.importer.convert import Complaint, Converter, Limits
from siyu.importer.mapping import Mapping
from siyu.importer.reading import BadRow, Row, open_rows
from siyu.importer.repeats import Repeats
from siyu.importer.survey import survey
from siyu.settings import Settings
from siyu.store.postgres import Database
from siyu.stream.stream import Stream

CHUNK_ROWS: Final = 10_000
_ARRIVAL_EVENTS: Final = 200
"""Frames are cut between arrivals: with the largest events allowed these are 6 MB."""
_BACKLOG_WAIT_S: Final = 0.2
_to_line = msgspec.json.Encoder().encode


class Progress(NamedTuple):
    """How far an import is."""

    rows: int
    expected: int
    """About how many rows there are; `rows` may end below it."""
    events: int
    rejected: int


class ImportReport(NamedTuple):
    """What an import did."""

    rows: int
    """Rows of the file read, header and empty lines not counted."""
    events: int
    """Events in the stream from this file: by this run and the ones it continued."""
    appended: int
    """Events appended by this run."""
    rejected: int
    ignored_identifiers: int
    first_complaints: list[Complaint]
    resumed_from: int
    """Rows that an earlier, interrupted run had done."""
    already: bool
    """The file had been imported to its end before; nothing was read."""


class _Chunk(NamedTuple):
    rows: int
    events: list[Event]
    complaints: list[Complaint]


async def import_file(
    path: Path,
    mapping: Mapping,
    *,
    db: Database,
    stream: Stream,
    settings: Settings,
    now: Now,
    rejects: Path,
    backlog: Callable[[], Awaitable[int]] | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    again: bool = False,
    complaints_shown: int = 10,
) -> ImportReport:
    """Append the events of a file to the stream. Bad rows go to the file `rejects` (made only when there are some).

    A file imported to its end before is left alone unless `again`; even then the processor drops what it knows.
    `backlog` tells how many events wait to be processed: the import pauses above half of what makes doors refuse.
    Raises UnreadableFile, MissingColumn, EngineUnavailable."""
    seen = await asyncio.to_thread(survey, path, mapping.file.encoding, mapping.file.format)
    started = now()
    async with db.begin() as connection:
        run = await records.open_run(connection, seen.fingerprint, mapping.id, path.name, started)
    if run.finished_at is not None and not again:
        return ImportReport(run.rows_done, run.events, 0, run.rejected, 0, [], 0, True)
    if run.finished_at is not None:
        run = run._replace(rows_done=0, events=0, rejected=0, finished_at=None)
    limits = Limits(settings.event_bytes_max, _ms(started) + settings.future_seconds_max * 1000)
    source = await asyncio.to_thread(open_rows, path, seen, mapping.file)
    converter = Converter(mapping, source.columns, ZoneInfo(settings.timezone), _ms(run.started_at), limits)
    tally = _Tally(run, complaints_shown)
    waiting_max = settings.pending_events_max // 2
    with _Rejects(rejects) as out:
        chunks = _chunks(source.rows, converter)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            tally.count(chunk)
            out.write(chunk.complaints)
            if tally.beyond_earlier_runs:
                await _append(chunk.events, mapping, tally, db=db, stream=stream, now=now)
                while backlog is not None and await backlog() > waiting_max:  # noqa: ASYNC110 - polls a database
                    await asyncio.sleep(_BACKLOG_WAIT_S)
            progress(Progress(tally.rows, max(source.expected, tally.rows), tally.events, tally.rejected))
    async with db.begin() as connection:
        await records.save_run(connection, tally.run._replace(finished_at=now()), now())
    return tally.report()


class _Tally:
    """What an import counted so far, and the state it will continue from."""

    def __init__(self, run: records.ImportRun, complaints_shown: int) -> None:
        self.run = run
        self.rows = self.events = self.appended = self.rejected = self._ignored = 0
        self._resumed_from = run.rows_done
        self._first: list[Complaint] = []
        self._shown = complaints_shown

    def count(self, chunk: _Chunk) -> None:
        left_out = sum(not item.kept for item in chunk.complaints)
        self.rows += chunk.rows
        self.events += len(chunk.events)
        self.rejected += left_out
        self._ignored += len(chunk.complaints) - left_out
        self._first += chunk.complaints[: self._shown - len(self._first)]

    @property
    def beyond_earlier_runs(self) -> bool:
        """False: the chunk's events are in the stream; it was converted again for its complaints only."""
        return self.rows > self._resumed_from

    def appended_now(self, events: int) -> None:
        self.appended += events
        self.run = self.run._replace(rows_done=self.rows, events=self.events, rejected=self.rejected)

    def report(self) -> ImportReport:
        return ImportReport(
            self.rows,
            self.events,
            self.appended,
            self.rejected,
            self._ignored,
            self._first,
            self._resumed_from,
            False,
        )


class _Rejects:
    """The file of complaints, made when there is a first one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._out: BinaryIO | None = None

    def __enter__(self) -> _Rejects:
        return self

    def write(self, complaints: list[Complaint]) -> None:
        if complaints:
            self._out = self._out or self._path.open("wb")
            self._out.writelines(_reject_line(item) for item in complaints)

    def __exit__(self, *_: object) -> None:
        if self._out is not None:
            self._out.close()


async def _append(
    events: list[Event], mapping: Mapping, tally: _Tally, *, db: Database, stream: Stream, now: Now
) -> None:
    """First the stream, then the state: a crash between them repeats a chunk, and the processor drops the repeats."""
    received = _ms(now())
    arrivals = [
        Arrival(part, [], mapping.source, mapping.end or "import", received)
        for part in (events[i : i + _ARRIVAL_EVENTS] for i in range(0, len(events), _ARRIVAL_EVENTS))
    ]
    frames = await asyncio.to_thread(frames_of, arrivals, stream.shards, stream.frame_bytes_max)
    if frames:
        await stream.append(frames)
    count = len(events)
    tally.appended_now(count)
    async with db.begin() as connection:
        await records.save_run(connection, tally.run, now())


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _chunks(rows: Iterator[Row | BadRow], converter: Converter) -> Iterator[_Chunk]:
    """Chunks end at fixed rows, so that an interrupted import continues on the same border."""
    repeats = Repeats()
    while chunk := list(islice(rows, CHUNK_ROWS)):
        good = [row for row in chunk if isinstance(row, Row)]
        hashes = np.fromiter((xxhash.xxh3_64_intdigest(row.content.encode()) for row in good), np.uint64, len(good))
        events, complaints = converter.convert(good, repeats.ordinals(hashes))
        complaints += [Complaint(row.line, row.reason, row.content, False) for row in chunk if isinstance(row, BadRow)]
        yield _Chunk(len(chunk), events, sorted(complaints))


def _reject_line(item: Complaint) -> bytes:
    content = item.content.replace("\x1f", "\t").encode("utf-8", "backslashreplace").decode()
    stated = {"line": item.line, "reason": item.reason, "row": content}
    return _to_line(stated | {"kept": True} if item.kept else stated) + b"\n"
