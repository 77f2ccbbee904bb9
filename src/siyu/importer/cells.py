"""What one cell says: times, money, numbers. Each maker returns a function that raises BadCell with the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from siyu.collect.instants import epoch_ms
from siyu.importer.mapping import Field

Reader = Callable[[Any], Any]
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - arithmetic on naive times, the zone is applied after
_EXCEL_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - as above
EXCEL_DAYS_MAX: Final = 2_958_466
"""The day after 9999-12-31 in a spreadsheet."""
_MILLISECOND: Final = timedelta(milliseconds=1)
_MONEY_NOISE: Final = re.compile(r"[\s,，¥￥$€£元]|RMB|CNY|USD", re.IGNORECASE)
_PLAIN_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,9})(\.\d{1,9})?")
_TRUE: Final = frozenset(("true", "t", "yes", "y", "1", "是", "真"))
_FALSE: Final = frozenset(("false", "f", "no", "n", "0", "否", "假"))
FEN: Final = {"fen": 1, "yuan": 100}


class BadCell(ValueError):
    """A cell that does not say what its column should."""


def time_reader(pattern: str, zone: ZoneInfo) -> Callable[[Any], int]:
    """Reads a time as epoch milliseconds. Times without an offset are wall clock in `zone` (the earlier instant where
    the clock shows one twice)."""
    if pattern == "any":
        return _any_reader(zone)
    if pattern == "excel":
        return _excel_reader(zone)
    if pattern in {"epoch_s", "epoch_ms"}:
        return _epoch_reader(1000 if pattern == "epoch_s" else 1)
    parse: Callable[[str], datetime] = (
        datetime.fromisoformat if pattern == "iso" else lambda text: datetime.strptime(text, pattern)  # noqa: DTZ007
    )
    fixed = zone.key == "UTC"

    def read(cell: Any) -> int:
        try:
            moment = _moment(cell) or parse(str(cell).strip())
            offset = moment.utcoffset() if moment.tzinfo is not None else None if fixed else zone.utcoffset(moment)
            wall = moment.replace(tzinfo=None) - _EPOCH
        except (ValueError, OverflowError, TypeError):
            raise BadCell(f"{cell!r} is no time of the form {pattern}{_excel_hint(cell)}") from None
        return (wall if offset is None else wall - offset) // _MILLISECOND

    return read


def _any_reader(zone: ZoneInfo) -> Callable[[Any], int]:
    """Whatever the doors read, and so what Excel writes in China (`2025/5/2 9:05`)."""
    read_moment = time_reader("iso", zone)

    def read(cell: Any) -> int:
        if isinstance(cell, date):
            return read_moment(cell)
        ms = epoch_ms(cell, zone)
        if ms is None:
            raise BadCell(f"{cell!r} is no time{_excel_hint(cell)}")
        return ms

    return read


def _moment(cell: Any) -> datetime | None:
    """A time that is one already (Parquet)."""
    if isinstance(cell, datetime):
        return cell
    return datetime.combine(cell, time()) if isinstance(cell, date) else None


def _excel_reader(zone: ZoneInfo) -> Callable[[Any], int]:
    """Days since 1899-12-30 with a fraction, as a spreadsheet keeps a wall-clock time (its 1900 date system)."""
    read_moment = time_reader("iso", zone)

    def read(cell: Any) -> int:
        if isinstance(cell, date):
            return read_moment(cell)
        try:
            days = Decimal(str(cell).strip())
            if not 0 < days < EXCEL_DAYS_MAX:
                raise ValueError
        except (InvalidOperation, ValueError):
            raise BadCell(f"{cell!r} is no date of Excel") from None
        return read_moment(_EXCEL_EPOCH + timedelta(milliseconds=round(days * 86_400_000)))

    return read


def _excel_hint(cell: Any) -> str:
    """What to do when it could be a day of 1954 to 2119 in a spreadsheet."""
    try:
        alike = 20_000 <= Decimal(str(cell).strip()) < 80_000
    except InvalidOperation:
        alike = False
    return '; if Excel wrote it, its mapping needs format = "excel"' if alike else ""


def _epoch_reader(factor: int) -> Callable[[Any], int]:
    def read(cell: Any) -> int:
        try:
            return int(Decimal(str(cell).strip()) * factor)
        except (InvalidOperation, ValueError, OverflowError):
            raise BadCell(f"{cell!r} is no epoch time") from None

    return read


def money_reader(unit: str | int) -> Callable[[Any], int]:
    """Reads an amount as integer fen, exactly; `¥1,234.50` is understood."""
    factor = unit if isinstance(unit, int) else FEN[unit]

    def read(cell: Any) -> int:
        try:
            amount = Decimal(str(cell))
        except InvalidOperation:
            try:
                amount = Decimal(_MONEY_NOISE.sub("", str(cell)))
            except InvalidOperation:
                raise BadCell(f"{cell!r} is no amount of money") from None
        fen = amount * factor
        if not fen.is_finite() or abs(fen) >= 2**63:
            raise BadCell(f"{cell!r} is no amount of money")
        whole = int(fen)
        if whole != fen:
            raise BadCell(f"{cell!r} has a fraction of a fen")
        return whole

    return read


def field_reader(field: Field, zone: ZoneInfo) -> Reader:
    """The function that reads a property's or trait's cell."""
    if field.type == "time":
        to_ms = time_reader(field.format, ZoneInfo(field.zone) if field.zone else zone)
        return lambda cell: iso(to_ms(cell))
    if field.type == "money":
        return money_reader(field.unit)
    if field.type == "list":
        separator = field.separator
        return lambda cell: (
            cell if isinstance(cell, list) else [part for item in str(cell).split(separator) if (part := item.strip())]
        )
    return {"text": plain, "integer": _integer, "number": _number, "boolean": _boolean, "json": _json}[field.type]


def iso(ms: int) -> str:
    """Epoch milliseconds as RFC 3339 in UTC."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).isoformat().replace("+00:00", "Z")


def plain(cell: Any) -> Any:
    """Text without the blanks around it; what has a type of its own (NDJSON, Parquet) keeps it."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, datetime):
        return (cell if cell.tzinfo else cell.replace(tzinfo=timezone.utc)).isoformat()  # noqa: UP017
    if isinstance(cell, date | Decimal | bytes):
        return str(cell)
    return cell


def guessed(cell: Any) -> Any:
    """A cell of a column that no mapping names: a plain number becomes one, `007` and phone-like digits stay text."""
    value = plain(cell)
    if isinstance(value, str) and _PLAIN_NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value


def _integer(cell: Any) -> int:
    try:
        value = Decimal(str(cell).strip())
        if value == int(value) and abs(value) < 2**63:
            return int(value)
    except (InvalidOperation, ValueError, OverflowError):
        pass
    raise BadCell(f"{cell!r} is no integer")


def _number(cell: Any) -> float | int:
    try:
        value = float(cell)
    except (ValueError, TypeError):
        value = math.nan
    if not math.isfinite(value):
        raise BadCell(f"{cell!r} is no number")
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _boolean(cell: Any) -> bool:
    if isinstance(cell, bool):
        return cell
    word = str(cell).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise BadCell(f"{cell!r} is neither true nor false")


def _json(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        raise BadCell(f"{cell[:60]!r} is no JSON") from None
