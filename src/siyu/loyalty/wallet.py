"""Wallets: under which names the ledger keeps what a person has, and in which order it is drawn on. Pure.

A wallet hangs on the identifier that earned it, so a person's figure is the sum over their members, and taking a merge
back gives each their own. A holder is the identifier's dense number; where an identifier may change hands (a phone, a
device), with the instant at which it was opened: it belongs to whoever had the identifier then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from siyu.identity.members import Member, Named
from siyu.identity.spans import END_MS
from siyu.ids import KIND_RANK, MANY, SINGLE, base_kind

_FOR_EVER: Final = frozenset((*SINGLE, *MANY))
_AT: Final = "@"


class Wallets(NamedTuple):
    """Where a person's value is kept."""

    person_id: UUID
    own: str
    """The holder under which they earn now."""
    holders: tuple[str, ...]
    """All of them, in the order in which equal lots are drawn on; `own` among them."""


def lasting(member: Member) -> bool:
    """Whether the identifier is one person's for ever."""
    return base_kind(member.kind) in _FOR_EVER


def passing_anchors(found: Iterable[Named]) -> set[int]:
    """Identifiers that may change hands, whose wallets must be looked up."""
    return {member.anchor for named in found for member in named.members if not lasting(member)}


def anchor_of(holder: str) -> int:
    """The identifier on which a wallet hangs."""
    return int(holder.partition(_AT)[0])


def opened_ms(holder: str) -> int | None:
    """When a wallet of an identifier that may change hands was opened; None for one that may not."""
    _, at, opened = holder.partition(_AT)
    return int(opened) if at else None


def wallets(named: Named, known: Mapping[int, Sequence[str]], at_ms: int) -> Wallets:
    """A person's wallets. `known`: identifier that may change hands → its wallets so far; `at_ms`: when they earn."""
    members = sorted(named.members, key=lambda one: (KIND_RANK.get(base_kind(one.kind), 99), one.anchor, one.since_ms))
    holders: list[str] = []
    for member in members:
        if lasting(member):
            holders.append(str(member.anchor))
            continue
        holders += sorted(
            holder
            for holder in known.get(member.anchor, ())
            if member.since_ms <= (opened_ms(holder) or 0) < member.until_ms
        )
    own = _own(named, members, holders, at_ms)
    return Wallets(named.uid, own, tuple(dict.fromkeys((*holders, own))))


def _own(named: Named, members: Sequence[Member], holders: Sequence[str], at_ms: int) -> str:
    permanent = [member for member in members if lasting(member) and member.until_ms == END_MS]
    for member in permanent:
        if member.anchor == named.anchor:
            return str(member.anchor)
    if permanent:
        return str(permanent[0].anchor)
    mine = [holder for holder in holders if anchor_of(holder) == named.anchor]
    return mine[-1] if mine else f"{named.anchor}{_AT}{at_ms}"
