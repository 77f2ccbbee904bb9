"""The words that rules over persons may use: what the rooms below declare, and the catalogue's event names."""

from __future__ import annotations

from typing import Final

from siyu.collect.catalogue import CATALOGUE
from siyu.dimensions.catalogue import DIMENSIONS, Catalogue
from siyu.profile.attributes import ATTRIBUTES as PROFILE_ATTRIBUTES
from siyu.rules.vocabulary import AttributeKind, EventName, Vocabulary, vocabulary

SEGMENT_ATTRIBUTES: Final = (
    AttributeKind("segments", "人群", "segments", "list"),
    AttributeKind("listed", "名单", "lists", "list"),
)


def words_with(dimensions: Catalogue) -> Vocabulary:
    """The vocabulary of an installation with these dimensions."""
    return vocabulary(
        (*PROFILE_ATTRIBUTES, *SEGMENT_ATTRIBUTES, *dimensions.kinds),
        (EventName(entry.name, entry.zh, entry.en, (entry.name, *entry.aliases)) for entry in CATALOGUE),
        sorted({name for entry in CATALOGUE if not entry.behaviour for name in (entry.name, *entry.aliases)}),
        sorted({name for entry in CATALOGUE if entry.sign < 0 for name in (entry.name, *entry.aliases)}),
    )


WORDS: Final = words_with(DIMENSIONS)
"""One vocabulary for all rules of an installation."""
