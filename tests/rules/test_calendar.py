"""Holidays and moved working days: what was published, what follows from it, and the lines people paste."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.calendar.actions import missing
from siyu.calendar.day import Day, Days, InvalidCalendar, Kind, as_text, asked_of, checked, read_days
from siyu.calendar.published import NOTICES, PUBLISHED

REST, WORK = Kind.REST, Kind.WORK
LENGTHS = {
    2025: {"元旦": 1, "春节": 8, "清明节": 3, "劳动节": 5, "端午节": 3, "国庆节": 7, "中秋节": 1},
    2026: {"元旦": 3, "春节": 9, "清明节": 3, "劳动节": 5, "端午节": 3, "中秋节": 3, "国庆节": 7},
}
"""Days off as the notices count them; of the eight of October 2025 one is 中秋节."""
WORKED = {
    2025: ["01-26", "02-08", "04-27", "09-28", "10-11"],
    2026: ["01-04", "02-14", "02-28", "05-09", "09-20", "10-10"],
}


@pytest.mark.parametrize("year", [2025, 2026])
def test_what_was_published_is_what_the_notices_say(year: int) -> None:
    days = PUBLISHED.of(year)
    assert {name: sum(one.name == name and one.kind is REST for one in days) for name in LENGTHS[year]} == LENGTHS[year]
    assert [f"{one.day:%m-%d}" for one in days if one.kind is WORK] == WORKED[year]
    # Work is moved to weekends only, and a stretch of days off begins or ends where people would have worked.
    assert all(one.day.isoweekday() >= 6 for one in days if one.kind is WORK)
    assert NOTICES.keys() == PUBLISHED.years


@pytest.mark.parametrize(
    ("day", "holiday", "works"),
    [
        ("2026-02-17", "春节", False),
        ("2026-02-14", None, True),
        ("2026-02-24", None, True),
        ("2026-03-01", None, False),
        ("2025-10-06", "中秋节", False),
        ("2025-10-08", "国庆节", False),
        ("2027-02-06", None, None),
        ("2024-10-01", None, None),
    ],
)
def test_a_day(day: str, holiday: str | None, works: bool | None) -> None:
    at = date.fromisoformat(day)
    assert (PUBLISHED.holiday(at), PUBLISHED.workday(at)) == (holiday, works)
    said = {"time.holiday": holiday, "time.workday": works}
    assert asked_of(PUBLISHED, at) == {name: value for name, value in said.items() if value is not None}


def test_an_own_year_stands_for_the_whole_year() -> None:
    days = PUBLISHED.with_own([Day(date(2026, 8, 8), "店庆", REST), Day(date(2027, 1, 1), "元旦", REST)])
    assert days.holiday(date(2026, 8, 8)) == "店庆"
    assert days.holiday(date(2026, 2, 17)) is None
    assert days.workday(date(2026, 2, 17)) is True
    assert days.holiday(date(2025, 1, 1)) == "元旦"
    assert days.years == {2025, 2026, 2027}


def test_who_misses_a_year() -> None:
    assert missing(PUBLISHED, date(2026, 11, 30)) == []
    assert missing(PUBLISHED, date(2026, 12, 1)) == [2027]
    assert missing(PUBLISHED, date(2027, 1, 1)) == [2027]
    assert missing(Days(), date(2027, 12, 1)) == [2027, 2028]


def test_lines_as_people_paste_them() -> None:
    text = "\ufeff日期,名称,类型\n# 国办\n2027-01-01\t元旦\trest\n\n2027/2/5～2027/2/7，春节，休\n"
    text += "2027年2月14日;春节;上班\n"
    spring = [Day(date(2027, 2, n), "春节", REST) for n in (5, 6, 7)]
    assert read_days(text) == [Day(date(2027, 1, 1), "元旦", REST), *spring, Day(date(2027, 2, 14), "春节", WORK)]
    for line in (
        "2027-13-01,元旦,rest", "2027-01-01,元旦", "2027-01-01,元旦,perhaps", "soon 1,元旦,rest",
        "2027-01-03~2027-01-01,元旦,rest", "2000-01-01~2030-01-01,元旦,rest",
    ):  # fmt: skip
        with pytest.raises(InvalidCalendar) as refused:
            read_days(f"2027-01-01,元旦,rest\n{line}")
        assert refused.value.details["line"] == 2


def test_what_is_no_year() -> None:
    day = Day(date(2027, 1, 1), "元旦", REST)
    for days in ([], [day, day], [day._replace(day=date(2026, 1, 1))], [day._replace(name=" ")]):
        with pytest.raises(InvalidCalendar):
            checked(2027, days)
    assert checked(2027, [day._replace(name=" 元旦 ")]) == [day]


names = st.text("春节ab 元旦", min_size=1, max_size=9).map(str.strip).filter(bool)
years = st.dictionaries(
    st.dates(date(2027, 1, 1), date(2027, 12, 31)), st.tuples(names, st.sampled_from(Kind)), min_size=1
)


@given(years)
def test_lines_read_back_and_every_day_is_one_of_three(known: dict[date, tuple[str, Kind]]) -> None:
    days = checked(2027, [Day(day, *what) for day, what in known.items()])
    assert read_days(as_text(days)) == days
    calendar = Days(days)
    for n in range(365):
        day = date(2027, 1, 1) + timedelta(days=n)
        name, kind = known.get(day, (None, WORK if day.isoweekday() < 6 else REST))
        assert calendar.workday(day) is (kind is WORK)
        assert calendar.holiday(day) == (name if kind is REST else None)
