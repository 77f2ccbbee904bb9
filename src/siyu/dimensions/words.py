"""The names of events as rules and dimensions know them: the catalogue's."""

from __future__ import annotations

from typing import Final

from siyu.collect.catalogue import CATALOGUE
from siyu.rules.vocabulary import EventName, vocabulary

EVENT_WORDS: Final = vocabulary(
    (),
    (EventName(entry.name, entry.zh, entry.en, (entry.name, *entry.aliases)) for entry in CATALOGUE),
    sorted({name for entry in CATALOGUE if not entry.behaviour for name in (entry.name, *entry.aliases)}),
    sorted({name for entry in CATALOGUE if entry.sign < 0 for name in (entry.name, *entry.aliases)}),
)
"""A vocabulary of events only: rooms above add what may be asked of persons."""
