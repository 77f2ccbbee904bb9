"""Our own remarks about an event, kept in its context under `$siyu`. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from siyu.collect.catalogue import BY_NAME
from siyu.collect.instants import epoch_ms
from siyu.collect.loose_json import dumps
from siyu.collect.parsed import NAME_LENGTH_MAX, BadEvent

SENSORS_NAME: Final = re.compile(
    r"(?!(?:distinct_id|original_id|time|properties|id|first_id|second_id|users|events|event|event_id|device_id|user_id"
    r"|date|datetime)$|user_group|user_tag)[a-zA-Z_$][a-zA-Z\d_$]{0,99}",
    re.IGNORECASE,
)
_REPORTED_MAX: Final = 20


def marked(context: str, marks: Mapping[str, Any]) -> str:
    """A context's JSON text with `marks` under `$siyu`; unchanged without marks."""
    if not marks:
        return context
    rest = context[1:].lstrip()
    return '{"$siyu":' + dumps(marks) + ("," if rest[:1] != "}" else "") + rest


def odd_names(names: Iterable[str]) -> list[str]:
    """Names that Sensors would refuse (reserved, too long, other characters): stored all the same, and reported.

    The catalogue's own names (`order.paid`) have a dot that Sensors does not know; they are not odd to us."""
    return list(_odd_names(tuple(names)))


@lru_cache(maxsize=512)
def _odd_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Senders use few sets of names, so each set is looked at once."""
    odd = [name for name in names if SENSORS_NAME.fullmatch(name) is None and name not in BY_NAME]
    return tuple(name[:NAME_LENGTH_MAX] for name in odd[:_REPORTED_MAX])


def event_name(name: object) -> str:
    """A clean event name. Raises BadEvent for none, for control characters and beyond NAME_LENGTH_MAX."""
    if type(name) is str and 0 < len(name) <= NAME_LENGTH_MAX and name.isprintable() and " " not in name:
        return name
    if not isinstance(name, str) or not name.strip():
        raise BadEvent("NO_EVENT_NAME", "The event has no name.")
    name = name.strip()
    if len(name) > NAME_LENGTH_MAX or any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise BadEvent(
            "BAD_NAME", f"An event name has 1 to {NAME_LENGTH_MAX} characters, none of them a control character."
        )
    return name


def parsed_ms(stamp: object, **options: Any) -> int:
    """`instants.epoch_ms`. Raises BadEvent for an impossible time."""
    ms = epoch_ms(stamp, **options)
    if ms is None:
        raise BadEvent("BAD_TIME", f"{str(stamp)[:64]!r} is no possible time.")
    return ms


def clamped(stamp: object) -> dict[str, Any]:
    """The mark of an event whose own time cannot be and was replaced by the time of receipt."""
    return {"clamped": True, "sent_time": str(stamp)[:64]}
