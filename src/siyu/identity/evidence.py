"""What identity is computed from: identifiers, and links between them with the times they were seen. Pure nouns."""

from __future__ import annotations

import hashlib
from enum import IntEnum
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from uuid import UUID

from siyu.ids import CARRIED, CURRENT, KIND_RANK, SINGLE, base_kind

NAMED_KIND: Final = "any"
"""Kind of a value that an alias names without saying what it is. No person has it; it only connects."""

_KINDS_MAX: Final = 4096
"""Kinds (with their scopes) whose class is remembered."""

Rule = Literal["seen", "bind", "alias", "named", "unbind"]
"""`seen`: both stood on one event. `bind`: the same, stated by the event. `alias`: declared to be one person.
`named`: this identifier has the value that an alias names. `unbind`: from its time on `a` is no longer `b`'s."""


class Tier(IntEnum):
    """The order in which links are weighed. What an earlier tier joined, a later one cannot part."""

    DECLARED = 0
    CUT = 1
    """Unbinds: not weighed against anything, they cut an identifier's life into parts."""
    STRONG = 2
    CURRENT = 3
    CARRIED = 4


class Reason(NamedTuple):
    """Why a link does not count."""

    code: Literal["CONFLICT", "CAP"]
    """CONFLICT: it would give a person two values of a single class. CAP: too many identifiers."""
    kind: str = ""
    """The single kind of which there would be two."""


class Identifier(NamedTuple):
    """One identifier: its dense number, kind with scope, and key (`ids.identifier_key`)."""

    id: int
    kind: str
    key: str


class Link(NamedTuple):
    """Evidence about two identifiers. `a` is the stronger; equal strength: the lower key."""

    link_id: UUID
    a: int
    b: int
    rule: Rule
    times: tuple[int, ...]
    """When it was seen, ascending, epoch milliseconds. Only the first matters unless `a` or `b` changed hands;
    then a time may be left out when the one before it, among all links of its group, is of the same link."""


@lru_cache(_KINDS_MAX)
def rank(kind: str) -> int:
    """Strength of a kind, 0 strongest; the named kind is weakest."""
    return KIND_RANK.get(base_kind(kind), len(KIND_RANK))


@lru_cache(_KINDS_MAX)
def is_single(kind: str) -> bool:
    """Whether a person has at most one of this kind (per scope)."""
    return base_kind(kind) in SINGLE


@lru_cache(_KINDS_MAX)
def is_current(kind: str) -> bool:
    """Whether an identifier of this kind may pass on to another person (phone, email)."""
    return base_kind(kind) in CURRENT


@lru_cache(_KINDS_MAX)
def is_carried(kind: str) -> bool:
    """Whether an identifier of this kind follows the stronger one last seen with it."""
    return base_kind(kind) in CARRIED


@lru_cache(_KINDS_MAX)
def tier_of(rule: str, kind_a: str, kind_b: str) -> Tier:
    """The tier of a link between identifiers of these kinds."""
    if rule == "unbind":
        return Tier.CUT
    if rule in {"alias", "named"}:
        return Tier.DECLARED
    if is_carried(kind_a) or is_carried(kind_b):
        return Tier.CARRIED
    if is_current(kind_a) or is_current(kind_b):
        return Tier.CURRENT
    return Tier.STRONG


def link_id(uid_a: UUID, uid_b: UUID, rule: str, at_ms: int = 0) -> UUID:
    """The id of a link, the same in whatever order evidence arrives. `seen` and `bind` of one pair are one link; of an
    unbind the time counts too. Made from uids (keyed hashes), so it gives no phone number away."""
    family = "seen" if rule == "bind" else rule
    text = f"{family}:{at_ms if rule == 'unbind' else 0}".encode()
    digest = bytearray(hashlib.blake2b(uid_a.bytes + uid_b.bytes + text, digest_size=16).digest())
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return UUID(bytes=bytes(digest))


def stronger_first(one: Identifier, other: Identifier) -> tuple[Identifier, Identifier]:
    """The two, stronger first; equal strength: lower key first."""
    return (one, other) if (rank(one.kind), one.key) <= (rank(other.kind), other.key) else (other, one)
