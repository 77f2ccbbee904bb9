"""Numbers in JSON text that the event store's JSON functions cannot read: one of them hides every other property.

Those functions know whole numbers of 64 bits and finite fractions; what is beyond keeps its exact digits as a string.
Pure.
"""

from __future__ import annotations

import re
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_LONG: Final = r"[0-9]{19}|[eE]\+?[0-9]{3}"
"""A quick look at a whole column: what it does not find needs no second one."""
_SUSPECT: Final = r"[:\[,]\s*(-?[0-9]{19}|-?[0-9.]+[eE]\+?[0-9]{3})"
"""A closer look: a number, not the digits of an order in a string."""
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*', re.DOTALL)
_MIN: Final = -(1 << 63)
_MAX: Final = (1 << 64) - 1
_INFINITE: Final = float("inf")


def readable(column: Any) -> Any:
    """A column of JSON texts, the numbers beyond the store's quoted. The same column when there is none."""
    rows = pc.indices_nonzero(pc.match_substring_regex(column, _LONG))
    if len(rows):
        rows = rows.filter(pc.match_substring_regex(column.take(rows), _SUSPECT))
    if not len(rows):
        return column
    texts = column.to_pylist()
    for row in rows.to_pylist():
        texts[row] = quote_wide_numbers(texts[row])
    return pa.array(texts, column.type)


def quote_wide_numbers(text: str) -> str:
    """JSON text with every number beyond 64 bits, or beyond the finite, as a string of its digits."""
    return _TOKEN.sub(_token, text)


def _token(match: re.Match[str]) -> str:
    token = match[0]
    if token[0] == '"':
        return token
    if token.lstrip("-").isdecimal():
        # As text first: Python refuses to read numbers of thousands of digits.
        fits = len(token) <= 21 and _MIN <= int(token) <= _MAX
    else:
        fits = abs(float(token)) < _INFINITE
    return token if fits else f'"{token}"'
