"""What an event was about, in a few characters: for feeds and timelines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from siyu.rules.commerce import ORDER, PRODUCT, PRODUCT_NAME
from siyu.rules.evaluate import listed_lines

CHARS_MAX: Final = 80
_NAMES: Final = (*PRODUCT_NAME, "title", "page_title", "$title")
_TELLING: Final = (
    "coupon", "keyword", "query", "key_word", "search_term", "channel", "campaign", "path", "$url_path", "$screen_name",
    "url", "$url", *PRODUCT, *ORDER,
)  # fmt: skip


def about(properties: Any) -> str:
    """The thing an event names, the first of its lines and how many more there are, else the property that says best
    what it was about; empty when none does."""
    if not isinstance(properties, dict):
        return ""
    lines = listed_lines(properties)
    named = _said(properties, _NAMES) or _said(lines[0] if lines else {}, (*_NAMES, *PRODUCT))
    if named and len(lines) > 1:
        return f"{named} +{len(lines) - 1}"
    return named or _said(properties, _TELLING)


def _said(properties: Mapping[str, Any], names: Iterable[str]) -> str:
    found = (properties.get(name) for name in names)
    texts = (str(one) for one in found if isinstance(one, str | int) and not isinstance(one, bool))
    return next((text[:CHARS_MAX] for text in texts if text), "")
