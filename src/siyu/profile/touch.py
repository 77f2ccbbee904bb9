"""Touches (触点): every time an end told where a person came from. All are kept; first and last are folds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from siyu.profile.scenes import bare_scene

FIELDS: Final = (
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_content",
    "utm_term",
    "scene",
    "state",
    "inviter",
    "referrer",
    "click_id",
)
"""What a touch may say. `scene` is a mini-program's entry, `state` a channel code's (渠道活码)."""
FIELD_CHARS_MAX: Final = 1_000


class Touch(NamedTuple):
    """One touch."""

    at_ms: int
    event_id: str
    source: str
    end: str
    kind: str
    """The identifier's kind."""
    value: str
    """The identifier's value."""
    fields: dict[str, str]


def first_and_last(touches: Iterable[Touch]) -> tuple[Touch | None, Touch | None]:
    """The first and the last touch by (event time, event id). Pure: order and duplicates do not matter."""
    first = last = None
    for touch in touches:
        if first is None or touch[:6] < first[:6]:
            first = touch
        if last is None or touch[:6] > last[:6]:
            last = touch
    return first, last


def clean_fields(sent: dict[str, str]) -> dict[str, str]:
    """The known, non-empty fields of a touch, cut to their limit, without NUL; a scene as `scenes` keeps it."""
    fields = {
        name: text[:FIELD_CHARS_MAX]
        for name in FIELDS
        if isinstance(value := sent.get(name), str) and (text := value.replace("\x00", "").strip())
    }
    return fields | {"scene": bare_scene(fields["scene"])} if "scene" in fields else fields
