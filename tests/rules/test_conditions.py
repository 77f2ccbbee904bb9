"""Property conditions: their JSON, and what holds of one event."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.rules import InvalidCondition, holds, numeric, parse_condition, text_of
from siyu.rules.evaluate import number_text


def true_of(condition: Any, **properties: Any) -> bool:
    """Whether a condition holds of an event with these properties."""
    event = {"properties": properties, "context": {"page": {"url": "/a"}}, "name": "n", "end": "app", "source": "s"}
    return holds(parse_condition(condition), event | {"value_fen": 990})


@pytest.mark.parametrize(
    ("condition", "properties", "expected"),
    [
        ({}, {}, True),
        ({"k": "3"}, {"k": 3}, True),
        ({"k": 3}, {"k": "3"}, True),
        ({"k": 3}, {"k": "3.0"}, True),
        ({"k": "3.0"}, {"k": 3.0}, False),
        ({"k": 3}, {"k": True}, False),
        ({"k": True}, {"k": "true"}, True),
        ({"k": ""}, {}, False),
        ({"k": ""}, {"k": ""}, True),
        ({"k": None}, {"k": None}, True),
        ({"k": None}, {"k": ""}, False),
        ({"k": ["a", 1]}, {"k": "1"}, True),
        ({"k": 2**60 + 1}, {"k": 2**60}, False),
        ({"a.b": 1}, {"a": {"b": 1}}, True),
        ({"a.b": 1}, {"a.b": 1, "a": {"b": 2}}, True),
        ({"a.b": 1}, {"a": [1]}, False),
        ({"property": "n", "op": "gt", "value": 9}, {"n": "10"}, True),
        ({"property": "n", "op": "gt", "value": "9"}, {"n": "10"}, False),
        ({"property": "n", "op": "lt", "value": 9}, {}, False),
        ({"property": "n", "op": "gte", "value": ""}, {}, False),
        ({"property": "n", "op": "ne", "value": 1}, {}, True),
        ({"property": "n", "op": "not_in", "value": [1]}, {}, True),
        ({"property": "n", "op": "contains", "value": "b"}, {"n": ["a", "b"]}, True),
        ({"property": "n", "op": "contains", "value": "b"}, {"n": ["abc"]}, False),
        ({"property": "n", "op": "contains", "value": "b"}, {"n": "abc"}, True),
        ({"property": "n", "op": "contains", "value": "b"}, {"n": {"b": "b"}}, False),
        ({"property": "n", "op": "not_contains", "value": "b"}, {}, True),
        ({"property": "n", "op": "starts_with", "value": "中"}, {"n": "中文"}, True),
        ({"property": "n", "op": "ends_with", "value": "文"}, {"n": "中文"}, True),
        ({"property": "n", "op": "exists"}, {"n": None}, False),
        ({"property": "n", "op": "between", "value": [3, 5]}, {"n": "5"}, True),
        ({"property": "n", "op": "between", "value": [3, 5]}, {"n": 5.1}, False),
        ({"property": "n", "op": "between", "value": ["a", "c"]}, {"n": "b"}, True),
        ({"property": "n", "op": "between", "value": [3, 5]}, {}, False),
        ({"property": "n", "op": "is_multiple_of", "value": 7}, {"n": "14"}, True),
        ({"property": "n", "op": "is_multiple_of", "value": 7}, {"n": 15}, False),
        ({"property": "n", "op": "is_multiple_of", "value": 7}, {"n": 0}, True),
        ({"property": "n", "op": "is_null"}, {}, True),
        ({"all": []}, {}, True),
        ({"any": []}, {}, False),
        ({"any": [{"a": 1}, {"b": 1}]}, {"b": 1}, True),
        ({"all": [{"a": 1}, {"b": 1}]}, {"b": 1}, False),
        ({"not": {"a": 1}}, {}, True),
        ({"all": "word"}, {"all": "word"}, True),
        ({"not": "word"}, {"not": "word"}, True),
        ({"@end": "app", "@value_fen": 990, "@context.page.url": "/a"}, {}, True),
    ],
)
def test_holds(condition: Any, properties: dict[str, Any], expected: bool) -> None:
    assert true_of(condition, **properties) is expected


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ([], "where"),
        ({"": 1}, "where."),
        ({"k": {"a": 1}}, "where.k"),
        ({"k": [[1]]}, "where.k[0]"),
        ({"k": float("nan")}, "where.k"),
        ({"k": 2**70}, "where.k"),
        ({"k": "\ud800"}, "where.k"),
        ({"any": [{"a": 1}, 3]}, "where.any[1]"),
        ({"property": "a", "op": "like", "value": "x"}, "where.op"),
        ({"property": 3, "op": "eq", "value": "x"}, "where.property"),
        ({"property": "a", "op": "in", "value": "x"}, "where.value"),
        ({"property": "a", "op": "contains", "value": ""}, "where.value"),
        ({"property": "a", "op": "gt", "value": True}, "where.value"),
        ({"property": "a", "op": "exists", "value": 1}, "where.value"),
        ({"property": "a", "op": "eq"}, "where.value"),
        ({"property": "a", "op": "between", "value": [1]}, "where.value"),
        ({"property": "a", "op": "between", "value": [1, "b"]}, "where.value"),
        ({"property": "a", "op": "is_multiple_of", "value": 0}, "where.value"),
        ({"a.b.c.d.e.f.g.h.i": 1}, "where.a.b.c.d.e.f.g.h.i"),
    ],
)
def test_refused_at(condition: Any, path: str) -> None:
    with pytest.raises(InvalidCondition) as refused:
        parse_condition(condition)
    assert refused.value.details["path"] == path


def test_depth_and_size_are_bounded() -> None:
    deep: Any = {"a": 1}
    for _ in range(50):
        deep = {"not": deep}
    with pytest.raises(InvalidCondition):
        parse_condition(deep)
    with pytest.raises(InvalidCondition):
        parse_condition({str(i): i for i in range(1_000)})


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63))
def test_a_number_reads_back_from_its_text(number: float) -> None:
    text = number_text(number)
    assert numeric(text) == float(number)
    assert "e+" not in text
    assert not text.endswith(".0")


@given(st.integers(0, 2**64 - 1))
def test_the_text_of_a_float_is_the_shortest(bits: int) -> None:
    (number,) = struct.unpack("<d", bits.to_bytes(8, "little"))
    if number == number and abs(number) != float("inf"):
        digits = number_text(number).lower().replace("-", "").partition("e")[0].replace(".", "").strip("0")
        shortest = repr(number).lower().replace("-", "").partition("e")[0].replace(".", "").strip("0")
        assert digits == shortest


def test_texts() -> None:
    assert [text_of(v) for v in (1e21, 1e-7, 123456.5, -0.0, 1e20, 0.00001)] == [
        "1e21",
        "1e-7",
        "123456.5",
        "-0",
        "100000000000000000000",
        "0.00001",
    ]
    assert text_of(json.loads('{"a": [1, "b"]}')) == '{"a":[1,"b"]}'
