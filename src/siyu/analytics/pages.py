"""The persons behind a number, as they are handed out."""

from __future__ import annotations

import msgspec


class PersonPage(msgspec.Struct):
    """Persons behind a number: how many they are, one page of public ids, and where the next page begins."""

    count: int
    persons: list[str]
    next_offset: int | None
