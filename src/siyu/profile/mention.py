"""Whether a raw body speaks of a person: needed to erase what could not be processed. Pure.

A body that is JSON is looked through leaf by leaf, each cleaned as an identifier would be, so that `138 0013 8000` is
found for `+8613800138000`. A short value ("1") proves nothing in a price or a quantity: it counts only under a name
that speaks of identity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from siyu.collect.identifiers import clean_value
from siyu.ids import base_kind

TELLING_CHARS_MIN: Final = 6
"""From this length on a value names its person wherever it stands."""
LEAVES_MAX: Final = 100_000

_ID_NAMES: Final = re.compile(
    r"id$|id_|^\$?identit|user|login|member|card|phone|mobile|tel|e?mail|openid|unionid|distinct|anonymous|alias|device",
    re.IGNORECASE,
)
_decode: Final = msgspec.json.Decoder().decode


class Wanted:
    """The identifiers of one person, ready to be looked for."""

    def __init__(self, identifiers: Iterable[tuple[str, str]]) -> None:
        """`identifiers`: (kind, value) as stored."""
        self._values: dict[str, set[str]] = {}
        for kind, value in identifiers:
            self._values.setdefault(base_kind(kind), set()).add(value)
        telling = {
            spelling
            for values in self._values.values()
            for value in values
            for spelling in (value, value.removeprefix("+86"))
            if len(spelling) >= TELLING_CHARS_MIN
        }
        self._text = (
            re.compile("|".join(rf"(?<!\w){re.escape(text)}(?!\w)" for text in sorted(telling)), re.IGNORECASE)
            if telling
            else None
        )

    def in_body(self, body: bytes) -> bool:
        """Whether `body` speaks of the person."""
        text = body.decode("utf-8", "replace")
        if self._text is not None and self._text.search(text):
            return True
        try:
            decoded = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return any(self._is(name, leaf) for name, leaf in _leaves(decoded))

    def _is(self, name: str, leaf: object) -> bool:
        telling = _ID_NAMES.search(name) is not None
        for kind, values in self._values.items():
            value = clean_value(kind, leaf)
            if value in values and (telling or len(value or "") >= TELLING_CHARS_MIN):
                return True
        return False


def _leaves(root: Any) -> Iterator[tuple[str, object]]:
    """(name, value) of every text and number, without recursion; the name of a list item is the list's."""
    stack: list[tuple[str, Any]] = [("", root)]
    for _ in range(LEAVES_MAX):
        if not stack:
            return
        name, node = stack.pop()
        if isinstance(node, dict):
            stack.extend((str(key), child) for key, child in node.items())
        elif isinstance(node, list):
            stack.extend((name, child) for child in node)
        elif isinstance(node, str | int | float):
            yield name, node
