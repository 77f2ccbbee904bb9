"""Where the story is written down: lines by day and door, in the order they happened."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from siyu.demo.dialects import rfc3339
from siyu.demo.ids import Ids, ids_of
from siyu.demo.people import People
from siyu.demo.season import DAYS, first_day

ZONE: Final = ZoneInfo("Asia/Shanghai")
DAY_MS: Final = 86_400_000
DOORS: Final = ("web", "app", "server", "store", "wecom", "mini_program", "official_account", "landing")
"""`server` is the shop's back end, `landing` the campaign pages that use PostHog."""


class Book:
    """Lines of the story. `at` is always milliseconds after the start of the period, which ends with the day `end`;
    `days` of the story are told."""

    def __init__(self, people: People, end: date, days: int = DAYS) -> None:
        start = datetime.combine(first_day(end), datetime.min.time(), ZONE)
        self._start_ms = int(start.timestamp() * 1000)
        self._days: list[dict[str, list[tuple[int, str]]]] = [{door: [] for door in DOORS} for _ in range(days)]
        self._people = people
        self._ids: dict[int, Ids] = {}
        self._numbers: dict[int, int] = {}

    def write(self, door: str, at: int, line: str) -> None:
        """Add a line; what lies outside the days told did not happen (yet)."""
        day = at // DAY_MS
        if 0 <= day < len(self._days):
            self._days[day][door].append((at, line))

    def take(self, day: int) -> dict[str, list[tuple[int, str]]]:
        """The lines of a day, by door, in order of time. To be called once per day."""
        lines, self._days[day] = self._days[day], {}
        for door in lines.values():
            door.sort()
        return lines

    def ids(self, person: int) -> Ids:
        """What a person is called."""
        found = self._ids.get(person)
        if found is None:
            found = self._ids[person] = ids_of(self._people, person)
        return found

    def number(self, person: int) -> int:
        """A number that this person's events have once: 1, 2, …"""
        number = self._numbers[person] = self._numbers.get(person, 0) + 1
        return number

    def segment_stamp(self, person: int, at: int) -> str:
        """Message id and time of the next event about a person, as members of a Segment message."""
        message_id = f"tp-{self._people.salt[person]}-{self.number(person)}"
        return f'"messageId":"{message_id}","timestamp":"{rfc3339(self._start_ms + at)}"'

    def sensors_stamp(self, person: int, at: int) -> str:
        """The same for Sensors, which has no message id: `_track_id` tells equal messages apart."""
        return f'"time":{self._start_ms + at},"_track_id":{self.number(person)}'

    def posthog_stamp(self, person: int, at: int) -> str:
        """The same for PostHog, whose message ids are UUIDs."""
        salt = self._people.salt[person]
        uuid = f"{salt[:8]}-{salt[8:12]}-8{salt[12:15]}-a{salt[15]}00-{self.number(person):012x}"
        return f'"uuid":"{uuid}","timestamp":"{rfc3339(self._start_ms + at)}"'

    def time(self, at: int) -> str:
        """RFC 3339."""
        return rfc3339(self._start_ms + at)

    @property
    def start_ms(self) -> int:
        """The start of the period, in milliseconds since 1970."""
        return self._start_ms
