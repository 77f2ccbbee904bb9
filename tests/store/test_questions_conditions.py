"""A condition as SQL and as a closure: the same events, in the real engine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siyu.rules import Params, condition_sql, field_text_sql, holds, parse_condition, text_of
from siyu.rules.condition import OPERATORS, parse_field
from siyu.rules.evaluate import read_field
from siyu.store.clickhouse import EventStore
from tests.reference.world import Happening, as_event, insert_events

NAMES = ("k", "a.b", "a", "it's", 'quo"te', "back\\slash", "空 格", "{p0:String}", "'); DROP TABLE events; --", "@end")
TEXTS = (
    "",
    "a",
    "ab",
    "3",
    "3.0",
    "-0",
    "1e3",
    " 3",
    "true",
    "null",
    "中文😀",
    "O'Brien",
    "\\",
    '"',
    "\x01\n",
    "x" * 5000,
)
SCALARS = (*TEXTS, 0, 3, -3, 3.0, 2.5, 1e-7, 1e20, 2**53 + 1, 2**60, True, False)
VALUES = (*SCALARS, None, [], ["a", 3, None, "null", True], [["a"]], {}, {"b": "a"}, {"b": {"c": 3}}, {"b": None})

ROWS = [
    Happening(1, "n", 1_700_000_000_000 + i, properties, end="app" if i % 2 else "web")
    for i, properties in enumerate(
        [{}, *({name: value} for name in NAMES[:-1] for value in VALUES), {"a.b": 1, "a": {"b": 2}}, {"a.b": None}]
    )
]

fields = st.sampled_from(NAMES)
scalars = st.sampled_from(SCALARS)
compares = st.one_of(
    st.builds(lambda p, v: {p: v}, fields, scalars | st.none() | st.lists(scalars, max_size=3)),
    st.builds(lambda p, op, v: {"property": p, "op": op, "value": v}, fields, st.sampled_from(["eq", "ne"]), scalars),
    st.builds(
        lambda p, op, v: {"property": p, "op": op, "value": v},
        fields,
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        scalars.filter(lambda v: not isinstance(v, bool)),
    ),
    st.builds(
        lambda p, op, v: {"property": p, "op": op, "value": v},
        fields,
        st.sampled_from(["in", "not_in"]),
        st.lists(scalars, max_size=4),
    ),
    st.builds(
        lambda p, op, v: {"property": p, "op": op, "value": v},
        fields,
        st.sampled_from(["contains", "not_contains", "starts_with", "ends_with"]),
        st.sampled_from([text for text in TEXTS if text]),
    ),
    st.builds(lambda p, op: {"property": p, "op": op}, fields, st.sampled_from(["exists", "is_null"])),
    st.builds(
        lambda p, pair: {"property": p, "op": "between", "value": list(pair)},
        fields,
        st.tuples(*[st.sampled_from(TEXTS)] * 2) | st.tuples(*[st.sampled_from([-3, 0, 2.5, 3, 2**53 + 1])] * 2),
    ),
    st.builds(
        lambda p, n: {"property": p, "op": "is_multiple_of", "value": n}, fields, st.sampled_from([1, 3, 10, 10**9])
    ),
)
conditions = st.recursive(
    compares,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=4,
)


@pytest.fixture
async def filled(events: EventStore) -> EventStore:
    """An engine that holds ROWS; the receipt order is the order of time."""
    await events.create_all()
    await insert_events(events, ROWS)
    return events


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=conditions)
async def test_sql_and_closure_agree(filled: EventStore, condition: dict[str, Any]) -> None:
    params = Params()
    tree = parse_condition(condition)
    sql = f"SELECT toUInt8({condition_sql(tree, params)}) FROM events ORDER BY occurred_at"
    found = [bool(row[0]) for row in await filled.rows(sql, params.values)]
    expected = [holds(tree, as_event(row)) for row in ROWS]
    assert [row.properties for row, f, e in zip(ROWS, found, expected, strict=True) if f != e] == []


@pytest.mark.parametrize("name", NAMES)
async def test_the_text_of_a_property_agrees(filled: EventStore, name: str) -> None:
    params, field = Params(), parse_field(name)
    sql = f"SELECT {field_text_sql(field, params)} FROM events ORDER BY occurred_at"
    found = [row[0] for row in await filled.rows(sql, params.values)]
    assert found == [text_of(read_field(field, as_event(row))) for row in ROWS]


def test_every_operator_is_generated() -> None:
    assert {
        *("eq", "ne", "gt", "gte", "lt", "lte", "in", "not_in"),
        *("contains", "not_contains", "starts_with", "ends_with", "exists", "is_null"),
        *("between", "is_multiple_of"),
    } == OPERATORS
