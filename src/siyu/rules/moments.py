"""What a rule may ask of the moment itself: hour, weekday, day of the month, month, in the brand's zone. A member day
(会员日), a weekend or a happy hour is a condition like any other.

The moment is when the rule is looked at: of an earn rule that of the event, of a price that of the quote. Holidays and
working days do not follow from it alone: they are data, read once for a batch (`siyu.calendar`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from siyu.rules.vocabulary import AttributeKind, Choice
from siyu.rules.window import Setting

_GROUP: Final = ("时间", "Time")
_DAYS: Final = ("一", "二", "三", "四", "五", "六", "日")
_NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEKDAYS: Final = tuple(Choice(n, f"周{zh}", en) for n, (zh, en) in enumerate(zip(_DAYS, _NAMES, strict=True), start=1))

HOLIDAY: Final = "time.holiday"
WORKDAY: Final = "time.workday"
CALENDAR: Final = frozenset({HOLIDAY, WORKDAY})
"""What the days of the calendar say of a moment."""
HOLIDAYS: Final = (
    Choice("元旦", "元旦", "New Year"),
    Choice("春节", "春节", "Spring Festival"),
    Choice("清明节", "清明节", "Qingming"),
    Choice("劳动节", "劳动节", "Labour Day"),
    Choice("端午节", "端午节", "Dragon Boat Festival"),
    Choice("中秋节", "中秋节", "Mid-Autumn Festival"),
    Choice("国庆节", "国庆节", "National Day"),
)


def _local(setting: Setting) -> datetime:
    return setting.now.astimezone(setting.zone)


MOMENTS: Final = (
    AttributeKind(
        "time.hour", "几点", "hour of the day", ages=True, number=True, limits=(0, 23), group=_GROUP,
        note=("0 到 23，本地时间", "0 to 23, local time"), moment=lambda setting: _local(setting).hour,
    ),
    AttributeKind(
        "time.weekday", "星期几", "day of the week", ages=True, choices=WEEKDAYS, closed=True, group=_GROUP,
        note=("当地的星期", "local"), moment=lambda setting: setting.today.isoweekday(),
    ),
    AttributeKind(
        "time.day", "几号", "day of the month", ages=True, number=True, limits=(1, 31), group=_GROUP,
        note=("1 到 31，如会员日每月 8 号", "1 to 31: a member day every 8th, say"),
        moment=lambda setting: setting.today.day,
    ),
    AttributeKind(
        "time.month", "几月", "month", ages=True, number=True, limits=(1, 12), group=_GROUP,
        note=("1 到 12", "1 to 12"), moment=lambda setting: setting.today.month,
    ),
    AttributeKind(
        HOLIDAY, "节假日", "statutory holiday", ages=True, choices=HOLIDAYS, group=_GROUP,
        note=(
            "法定节假日放假安排中的名称；平日为空。该年没有放假安排时未知，见“节假日”页",
            "the name in the published schedule; empty on other days. Unknown in a year without days: see “Holidays”",
        ),
    ),
    AttributeKind(
        WORKDAY, "工作日", "working day", ages=True, group=_GROUP,
        note=(
            "周一至周五且不放假，以及调休上班的周末。该年没有放假安排时未知，见“节假日”页",
            "Monday to Friday and no holiday; weekends worked for one. Unknown in a year without days: see “Holidays”",
        ),
    ),
)  # fmt: skip
