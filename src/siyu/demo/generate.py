"""The whole demo as HTTP requests, in order of days. The same seed and end date give the same bytes."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote

import numpy as np

from siyu.demo.book import DAY_MS, DOORS, ZONE, Book
from siyu.demo.brand import PERSONS
from siyu.demo.contacts import Contacts
from siyu.demo.people import populate
from siyu.demo.season import DAYS, ENCORE_DAYS, day_weights
from siyu.demo.shopping import Shopping
from siyu.demo.visits import Visit, Visits, draw_visits

SEED: Final = 20_260_618
END_OF_DOOR: Final = {"server": "shop", "landing": "web"}
"""The end whose write key a door uses, where it is not called like the door."""
_DAYS_TOGETHER: Final = 3
"""Days of a door that are sent at once: a request costs doors, stream and processor 4 ms beside its events."""
_SEGMENT_LINES: Final = 700
_SEGMENT_BYTES: Final = 440_000
_SENSORS_LINES: Final = 1_000
_POSTHOG_LINES: Final = 700


class DoorRequest(NamedTuple):
    """One POST."""

    path: str
    headers: dict[str, str]
    body: bytes
    events: int
    day: int
    """Day of the period."""


def generate(
    seed: int,
    now: datetime,
    keys: Mapping[str, str],
    persons: int = PERSONS,
    *,
    begun: datetime | None = None,
    since: datetime | None = None,
) -> Iterator[DoorRequest]:
    """All requests of the demo. The period ends with the local day of `begun` (aware; else of `now`). After it the
    visits of its last weeks come again. Nothing happens after `now`, and what was before `since` is left out.

    `keys`: end → write key; the key of `""` serves ends that have none of their own. `persons`: at least 2,000."""
    end = (begun or now).astimezone(ZONE).date()
    days = DAYS + max(0, (now.astimezone(ZONE).date() - end).days)
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = day_weights(end)
    people = populate(rng, weights, persons)
    visits = draw_visits(rng, people, weights)
    book = Book(people, end, days)
    Contacts(book, people, rng).write(weights)
    shopping = Shopping(book, people)
    now_at = int(now.timestamp() * 1000) - book.start_ms
    since_at = 0 if since is None else int(since.timestamp() * 1000) - book.start_ms
    told: dict[str, list[str]] = {door: [] for door in DOORS}
    for day in range(days):
        for visit in _visits_on(day, visits):
            shopping.visit(visit)
        for door, lines in book.take(day).items():
            told[door] += [line for at, line in lines if since_at <= at < now_at]
        if (day + 1) % _DAYS_TOGETHER == 0 or day + 1 == days:
            for door, lines_told in told.items():
                yield from _pack(door, lines_told, keys, day)
                lines_told.clear()


def _visits_on(day: int, visits: Visits) -> Iterator[Visit]:
    """The visits of a day of the story; after the period those of the same weekday in its last weeks."""
    times = max(0, day - DAYS + ENCORE_DAYS) // ENCORE_DAYS
    start, stop = np.searchsorted(visits.at_ms, (day - times * ENCORE_DAYS + np.arange(2)) * DAY_MS).tolist()
    found = visits.between(start, stop)
    if times == 0:
        return found
    later = times * ENCORE_DAYS * DAY_MS
    return (visit._replace(at_ms=visit.at_ms + later, first=0) for visit in found)


def _pack(door: str, lines: list[str], keys: Mapping[str, str], day: int) -> Iterator[DoorRequest]:
    end = END_OF_DOOR.get(door, door)
    key = keys[end] if end in keys else keys[""]
    if door in {"mini_program", "official_account"}:
        for part in _parts(lines, _SENSORS_LINES, 2_000_000):
            yield _sensors(door, part, key, day)
    elif door == "landing":
        for part in _parts(lines, _POSTHOG_LINES, _SEGMENT_BYTES):
            head = f'{{"api_key":{json.dumps(key)},"historical_migration":true,"batch":['.encode()
            body = head + b",".join(part) + b"]}"
            yield DoorRequest("/batch/", {"Content-Type": "application/json"}, body, len(part), day)
    else:
        basic = base64.b64encode(f"{key}:".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        for part in _parts(lines, _SEGMENT_LINES, _SEGMENT_BYTES):
            yield DoorRequest("/v1/batch", headers, b'{"batch":[' + b",".join(part) + b"]}", len(part), day)


def _sensors(door: str, lines: list[bytes], key: str, day: int) -> DoorRequest:
    """`data_list` = base64 of gzip, as a form. No modification time in the gzip header: the bytes must be the same."""
    packed = gzip.compress(b"[" + b",".join(lines) + b"]", compresslevel=1, mtime=0)
    text = base64.b64encode(packed).replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")
    body = b"data_list=" + text + b"&gzip=1"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return DoorRequest(f"/sa?project={door}&token={quote(key, safe='')}", headers, body, len(lines), day)


def _parts(lines: list[str], lines_max: int, bytes_max: int) -> Iterator[list[bytes]]:
    """Runs of lines within the limits of a door."""
    part: list[bytes] = []
    size = 0
    for line in map(str.encode, lines):
        weight = len(line) + 1
        if part and (len(part) >= lines_max or size + weight > bytes_max):
            yield part
            part, size = [], 0
        part.append(line)
        size += weight
    if part:
        yield part
