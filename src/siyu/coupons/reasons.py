"""Why something is not for a person, in the words and fields of a refusal. Pure.

Sentences of conditions only, never what was seen of the person: a refusal is kept as a reply, where an erasure does not
look, and tills read it (decision 0430).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from siyu.rules.explain import Reason


class Withheld(NamedTuple):
    """Why something is not to be had, or does not apply."""

    code: str
    because: str = ""
    """`condition`: they are not whom it is for."""
    why: tuple[Reason, ...] = ()
    """The conditions that do not hold."""


def worded(message: str, why: Sequence[Reason]) -> str:
    """The message with the conditions that do not hold."""
    return f"{message} Not fulfilled: {'; '.join(one.en for one in why)}." if why else message


def details_of(because: str, why: Sequence[Reason]) -> dict[str, object]:
    """The fields of a refusal: `because` and `why`, those that say something."""
    found: dict[str, object] = {"because": because} if because else {}
    return found | ({"why": [{"zh": one.zh, "en": one.en} for one in why]} if why else {})
