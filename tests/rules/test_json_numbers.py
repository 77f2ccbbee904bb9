"""Numbers that the event store's JSON functions cannot read are quoted, everything else keeps every character."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.processor.json_numbers import quote_wide_numbers, readable

FITS = [
    "0",
    "-1",
    "18446744073709551615",
    "-9223372036854775808",
    "1e308",
    "1.5",
    "-0.0",
    "1E-400",
    "12345678901234567890123.5",
]
WIDE = ["18446744073709551616", "-9223372036854775809", "9" * 6_000, "-" + "9" * 6_000, "1e309", "-1.5E+999", "123e400"]


@pytest.mark.parametrize("number", FITS)
def test_what_fits_stays(number: str) -> None:
    text = f'{{"a": {number}, "b": [{number}]}}'
    assert readable(pa.array([text])).to_pylist() == [text]
    assert quote_wide_numbers(text) == text


@pytest.mark.parametrize("number", WIDE)
@pytest.mark.parametrize("form", ['{"a":%s,"b":"x"}', '{"a": [1, %s ], "b": {"c":\n%s}}', "[%s]", '{"%s":"%s","n":%s}'])
def test_what_does_not_becomes_its_digits(number: str, form: str) -> None:
    text = form.replace("%s", number)
    (found,) = readable(pa.array([text])).to_pylist()
    quoted = text.replace(number, f'"{number}"').replace(f'""{number}""', f'"{number}"')
    assert found == quoted


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**30), 10**30) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def wanted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: wanted(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [wanted(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 64:
        return str(value)
    return value


@given(st.lists(st.dictionaries(st.text(max_size=6), values, max_size=4), min_size=1, max_size=5))
def test_any_objects(objects: list[dict[str, Any]]) -> None:
    texts = [json.dumps(one, ensure_ascii=False) for one in objects]
    found = readable(pa.chunked_array([pa.array(texts)])).to_pylist()
    assert [repr(json.loads(text)) for text in found] == [repr(wanted(json.loads(text))) for text in texts]
