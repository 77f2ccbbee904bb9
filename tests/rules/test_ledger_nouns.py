"""Lots, their expiry and their order: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.ledger import Currency, Rounding
from siyu.ledger.command import derived_key
from siyu.ledger.currency import lot_expiry
from siyu.ledger.lot import Lot, give_back, spend_order, take

ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 1, 1, tzinfo=UTC)

lots = st.lists(
    st.builds(
        lambda number, earned, ends, left: Lot(
            number, 1, START + timedelta(hours=earned), ends and START + timedelta(days=ends), left + 1, left
        ),
        st.integers(0, 10**6),
        st.integers(0, 50),
        st.none() | st.integers(1, 5),
        st.integers(0, 40),
    ),
    max_size=8,
    unique_by=lambda lot: lot.id,
)


@pytest.mark.parametrize(
    ("rounding", "months", "at", "ends"),
    [
        (Rounding.EXACT, 12, "2026-02-28T10:00:00+08:00", "2027-02-28T10:00:00+08:00"),
        (Rounding.EXACT, 12, "2028-02-29T10:00:00+08:00", "2029-02-28T10:00:00+08:00"),
        (Rounding.EXACT, 1, "2026-01-31T10:00:00+08:00", "2026-02-28T10:00:00+08:00"),
        (Rounding.DAY, 1, "2026-01-31T23:59:59+08:00", "2026-03-01T00:00:00+08:00"),
        (Rounding.MONTH, 12, "2026-06-08T11:01:00+08:00", "2027-07-01T00:00:00+08:00"),
        (Rounding.MONTH, 0, "2026-06-30T16:00:00+00:00", "2026-08-01T00:00:00+08:00"),
        (Rounding.MONTH, 0, "2026-06-30T15:59:59+00:00", "2026-07-01T00:00:00+08:00"),
        (Rounding.QUARTER, 0, "2026-11-22T00:00:00+08:00", "2027-01-01T00:00:00+08:00"),
        (Rounding.HALF, 0, "2026-06-30T23:59:59+08:00", "2026-07-01T00:00:00+08:00"),
        (Rounding.YEAR, 12, "2026-12-31T23:59:59+08:00", "2028-01-01T00:00:00+08:00"),
    ],
)
def test_expiry_is_put_off_to_the_end_of_a_local_period(rounding: Rounding, months: int, at: str, ends: str) -> None:
    currency = Currency("points", "", "", lots=True, keep_months=months, rounding=rounding)
    assert lot_expiry(currency, datetime.fromisoformat(at), ZONE) == datetime.fromisoformat(ends)


def test_some_currencies_never_end() -> None:
    assert lot_expiry(Currency("growth", "", ""), START, ZONE) is None


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    st.integers(0, 60),
    st.sampled_from(Rounding),
)
def test_nothing_ends_before_its_time(at: datetime, months: int, rounding: Rounding) -> None:
    exact = lot_expiry(Currency("points", "", "", keep_months=months), at, ZONE)
    rounded = lot_expiry(Currency("points", "", "", keep_months=months, rounding=rounding), at, ZONE)
    assert exact is not None and rounded is not None
    assert at <= exact <= rounded <= exact + timedelta(days=367)


@given(lots, st.integers(0, 200))
def test_a_spend_takes_what_ends_first_and_a_refund_gives_the_last_of_it_back(some: list[Lot], amount: int) -> None:
    order = sorted(some, key=spend_order)
    taken = take(order, amount)
    there = sum(lot.remaining for lot in some)
    assert sum(part.amount for part in taken) == min(amount, there)
    assert all(0 < part.amount <= part.lot.remaining for part in taken)
    whole = [part.lot for part in taken[:-1]]
    assert all(part.amount == part.lot.remaining for part in taken[:-1])
    assert [lot for lot in order if lot.remaining][: len(taken)] == [*whole, *(part.lot for part in taken[-1:])]
    for back in (0, amount // 2, amount):
        returned = give_back(taken, back)
        still = {part.lot.id: part.amount for part in taken}
        for part in returned:
            still[part.lot.id] -= part.amount
        # What is still taken is what a smaller spend would have taken.
        smaller = take(order, min(amount, there) - sum(part.amount for part in returned))
        assert {lot: units for lot, units in still.items() if units} == {p.lot.id: p.amount for p in smaller}


def test_keys_are_made_of_all_their_parts() -> None:
    assert derived_key("a", "bc") == derived_key("a", "bc")
    assert len({derived_key("a", "bc"), derived_key("ab", "c"), derived_key("abc"), derived_key("a", "b", "c")}) == 4
