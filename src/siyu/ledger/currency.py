"""Currencies as data: what is counted, in which words, in lots or not, and when a lot ends. Pure."""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec

CODE_PATTERN: Final = r"^[a-z][a-z0-9_]{0,49}$"


Day = TypeVar("Day", date, datetime)


class Rounding(StrEnum):
    """To the end of which local period an expiry is put off."""

    EXACT = "exact"
    DAY = "day"
    MONTH = "month"
    QUARTER = "quarter"
    HALF = "half"
    YEAR = "year"


class Currency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something a ledger counts in whole units."""

    code: str
    unit_zh: str
    unit_en: str
    lots: bool = False
    """Whether what a holder has is kept in lots, each with its time of earning and of expiry."""
    keep_months: int | None = None
    """A lot ends so many months after it became available; None: never."""
    rounding: Rounding = Rounding.EXACT


DEFAULTS: Final = (
    Currency("points", "积分", "points", lots=True, keep_months=12, rounding=Rounding.MONTH),
    Currency("growth", "成长值", "growth"),
    Currency("fen", "分", "fen"),
    Currency("stock", "件", "units"),
    Currency("chance", "次抽奖机会", "lottery chances"),
    Currency("makeup_card", "张补签卡", "make-up cards"),
)
"""What every installation begins with; a stored row of the same code wins."""

_PERIOD_MONTHS: Final = {Rounding.MONTH: 1, Rounding.QUARTER: 3, Rounding.HALF: 6, Rounding.YEAR: 12}
_LAST_YEAR: Final = 9_000


def lot_expiry(currency: Currency, at: datetime, zone: ZoneInfo) -> datetime | None:
    """The instant from which a lot that became available at `at` (aware) is gone; None: never.

    Rounded to the end of the local period it falls in: the first instant after it, since windows are [start, end)."""
    if currency.keep_months is None or at.year + currency.keep_months // 12 >= _LAST_YEAR:
        return None
    local = at.astimezone(zone)
    if currency.rounding is Rounding.EXACT:
        return _months_later(local, currency.keep_months).astimezone(at.tzinfo)
    return _end_after(local.date(), currency.keep_months, currency.rounding, zone).astimezone(at.tzinfo)


@lru_cache(4_096)
def _end_after(day: date, months: int, rounding: Rounding, zone: ZoneInfo) -> datetime:
    """The first instant after the local period in which the day that many months later falls."""
    day = _months_later(day, months)
    if rounding is Rounding.DAY:
        after = day + timedelta(days=1)
    else:
        months = _PERIOD_MONTHS[rounding]
        first = date(day.year, (day.month - 1) // months * months + 1, 1)
        after = _first_of_month(first, months)
    return datetime(after.year, after.month, after.day, tzinfo=zone)


def _months_later(moment: Day, months: int) -> Day:
    """The same local time of day; a day that the month does not have becomes its last."""
    first = _first_of_month(moment, months)
    last_day = calendar.monthrange(first.year, first.month)[1]
    return moment.replace(year=first.year, month=first.month, day=min(moment.day, last_day))


def _first_of_month(day: date, months: int) -> date:
    count = day.year * 12 + day.month - 1 + months
    return date(count // 12, count % 12 + 1, 1)
