"""Times as senders write them → epoch milliseconds, and the correction of a sender's wrong clock. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, tzinfo
from typing import Final, NamedTuple

SKEW_TOLERANCE_MS: Final = 1_000
"""A difference between sending and receiving below this is the network's, not a wrong clock's."""

_PYTHON_SENSORS: Final = re.compile(r"(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2})\.(\d{1,3})")
_LOOSE: Final = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d+))?)?)?"
    r"\s*(Z|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"[+-]?\d{1,20}(?:\.\d*)?")


_TAIL: Final = re.compile(r"(\.\d{3})?(Z|[+-]\d{2}:\d{2})")
_CLOCK: Final = re.compile(r"[T ]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])")
_EPOCH_TEXT: Final = "1970-01-01T00:00:00"
_REMEMBERED_MAX: Final = 20_000
heads: dict[str, int] = {}
"""First 19 characters of a time met → epoch milliseconds, as if in UTC."""
days: dict[str, int] = {}
"""First 10 characters → their midnight."""
tails: dict[str, int] = {}
"""The rest → what it adds, in milliseconds."""


def epoch_ms(value: object, zone: tzinfo = UTC, *, unpadded_ms: bool = False) -> int | None:
    """Epoch milliseconds of ISO texts (any offset; without one: in `zone`), of 10-digit seconds, 13-digit milliseconds,
    16- and 19-digit micro- and nanoseconds, as numbers or texts. None when it is no possible time.

    `unpadded_ms`: "12:00:00.7" means 7 ms, as the Sensors Python SDK writes it. Instants before 1970 are negative."""
    if isinstance(value, str):
        ms = common_ms(value)
        if ms is not None:
            return ms
        if unpadded_ms and (match := _PYTHON_SENSORS.fullmatch(value.strip())):
            seconds = _iso_ms(match[1], zone)
            return None if seconds is None else seconds + int(match[2])
        if value.isdecimal() and len(value) != 8:
            return _loose_ms(value, zone)
        return _iso_ms(value, zone)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _number_ms(value)


def common_ms(text: str) -> int | None:
    """`epoch_ms` of ISO texts with seconds and an offset, several times faster: the second and the rest (".123Z",
    ".123456+00:00", "+08:00") are looked up apart. None for every other form, which says nothing about it."""
    head = heads.get(text[:19])
    tail = tails.get(text[19:] if len(text) != 32 else text[19:23] + text[26:])
    if head is not None and tail is not None and (len(text) != 32 or text[23:26].isdecimal()):
        return head + tail
    return _remember(text)


def _remember(text: str) -> int | None:
    """Takes a text apart for `common_ms`."""
    rest = text[19:] if len(text) != 32 else text[19:23] + text[26:]
    if text[16:17] != ":" or _TAIL.fullmatch(rest) is None or (not text[23:26].isdecimal() and len(text) == 32):
        return None
    try:
        head = _head_ms(text)
        if (tail := tails.get(rest)) is None:
            tail = _to_ms(datetime.fromisoformat(_EPOCH_TEXT + rest))
    except (ValueError, OverflowError):
        return None
    for memory in (heads, tails, days):
        if len(memory) >= _REMEMBERED_MAX:
            memory.clear()
    heads[text[:19]], tails[rest] = head, tail
    return head + tail


def _head_ms(text: str) -> int:
    """Of the first 19 characters. History has few days and every second of them. Raises ValueError."""
    clock = _CLOCK.fullmatch(text, 10, 19)
    if clock is None:
        return _to_ms(datetime.fromisoformat(text[:19]).replace(tzinfo=UTC))
    if (day := days.get(text[:10])) is None:
        day = days[text[:10]] = _to_ms(datetime.fromisoformat(text[:10]).replace(tzinfo=UTC))
    hour, minute, second = clock.groups()
    return day + (int(hour) * 3_600 + int(minute) * 60 + int(second)) * 1_000


def _iso_ms(text: str, zone: tzinfo) -> int | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return _loose_ms(text.strip(), zone)
    try:
        return _to_ms(instant if instant.tzinfo is not None else instant.replace(tzinfo=zone))
    except (OverflowError, ValueError):
        return None


def _to_ms(instant: datetime) -> int:
    # Microseconds apart: float seconds of today have only 22 bits for them, and rounding must not move a millisecond.
    return int(instant.replace(microsecond=0).timestamp()) * 1000 + instant.microsecond // 1000


def _number_ms(number: float) -> int | None:
    if number != number or number < 1e8 or number >= 1e20:  # noqa: PLR0124 - NaN is the only value unequal to itself
        return None
    if number < 1e11:
        return int(number * 1000)
    if number < 1e14:
        return int(number)
    return int(number // 1000) if number < 1e17 else int(number // 1_000_000)


def _loose_ms(text: str, zone: tzinfo) -> int | None:
    if _NUMBER.fullmatch(text):
        digits = text.lstrip("+")
        return _number_ms(float(digits) if "." in digits else int(digits))
    match = _LOOSE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    seconds = min(int(second or 0), 59) if second == "60" else int(second or 0)
    try:
        moment = datetime.combine(
            date(int(year), int(month), int(day)), time(int(hour or 0), int(minute or 0), seconds)
        )
        moment = moment.replace(microsecond=int((fraction or "0")[:6].ljust(6, "0")))
        return _to_ms(moment.replace(tzinfo=_zone_of(offset, zone)))
    except (ValueError, OverflowError):
        return None


def _zone_of(offset: str | None, zone: tzinfo) -> tzinfo:
    if offset is None:
        return zone
    if offset in {"Z", "z"}:
        return UTC
    text = offset if ":" in offset else offset[:3] + ":" + offset[3:]
    found = datetime.fromisoformat("2000-01-01T00:00:00" + text).tzinfo
    return found if found is not None else zone


def skew_ms(sent: object, now_ms: int, zone: tzinfo = UTC) -> int:
    """How far the sender's clock is behind ours: now − sent; 0 when `sent` is absent, impossible or about right."""
    if sent is None:
        return 0
    sent_ms = epoch_ms(sent, zone)
    if sent_ms is None:
        return 0
    skew = now_ms - sent_ms
    return 0 if -SKEW_TOLERANCE_MS <= skew <= SKEW_TOLERANCE_MS else skew


class Settled(NamedTuple):
    """When an event happened, and whether that is a guess because its own time cannot be."""

    ms: int
    clamped: bool


def settle(ms: int, skew: int, now_ms: int, future_ms: int) -> Settled:
    """The corrected time. Before 1970 or further ahead than `future_ms`: the time of receipt, marked as clamped."""
    corrected = ms + skew
    if ms >= 0 and 0 <= corrected <= now_ms + future_ms:
        return Settled(corrected, False)
    return Settled(now_ms, True)
