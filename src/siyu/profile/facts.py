"""What the logs hold about persons, as read in one statement for a whole list of them.

Every log is read by member identifier and by the time in which that identifier was the person's: so a phone that was
passed on, or a shared device, leaves with each person what happened in that person's time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from siyu.identity.spans import Span
from siyu.profile.catalogue import Declared, declared_of
from siyu.profile.consent import Decision
from siyu.profile.tag import TagChange, TagOp
from siyu.profile.touch import Touch
from siyu.profile.trait import TraitEffects, TraitEvent

decode_ops: Final = msgspec.json.Decoder(TraitEffects).decode
decode_fields: Final = msgspec.json.Decoder(dict[str, str]).decode


class IdentifierRow(NamedTuple):
    """A member identifier."""

    anchor: int
    kind: str
    value: str
    uid: str
    first_ms: int
    last_ms: int
    """Precise to a day."""
    source: str


class Purchases(NamedTuple):
    """Sums over the purchases of a person."""

    last_ms: int | None = None
    days: int = 0
    """Different local days with a purchase."""
    spend_fen: int = 0
    recent_orders: int = 0
    recent_spend_fen: int = 0


class Facts:
    """What is known about one person."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans
        self.identifiers: list[IdentifierRow] = []
        self.traits: list[TraitEvent] = []
        self.tags: list[TagOp] = []
        self.consents: list[Decision] = []
        self.touches: list[Touch] = []
        """The first and the last of each identifier, not all."""
        self.purchases = Purchases()
        self.segments: list[str] = []
        self.tier: str | None = None


class Shared(NamedTuple):
    """What is the same for all persons."""

    declared: dict[str, Declared]
    figures: dict[str, str]
    """profile_figures: JSON text by name."""


def sort_out(rows: Iterable[Sequence[Any]], spans: Sequence[Span]) -> tuple[dict[int, Facts], Shared]:
    """The rows of `read.FACTS` (section, person, anchor, n, k, a, b, c, d) by person, in the order of `spans`."""
    facts: dict[int, Facts] = {}
    for span in spans:
        mine = facts.setdefault(span.person, Facts([]))
        mine.spans = [*mine.spans, span]
    figures: dict[str, str] = {}
    declared: list[tuple[str, str, str, str]] = []
    touches: list[Sequence[Any]] = []
    names: dict[int, IdentifierRow] = {}
    for row in rows:
        section, person, anchor, n, k, a, b, c, d = row
        if section == "figure":
            figures[a] = b
        elif section == "declared":
            declared.append((a, b, c, d))
        elif section == "trait":
            facts[person].traits.append(TraitEvent(n, a, b, anchor, decode_ops(c)))
        elif section == "identifier":
            names[anchor] = IdentifierRow(anchor, a, b, c, n, k, d)
            facts[person].identifiers.append(names[anchor])
        elif section == "tag":
            facts[person].tags.append(TagOp(n, a, TagChange(k), b, c, d))
        elif section == "consent":
            channel, _, version = d.partition("\n")
            facts[person].consents.append(Decision(n, a, bool(k), b, channel, c, version))
        elif section == "segments":
            facts[person].segments = a.split("\n") if a else []
        elif section == "tier":
            facts[person].tier = a
        elif section == "touch":
            touches.append(row)
        elif section == "purchases":
            facts[person].purchases = Purchases(n, k, int(a), int(b), int(c))
    for _, person, anchor, n, _k, a, b, c, d in touches:
        name = names[anchor]
        facts[person].touches.append(Touch(n, a, b, c, name.kind, name.value, decode_fields(d)))
    return facts, Shared(declared_of(declared), figures)
