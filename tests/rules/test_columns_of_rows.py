"""Columns of rows: sorting what comes in runs, blocks of persons, presence without repetitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.analytics import columns, packing
from siyu.analytics.presence import Presence

NUMBERS = st.integers(0, 2**62)


@given(st.lists(st.lists(NUMBERS).map(sorted), max_size=20), st.integers(1, 7), st.integers(1, 9))
def test_runs_are_sorted_like_anything_else(runs: list[list[int]], look: int, least: int) -> None:
    values = [number for run in runs for number in run]
    column = np.array(values, np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "_LOOK", look)
        patch.setattr(columns, "_RUN_MIN", least)
        columns.sort_runs(column)
    assert column.tolist() == sorted(values)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=30), st.integers(1, 12))
def test_presence_without_repetitions_is_the_same_presence(rows: list[tuple[int, int]], cells: int) -> None:
    unit, period = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
    presence = Presence(unit, period, 6, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("siyu.analytics.presence.CELLS_MAX", cells)
        once = presence.distinct()
    assert sorted(zip(once.unit.tolist(), once.period.tolist(), strict=True)) == sorted(set(rows))
    assert (once.block(0, 6) == presence.block(0, 6)).all()


@given(st.lists(st.integers(0, 40), max_size=60).map(sorted), st.integers(1, 9))
def test_no_person_is_in_two_blocks(persons: list[int], size: int) -> None:
    form = packing.Packing(0, 4, 2, fits=True, spare=0)
    word = np.array([person << 6 | i % 64 for i, person in enumerate(persons)], np.int64)
    word.sort()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "BLOCK_ROWS", size)
        found = packing.in_blocks(packing.Sorted(form, (word,), None), lambda rows: rows.person.tolist())
    assert [person for block in found for person in block] == sorted(persons)
    owners = [person for block in found for person in set(block)]
    assert len(owners) == len(set(owners))
