"""The dedupe memory against a plain set."""

from __future__ import annotations

import asyncio

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siyu.processor.seen import Hashes, Seen

BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 60), st.integers(100, 104)), max_size=30), max_size=12)


async def nothing_stored(days: list[int]) -> dict[int, Hashes]:
    return {}


def sightings(seen: Seen, batch: list[tuple[int, int]]) -> list[bool]:
    hashes = np.array([item[0] for item in batch], np.uint64)
    days = np.array([item[1] for item in batch], np.int64)
    return asyncio.run(seen.first_sightings(hashes, days)).tolist() if batch else []


@given(BATCHES)
def test_an_event_is_new_exactly_once_on_one_day(batches: list[list[tuple[int, int]]]) -> None:
    seen, model = Seen(nothing_stored), set[int]()
    for batch in batches:
        one_day = [(number, 100) for number, _ in batch]
        expected = []
        for number, _ in one_day:
            expected.append(number not in model)
            model.add(number)
        assert sightings(seen, one_day) == expected


@given(BATCHES)
def test_a_repeat_on_a_neighbour_day_is_a_repeat(batches: list[list[tuple[int, int]]]) -> None:
    seen = Seen(nothing_stored)
    stored: dict[int, set[int]] = {}
    for batch in batches:
        known = {
            number
            for number, days in stored.items()
            for n, day in batch
            if n == number
            for d in days
            if abs(d - day) <= 1
        }
        result = sightings(seen, batch)
        for (number, day), fresh in zip(batch, result, strict=True):
            if number in known and any(abs(d - day) <= 1 for d in stored[number]):
                assert not fresh
            if fresh:
                stored.setdefault(number, set()).add(day)
        # Inside one batch a number is new at most once.
        new = [number for (number, _), fresh in zip(batch, result, strict=True) if fresh]
        assert len(new) == len(set(new))


def test_days_are_read_from_the_store_when_first_met_and_dropped_when_over_the_limit() -> None:
    asked: list[list[int]] = []

    async def stored(days: list[int]) -> dict[int, Hashes]:
        asked.append(days)
        return {100: np.array([7, 3], np.uint64)} if 100 in days else {}

    seen = Seen(stored, hashes_max=10)
    assert sightings(seen, [(3, 100), (7, 101), (8, 100)]) == [False, False, True]
    assert sightings(seen, [(8, 100)]) == [False]
    assert asked[0] == [99, 100, 101, 102]
    sightings(seen, [(number, 500) for number in range(20)])
    assert sightings(seen, [(3, 100)]) == [False], "read again after it was dropped"
    assert asked[-1] == [99, 100, 101] or 100 in asked[-1]
