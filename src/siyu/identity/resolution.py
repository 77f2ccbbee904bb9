"""Who is one person: a pure function of the set of evidence (DESIGN 5).

`resolve` weighs links in one canonical order (tier, then kinds, event time, link id). It never sees the order of
arrival, so the same evidence gives the same persons, and taking a link out gives what would be without it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple
from uuid import UUID

from siyu.identity.evidence import (
    NAMED_KIND,
    Identifier,
    Link,
    Reason,
    Tier,
    is_carried,
    is_current,
    rank,
    tier_of,
)
from siyu.identity.parts import Parts, cuts_of
from siyu.ids import base_kind

BEGINNING: Final = 0
"""Epoch millisecond of the first span: whatever came before belongs to it too."""

END: Final = 1 << 62

Spans = tuple[tuple[int, int], ...]
"""((since, person), …): `person` from `since` (epoch ms) until the next. The first begins at BEGINNING."""


class Resolution(NamedTuple):
    """What follows from the evidence."""

    spans: dict[int, Spans]
    """Every identifier → whose it was, when."""
    refused: dict[UUID, Reason]
    """Links that do not count, and why."""
    passed: frozenset[UUID]
    """Links by which a phone or an email went on to another person instead of joining two."""


def resolve(
    identifiers: Mapping[int, Identifier],
    links: Iterable[Link],
    members_max: int,
    outside: Mapping[int, tuple[Identifier, Spans]] | None = None,
) -> Resolution:
    """Persons from evidence. `links` holds each link once; retracted ones are left out by the caller.

    `outside`: spans already known of identifiers not in `identifiers`; only carried ones may be linked to them."""
    everything = list(links)
    refused = dict(over_caps(identifiers, everything, members_max))
    weighing = _Weighing(
        identifiers, [link for link in everything if link.link_id not in refused], members_max, outside or {}
    )
    weighing.join_declared()
    weighing.join_strong()
    weighing.join_or_pass_current()
    weighing.follow()
    return Resolution(weighing.spans, refused | weighing.refused, frozenset(weighing.passed))


def person_at(spans: Spans, at_ms: int) -> int:
    """The person at an instant."""
    return spans[max(0, bisect_right(spans, at_ms, key=lambda span: span[0]) - 1)][1]


def weight(identifiers: Mapping[int, Identifier], link: Link) -> int:
    """The first part of the canonical order: ten times the tier, plus 0–2 for strong links (single before many)."""
    return link_weight(link.rule, identifiers[link.a].kind, identifiers[link.b].kind)


@lru_cache(4096)
def link_weight(rule: str, kind_a: str, kind_b: str) -> int:
    """`weight` of a link between identifiers of these kinds."""
    tier = tier_of(rule, kind_a, kind_b)
    return 10 * tier + (_manies(kind_a, kind_b) if tier == Tier.STRONG else 0)


def _manies(*kinds: str) -> int:
    return sum(base_kind(kind) in {"openid", "member_card"} for kind in kinds)


def over_caps(identifiers: Mapping[int, Identifier], links: Iterable[Link], members_max: int) -> dict[UUID, Reason]:
    """Links beyond what one identifier may have.

    An identifier has at most `members_max` links of a tier, the first in canonical order count; a phone, email,
    anonymous id or device that more than `members_max` others were seen with is nobody's, and none of them counts."""
    links = list(links)
    degrees = Counter(chain.from_iterable((link.a, link.b) for link in links))
    if not degrees or max(degrees.values()) <= members_max:
        return {}
    owned: dict[tuple[int, int], list[tuple[int, int, UUID]]] = {}
    owners: dict[int, list[UUID]] = {}
    for link in links:
        if link.rule == "unbind" or link.a not in identifiers or link.b not in identifiers:
            continue
        order = (weight(identifiers, link), link.times[0], link.link_id)
        tier = Tier(order[0] // 10)
        if tier == Tier.DECLARED:
            continue
        owned.setdefault((link.a, tier), []).append(order)
        if tier == Tier.STRONG:
            owned.setdefault((link.b, tier), []).append(order)
        else:
            owners.setdefault(link.b, []).append(link.link_id)
    hubs = {id_ for ids in owners.values() if len(ids) > members_max for id_ in ids}
    over = set(hubs)
    for orders in owned.values():
        if len(orders) > members_max:
            over.update(order[2] for order in sorted(o for o in orders if o[2] not in hubs)[members_max:])
    return dict.fromkeys(over, Reason("CAP"))


class _Weighing:
    """One run of `resolve`: the steps in their order, and what they leave behind."""

    def __init__(
        self,
        identifiers: Mapping[int, Identifier],
        links: list[Link],
        members_max: int,
        outside: Mapping[int, tuple[Identifier, Spans]],
    ) -> None:
        self._identifiers = identifiers
        self._outside = {id_: spans for id_, (_, spans) in outside.items()}
        self._kinds = {id_: identifier.kind for id_, (identifier, _) in outside.items()}
        self._kinds |= {id_: identifier.kind for id_, identifier in identifiers.items()}
        self._named: dict[int, list[int]] = {}
        self._tiers: dict[Tier, list[Link]] = {tier: [] for tier in Tier}
        for link in links:
            if link.rule == "named":
                self._named.setdefault(link.b, []).append(link.a)
            elif link.rule == "unbind":
                self._tiers[Tier.CUT].append(link)
            else:
                self._tiers[tier_of(link.rule, self._kind(link.a), self._kind(link.b))].append(link)
        self._parts = Parts(identifiers, cuts_of(self._tiers[Tier.CUT]), members_max)
        self.refused: dict[UUID, Reason] = {}
        self.passed: set[UUID] = set()
        self.spans: dict[int, Spans] = {}
        self._holder: dict[int, int] = {}
        self._timeline: dict[int, list[tuple[int, int]]] = {}

    def _kind(self, id_: int) -> str:
        return self._kinds[id_]

    def _refuse(self, link: Link, reason: Reason) -> None:
        self.refused.setdefault(link.link_id, reason)

    def join_declared(self) -> None:
        """Aliases, by (time, id). A named value stands for the identifiers that have it, the strongest kind first; if
        none has, for nobody."""
        for named in self._named.values():
            named.sort(key=lambda one: rank(self._kind(one)))
        for link in sorted(self._tiers[Tier.DECLARED], key=lambda link: (link.times[0], link.link_id)):
            at = link.times[0]
            ends = [self._named.get(end, ()) if self._kind(end) == NAMED_KIND else (end,) for end in (link.a, link.b)]
            refusals = [
                self._parts.join(
                    self._parts.element(one, at),
                    self._parts.element(other, at),
                    users=self._kind(one) == self._kind(other) == "user_id",
                )
                for one in ends[0]
                for other in ends[1]
            ]
            reasons = [reason for reason in refusals if reason]
            if reasons and len(reasons) == len(refusals):
                self._refuse(link, reasons[0])

    def join_strong(self) -> None:
        """Links between strong identifiers: single–single, single–many, many–many; each by (time, link id)."""
        orders = []
        for link in self._tiers[Tier.STRONG]:
            manies = _manies(self._kind(link.a), self._kind(link.b))
            lives: dict[tuple[int, int], int] = {}
            for at in link.times:
                lives.setdefault((self._parts.element(link.a, at), self._parts.element(link.b, at)), at)
            orders += [(manies, at, link.link_id, link, pair) for pair, at in lives.items()]
        accepted = set()
        for _, _, link_id, link, (one, other) in sorted(orders, key=lambda order: order[:3]):
            if reason := self._parts.join(one, other):
                self._refuse(link, reason)
            else:
                accepted.add(link_id)
        for link_id in accepted:
            self.refused.pop(link_id, None)

    def join_or_pass_current(self) -> None:
        """Phones and emails in the order of their sightings: each joins two persons or, when it cannot, passes on."""
        sightings = sorted(
            ((at, link.link_id, link) for link in self._tiers[Tier.CURRENT] for at in link.times),
            key=lambda sighting: sighting[:2],
        )
        newest: dict[int, dict[str, tuple[int, int]]] = {}
        """Root → kind → (turn, value): the element it was last seen with, and which sighting that was."""
        for turn, (at, _, link) in enumerate(sightings):
            self._take_current(newest, turn, at, link)
        self._write_spans()

    def _write_spans(self) -> None:
        """Whose every identifier was, when, as far as it does not follow others."""
        parts = self._parts
        numbers = parts.numbers()
        always = {person: ((BEGINNING, person),) for person in set(numbers.values())}
        for id_, identifier in self._identifiers.items():
            if identifier.kind == NAMED_KIND:
                continue
            lives = parts.lives(id_)
            if len(lives) == 1 and lives[0][1] not in self._timeline:
                self.spans[id_] = always[numbers[parts.find(lives[0][1])]]
                continue
            spans: list[tuple[int, int]] = []
            for begin, element in lives:
                spans.append((BEGINNING if begin is None else begin, numbers[parts.find(element)]))
                spans += [(at, numbers[parts.find(to)]) for at, to in self._timeline.get(element, ())]
            self.spans[id_] = tidy(spans)

    def _take_current(self, newest: dict[int, dict[str, tuple[int, int]]], turn: int, at: int, link: Link) -> None:
        parts = self._parts
        value, proof = parts.element(link.b, at), parts.element(link.a, at)
        taker = parts.find(self._holder.get(proof, proof))
        holder = parts.find(self._holder.get(value, value))
        kind = base_kind(self._kind(link.b))
        if holder != taker:
            reason = parts.refusal(holder, taker)
            if reason and reason.code == "CAP":
                self._refuse(link, reason)
                return
            _, latest = newest.get(holder, {}).get(kind, (0, value))
            if reason or latest != value:
                self._holder[value] = taker
                self._timeline.setdefault(value, []).append((at, taker))
                self.passed.add(link.link_id)
            else:
                parts.join(holder, taker)
                left, right = newest.pop(holder, {}), newest.pop(taker, {})
                taker = parts.find(taker)
                newest[taker] = {
                    k: max(left.get(k, (-1, 0)), right.get(k, (-1, 0))) for k in left.keys() | right.keys()
                }
        mine = newest.setdefault(taker, {})
        mine[kind] = (turn, value)
        if is_current(self._kind(link.a)):
            mine[base_kind(self._kind(link.a))] = (turn, proof)

    def follow(self) -> None:
        """Carried identifiers that no declaration ties: at each time of the person they were last seen with."""
        parts = self._parts
        tied = {
            parts.find(element)
            for element, id_ in enumerate(parts.owner)
            if not is_carried(self._kind(id_)) and self._kind(id_) != NAMED_KIND
        }
        anonymous = {
            parts.find(element)
            for element, id_ in enumerate(parts.owner)
            if base_kind(self._kind(id_)) == "anonymous_id"
        }
        seen: dict[int, dict[int, tuple[int, UUID, int]]] = {}
        for link in self._tiers[Tier.CARRIED]:
            if base_kind(self._kind(link.a)) == base_kind(self._kind(link.b)):
                continue
            proof = (rank(self._kind(link.a)), link.link_id, link.a)
            for at in link.times:
                unit = parts.find(parts.element(link.b, at))
                if unit in tied or (unit in anonymous and is_carried(self._kind(link.a))):
                    continue
                at_once = seen.setdefault(unit, {})
                at_once[at] = min(proof, at_once.get(at, proof))
        own = dict(self.spans)
        for units in ([u for u in seen if u in anonymous], [u for u in seen if u not in anonymous]):
            timelines = {unit: list(self._persons_over_time(seen[unit])) for unit in units}
            self._settle(timelines, own)

    def _persons_over_time(self, proofs: Mapping[int, tuple[int, UUID, int]]) -> Iterator[tuple[int, int]]:
        for at in sorted(proofs):
            owner = proofs[at][2]
            yield at, person_at(self.spans[owner] if owner in self.spans else self._outside[owner], at)

    def _settle(self, timelines: Mapping[int, list[tuple[int, int]]], own: Mapping[int, Spans]) -> None:
        if not timelines:
            return
        touched = {self._parts.owner[e] for e in range(len(self._parts.owner)) if self._parts.find(e) in timelines}
        for id_ in touched:
            lives = self._parts.lives(id_)
            ends = [begin for begin, _ in lives[1:] if begin is not None] + [END]
            spans: list[tuple[int, int]] = []
            for (begin, element), end in zip(lives, ends, strict=True):
                start = BEGINNING if begin is None else begin
                timeline = timelines.get(self._parts.find(element))
                if timeline is None:
                    spans.append((start, person_at(own[id_], start)))
                    continue
                before = [person for at, person in timeline if at <= start]
                spans.append((start, before[-1] if before else timeline[0][1]))
                spans += [(at, person) for at, person in timeline if start < at < end]
            self.spans[id_] = tidy(spans)


def tidy(spans: Iterable[tuple[int, int]]) -> Spans:
    """Spans without repeats: neighbours of one person joined, the last word of one instant kept."""
    kept: list[tuple[int, int]] = []
    for since, person in spans:
        start = max(since, BEGINNING)
        if kept and kept[-1][0] == start:
            kept.pop()
        if not kept or kept[-1][1] != person:
            kept.append((start, person))
    return tuple(kept)
