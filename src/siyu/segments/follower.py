"""Followers: rooms above that decide about persons by rules too, on the looks of the one keeper.

What makes the keeper look (events, who is who, time, new definitions) and what it reads are the same for all of them,
so there is one look, one statement per dozen metrics and one place where something is still to be done (decision 0320).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from siyu.identity.spans import Touched
from siyu.rules.rule import Rule
from siyu.rules.window import Setting
from siyu.segments.population import Population


class Following(NamedTuple):
    """What a follower wants of the looks to come."""

    rules: Sequence[Rule] = ()
    """They are among what a look reads."""
    whole: bool = False
    """Everybody has to be looked at."""
    personal: bool = False
    """The window `campaign` of its rules begins at another time for each person: no look at everybody at once."""


class Look(NamedTuple):
    """Some persons, or everybody, as they are now."""

    population: Population
    some: Touched | None
    """Whom the look was for; None: everybody."""
    setting: Setting
    seen: frozenset[int]
    """Identifiers of whom an event has just come."""


class Follower(Protocol):
    """`connection` is a raw asyncpg connection; `decide` is called in a transaction."""

    async def load(self, connection: Any, now: datetime) -> Following:
        """What it wants now. Called before every step."""
        ...

    async def due(self, connection: Any, until: datetime) -> set[int]:
        """Persons about whom time alone has something to say by now."""
        ...

    async def starts(self, connection: Any, persons: Sequence[int]) -> Mapping[int, int]:
        """When each person's own window begins, epoch milliseconds."""
        ...

    async def decide(self, connection: Any, look: Look) -> None:
        """Decide about everybody of a look, and write it."""
        ...

    async def built(self, connection: Any, now: datetime) -> None:
        """Everybody was looked at."""
        ...
