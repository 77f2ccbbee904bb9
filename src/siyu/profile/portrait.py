"""The portrait (画像): everything about one person in one answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from siyu.identity.spans import END_MS
from siyu.ids import KIND_RANK, base_kind
from siyu.profile.change import instant
from siyu.profile.consent import Decision, fold_consent
from siyu.profile.facts import Facts, IdentifierRow, Shared
from siyu.profile.lifecycle import Figures, Lifecycle, Thresholds, lifecycle
from siyu.profile.rfm import NO_CUTS, Cuts, rfm
from siyu.profile.tag import fold_tags
from siyu.profile.touch import Touch, first_and_last
from siyu.profile.trait import TraitOp, TraitValue, fold

LIFECYCLE_FIGURE: Final = "lifecycle"
RFM_FIGURE: Final = "rfm"
TIER_FIGURE: Final = "first_tier"
TRUST: Final = "trust."


class Moment(NamedTuple):
    """When and where a person is looked at."""

    now: datetime
    zone: ZoneInfo
    """The brand's: in it a day begins."""


class IdentifierSeen(msgspec.Struct, frozen=True):
    """An identifier of the person."""

    kind: str
    value: str
    first_seen: datetime
    last_seen: datetime
    """Precise to a day."""
    source: str
    """The write key that brought it first."""


class RfmFigures(msgspec.Struct, frozen=True):
    """See `rfm.Rfm`."""

    recency_days: int | None
    frequency: int
    monetary_fen: int
    r: int | None
    f: int | None
    m: int | None


class ConsentNow(msgspec.Struct, frozen=True):
    """The decision that counts for one purpose and channel."""

    granted: bool
    at: datetime
    event_id: str
    text_version: str


class TouchSeen(msgspec.Struct, frozen=True):
    """Where the person came from, once."""

    at: datetime
    event_id: str
    end: str
    identifier: dict[str, str]
    fields: dict[str, str]


class Portrait(msgspec.Struct, frozen=True):
    """One person, as `GET /api/persons/{id}` answers."""

    person_id: str
    identifiers: list[IdentifierSeen]
    former_identifiers: list[IdentifierSeen]
    """Those that belong to somebody else by now."""
    first_seen: datetime
    last_seen: datetime
    traits: dict[str, Any]
    trait_problems: dict[str, str]
    """Traits whose value does not fit the declared type, with the reason."""
    tags: list[str]
    segments: list[str]
    lifecycle: Lifecycle
    trust_level: str | None
    tier: str | None
    rfm: RfmFigures
    consent: dict[str, dict[str, ConsentNow]]
    first_touch: TouchSeen | None
    last_touch: TouchSeen | None


def portrait(person: int, facts: Facts, shared: Shared, moment: Moment) -> Portrait:
    """The portrait of `person` (its canonical anchor)."""
    now, zone = moment
    now_ms = int(now.timestamp() * 1000)
    current, former = _identifiers(facts, now_ms)
    seen = [*current, *former]
    first_seen, last_seen = min(row.first_ms for row in seen), max(row.last_ms for row in seen)
    bought = facts.purchases
    limits = thresholds(shared)
    traits = traits_of(facts, shared)
    first, last = first_and_last(facts.touches)
    # last_seen is precise to a day; a purchase later that day is the better witness.
    figures = Figures(
        instant(first_seen),
        instant(max(last_seen, bought.last_ms or last_seen)),
        bought.recent_spend_fen,
        bought.recent_orders,
    )
    return Portrait(
        person_id=next(row.uid for row in facts.identifiers if row.anchor == person),
        identifiers=[_seen(row) for row in current],
        former_identifiers=[_seen(row) for row in former],
        first_seen=figures.first_seen,
        last_seen=figures.last_seen,
        traits={name: trait.value for name, trait in traits.items()},
        trait_problems={name: trait.problem for name, trait in traits.items() if trait.problem},
        tags=list(fold_tags(facts.tags)),
        segments=facts.segments,
        lifecycle=lifecycle(figures, now, limits),
        trust_level=trust_level(facts.segments),
        tier=facts.tier or first_tier(shared),
        rfm=_rfm(facts, shared, now.astimezone(zone).date(), zone),
        consent=consent_now(facts.consents),
        first_touch=None if first is None else touch_seen(first),
        last_touch=None if last is None else touch_seen(last),
    )


def first_tier(shared: Shared) -> str | None:
    """The tier of whom nobody has looked at yet: where the ladder begins."""
    text = shared.figures.get(TIER_FIGURE)
    return None if text is None else msgspec.json.decode(text, type=str)


def trust_level(segments: Iterable[str]) -> str | None:
    """The level of the trust ladder: its levels are the segments `trust.…`, each without those above."""
    return next((key.removeprefix(TRUST) for key in segments if key.startswith(TRUST)), None)


def traits_of(facts: Facts, shared: Shared) -> dict[str, TraitValue]:
    """The traits of a person, folded."""
    return fold(operations(facts), shared.declared)


def operations(facts: Facts) -> Iterable[TraitOp]:
    """Every trait operation of a person's members."""
    return (op for event in facts.traits for op in event.operations())


def thresholds(shared: Shared) -> Thresholds:
    """The lifecycle thresholds in force."""
    text = shared.figures.get(LIFECYCLE_FIGURE)
    return Thresholds() if text is None else msgspec.json.decode(text, type=Thresholds)


def consent_now(decisions: Iterable[Decision]) -> dict[str, dict[str, ConsentNow]]:
    """purpose → channel (`*` = all) → the decision that counts."""
    return {
        purpose: {
            channel: ConsentNow(decision.granted, instant(decision.at_ms), decision.event_id, decision.text_version)
            for channel, decision in channels.items()
        }
        for purpose, channels in fold_consent(decisions).items()
    }


def touch_seen(touch: Touch) -> TouchSeen:
    """A touch as the API shows it."""
    return TouchSeen(
        instant(touch.at_ms), touch.event_id, touch.end, {"kind": touch.kind, "value": touch.value}, touch.fields
    )


def _identifiers(facts: Facts, now_ms: int) -> tuple[list[IdentifierRow], list[IdentifierRow]]:
    """Those of today and those passed on, each cut to its time with this person, strongest and oldest first."""
    current: list[IdentifierRow] = []
    former: list[IdentifierRow] = []
    for row in facts.identifiers:
        spans = [span for span in facts.spans if span.anchor == row.anchor]
        until = max(span.until_ms for span in spans)
        since = min(span.since_ms for span in spans)
        cut = row._replace(first_ms=max(row.first_ms, since), last_ms=min(row.last_ms, until))
        (current if until > now_ms or until == END_MS else former).append(cut)
    return sorted(current, key=_strength), sorted(former, key=_strength)


def _strength(row: IdentifierRow) -> tuple[Any, ...]:
    return KIND_RANK.get(base_kind(row.kind), len(KIND_RANK)), row.first_ms, row.kind, row.value


def _seen(row: IdentifierRow) -> IdentifierSeen:
    return IdentifierSeen(row.kind, row.value, instant(row.first_ms), instant(row.last_ms), row.source)


def _rfm(facts: Facts, shared: Shared, today: date, zone: ZoneInfo) -> RfmFigures:
    text = shared.figures.get(RFM_FIGURE)
    cuts = NO_CUTS if text is None else msgspec.json.decode(text, type=Cuts)
    bought = facts.purchases
    last_day = None if bought.last_ms is None else instant(bought.last_ms).astimezone(zone).date()
    return RfmFigures(*rfm(last_day, bought.days, bought.spend_fen, today, cuts))
