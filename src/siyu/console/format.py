"""Numbers, money and times as people of a locale read them. Pure: the zone and `now` are given."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.numbers import format_currency, format_decimal, format_percent

from siyu.console.i18n import babel_locale

_CHINESE_UNITS: Final = ((100_000_000, "亿"), (10_000, "万"))
_ENGLISH_UNITS: Final = ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K"))
COMPACT_FROM: Final = 100_000
"""Below this a number is written in full: it still fits, and nothing is rounded away."""


class Format(NamedTuple):
    """How to write for one reader."""

    locale: str
    zone: ZoneInfo
    now: datetime

    def number(self, value: float | int | None) -> str:
        """12,345 (at most two decimals); a dash for nothing."""
        if value is None:
            return "–"
        return str(format_decimal(round(value, 2), locale=babel_locale(self.locale)))

    def compact(self, value: float | int | None) -> str:
        """12.3万 or 123K from 100,000 on."""
        if value is None or abs(value) < COMPACT_FROM:
            return self.number(value)
        units = _CHINESE_UNITS if self.locale.startswith("zh") else _ENGLISH_UNITS
        size, name = next((unit for unit in units if abs(value) >= unit[0]), units[-1])
        short = value / size
        return self.number(round(short, 2 if abs(short) < 10 else 1)) + name

    def money(self, fen: int | float | None) -> str:
        """¥1,234.50 from fen; compact from ¥100,000 on."""
        if fen is None:
            return "–"
        yuan = fen / 100
        if abs(yuan) >= COMPACT_FROM:
            return ("-" if yuan < 0 else "") + "¥" + self.compact(abs(yuan))
        return str(format_currency(yuan, "CNY", "¤#,##0.00;-¤#,##0.00", locale=babel_locale("zh_CN")))

    def money_exact(self, fen: int | None) -> str:
        """¥1,234,567.50, never rounded."""
        if fen is None:
            return "–"
        return str(format_currency(fen / 100, "CNY", "¤#,##0.00;-¤#,##0.00", locale=babel_locale("zh_CN")))

    def percent(self, share: float | None) -> str:
        """12.3% from 0.123."""
        if share is None:
            return "–"
        pattern = "#,##0.0%" if 0 < abs(share) < 0.9995 else "#,##0%"
        return str(format_percent(share, pattern, locale=babel_locale(self.locale)))

    def local(self, instant: datetime) -> datetime:
        """The instant on the brand's clock."""
        return instant.astimezone(self.zone)

    def time(self, instant: datetime | None) -> str:
        """2026-11-22 09:05, the brand's clock."""
        return "–" if instant is None else f"{self.local(instant):%Y-%m-%d %H:%M}"

    def exact(self, instant: datetime | None) -> str:
        """2026-11-22 09:05:07 +08:00."""
        return "–" if instant is None else self.local(instant).isoformat(" ", "seconds")

    def clock(self, instant: datetime) -> str:
        """09:05:07."""
        return str(format_time(instant, "HH:mm:ss", tzinfo=self.zone, locale=babel_locale(self.locale)))

    def day(self, day: date) -> str:
        """11月22日周日 / Sun, Nov 22; with the year when it is another one."""
        same_year = day.year == self.local(self.now).year
        if self.locale.startswith("zh"):
            pattern = "M月d日 EEE" if same_year else "y年M月d日"
        else:
            pattern = "EEE, MMM d" if same_year else "MMM d, y"
        return str(format_date(day, pattern, locale=babel_locale(self.locale)))

    def month(self, instant: datetime) -> str:
        """2026年11月 / Nov 2026."""
        pattern = "y年M月" if self.locale.startswith("zh") else "MMM y"
        return str(format_datetime(instant, pattern, tzinfo=self.zone, locale=babel_locale(self.locale)))

    def ago(self, instant: datetime | None) -> str:
        """3 分钟前 / 3 minutes ago; the date when more than 30 days lie between."""
        if instant is None:
            return "–"
        gap = self.now - instant
        if abs(gap) > timedelta(days=30):
            return f"{self.local(instant):%Y-%m-%d}"
        if timedelta(0) <= gap < timedelta(seconds=5):
            return "刚刚" if self.locale.startswith("zh") else "just now"
        return str(format_timedelta(-gap, add_direction=True, locale=babel_locale(self.locale), threshold=0.99))

    def span(self, seconds: float | None) -> str:
        """2天3小时 / 2d 3h: a duration in its two largest units."""
        if seconds is None:
            return "–"
        chinese = self.locale.startswith("zh")
        units = ((86_400, "天", "d"), (3_600, "小时", "h"), (60, "分", "m"), (1, "秒", "s"))
        left, parts = round(seconds), []
        for size, zh, en in units:
            count, left = divmod(left, size)
            if count:
                parts.append(f"{count}{zh if chinese else en}")
        if not parts:
            return f"{seconds:.1f}{'秒' if chinese else 's'}" if seconds else f"0{'秒' if chinese else 's'}"
        return ("" if chinese else " ").join(parts[:2])

    def value(self, value: Any) -> str:
        """A trait or property: text as it is, numbers grouped, lists joined."""
        if isinstance(value, bool):
            return ("是" if value else "否") if self.locale.startswith("zh") else ("yes" if value else "no")
        if isinstance(value, int | float):
            return self.number(value) if abs(value) < 1e15 else str(value)
        if isinstance(value, list):
            return (
                "、".join(map(self.value, value)) if self.locale.startswith("zh") else ", ".join(map(self.value, value))
            )
        if isinstance(value, datetime):
            return self.time(value if value.tzinfo else value.replace(tzinfo=UTC))
        return "–" if value is None else str(value)


def change(now: float, before: float) -> float | None:
    """Relative change, None when there is nothing to compare with."""
    return None if before == 0 else (now - before) / before
