"""What a process says of its doors to whoever answers for the whole server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

from siyu.collect.intake import Intake
from siyu.collect.meters import Counts, counts


class DoorReport(msgspec.Struct, frozen=True):
    """The doors of one process."""

    counts: Counts
    engine: str | None = None
    """The engine for whose sake the doors cannot keep what they take; None when all is well."""
    trouble: str = ""
    """Why, for people."""


Doors: TypeAlias = Callable[[], Awaitable[Sequence[DoorReport]]]
"""Asks all doors of the server."""


def report_of(intake: Intake) -> DoorReport:
    """The report of this process."""
    trouble = intake.trouble()
    if trouble is None:
        return DoorReport(counts())
    return DoorReport(counts(), str(trouble.details.get("engine", "stream")), str(trouble))
