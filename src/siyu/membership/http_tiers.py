"""Tiers over HTTP (docs/tiers.md)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, get, post, put

from siyu.clock import Now
from siyu.idempotency import Key
from siyu.identity.person_id import person_uuid
from siyu.loyalty.request import Reason, Word
from siyu.membership import cards, tiers
from siyu.membership.card import barcode_svg
from siyu.membership.cards import Card
from siyu.membership.ladder import (
    BENEFITS_MAX,
    TIERS_MAX,
    Benefit,
    Downgrade,
    Label,
    Ladder,
    Name,
    Period,
    Tier,
    Validity,
)
from siyu.membership.tier_records import StoredLadder
from siyu.membership.tiers import Entry, Hand, Override, TierShown
from siyu.rules.parse import parse_rule, refuse
from siyu.rules.possible import asked_rule
from siyu.rules.read import read_sentence
from siyu.rules.sentence import say
from siyu.rules.write import rule_json
from siyu.segments.population import Source
from siyu.segments.words import WORDS
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

BY_API = "api"
TAG = "tiers"
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]


class TierWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tier: its condition as a `rule` or as a sentence in `text`; the first tier has neither."""

    name: Name
    en: Label = ""
    rule: dict[str, Any] | None = None
    text: Text | None = None
    benefits: Annotated[list[Benefit], msgspec.Meta(max_length=BENEFITS_MAX)] = msgspec.field(default_factory=list)


class LadderWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All tiers, the lowest first, and the terms on which they are kept."""

    tiers: Annotated[list[TierWanted], msgspec.Meta(min_length=1, max_length=TIERS_MAX)]
    period: Period = Period()
    validity: Validity | None = None
    grace_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 0
    downgrade: Downgrade = Downgrade.FIGURES
    events: bool = True


class TierListed(msgspec.Struct, frozen=True):
    """A tier with its condition in words, and how many persons are on it."""

    name: str
    en: str
    rule: dict[str, Any] | None
    rule_zh: str
    rule_en: str
    benefits: list[Benefit]
    persons: int


class LadderShown(msgspec.Struct, frozen=True):
    """A version of the ladder."""

    version: int
    at: datetime
    by: str
    ready: bool
    """Whether everybody was looked at with it."""
    tiers: list[TierListed]
    period: Period
    validity: Validity | None
    grace_days: int
    downgrade: Downgrade
    events: bool


class Ladders(msgspec.Struct, frozen=True):
    """Versions, newest first."""

    items: list[LadderShown]


class Changes(msgspec.Struct, frozen=True):
    """A person's changes of tier, newest first."""

    items: list[Entry]


class Released(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why a tier set by hand ends."""

    reason: Reason = ""
    by: Word = BY_API


def ladder_of(wanted: LadderWanted) -> Ladder:
    """The ladder that is asked for, sentences read. Raises InvalidRule."""
    made = []
    for place, one in enumerate(wanted.tiers):
        if one.text is not None and one.rule is not None:
            raise refuse("Either rule, or text.", f"tiers[{place}].text")
        rule = one.rule if one.text is None else rule_json(read_sentence(one.text, WORDS))
        if rule is not None:
            rule = rule_json(asked_rule(rule, WORDS, path=f"tiers[{place}].rule"))
        made.append(Tier(name=one.name, en=one.en, rule=rule, benefits=one.benefits))
    return Ladder(
        tiers=made, period=wanted.period, validity=wanted.validity, grace_days=wanted.grace_days,
        downgrade=wanted.downgrade, events=wanted.events,
    )  # fmt: skip


def shown(stored: StoredLadder, counts: dict[str, int]) -> LadderShown:
    """A ladder with its sentences."""
    ladder = stored.ladder
    listed = []
    for tier in ladder.tiers:
        rule = None if tier.rule is None else parse_rule(tier.rule, WORDS)
        zh, en = ("", "") if rule is None else (say(rule, WORDS, "zh"), say(rule, WORDS, "en"))
        listed.append(TierListed(tier.name, tier.en, tier.rule, zh, en, tier.benefits, counts.get(tier.name, 0)))
    return LadderShown(
        stored.version, stored.at, stored.by, stored.built_at is not None, listed, ladder.period, ladder.validity,
        ladder.grace_days, ladder.downgrade, ladder.events,
    )  # fmt: skip


@get("/api/tiers", summary="The tiers in force", tags=[TAG])
async def show_tiers(db: Database, now: Now) -> LadderShown:
    """The lowest first, with how many persons are on each."""
    found, counts = await tiers.ladders(db, now(), 1)
    return shown(found[0], counts)


@get("/api/tiers/versions", summary="Every version of the tiers", tags=[TAG])
async def tier_versions(db: Database, now: Now) -> Ladders:
    """Newest first; versions are never changed."""
    found, counts = await tiers.ladders(db, now(), tiers.VERSIONS_MAX)
    return Ladders([shown(one, counts if place == 0 else {}) for place, one in enumerate(found)])


@put("/api/tiers", summary="Change the tiers", tags=[TAG])
async def put_tiers(data: LadderWanted, db: Database, now: Now, idempotency_key: Key = None) -> LadderShown:
    """The next version; everybody is looked at with it within seconds (`ready`). Raises INVALID_RULE."""
    ladder = ladder_of(data)

    async def do(connection: Any) -> LadderShown:
        return shown(await tiers.put_ladder(connection, ladder, now(), BY_API), {})

    return await once(db, Asked(idempotency_key, "put_tiers", data), LadderShown, do, now)


@get("/api/persons/{person_id:str}/tier", summary="A person's tier", tags=[TAG])
async def person_tier(person_id: str, db: Database, events: EventStore, now: Now, settings: Settings) -> TierShown:
    """Tier, since, until, why, and what is missing to the next. Raises PERSON_NOT_FOUND."""
    source = Source(db, events, WORDS, settings.question_seconds_max)
    return await tiers.show(source, person_uuid(person_id), now(), ZoneInfo(settings.timezone))


@get("/api/persons/{person_id:str}/tier/history", summary="How a person's tier changed", tags=[TAG])
async def tier_history(person_id: str, db: Database) -> Changes:
    """Every change with its cause, newest first. Raises PERSON_NOT_FOUND."""
    return Changes(await tiers.history(db, person_uuid(person_id)))


@post("/api/persons/{person_id:str}/tier", summary="Set a tier by hand", status_code=200, tags=[TAG])
async def fix_tier(
    *, person_id: str, data: Override, db: Database, events: EventStore, now: Now, settings: Settings,
    idempotency_key: Key = None,
) -> TierShown:  # fmt: skip
    """At once, with a reason. Raises PERSON_NOT_FOUND, TIER_NOT_FOUND."""
    number, zone = person_uuid(person_id), ZoneInfo(settings.timezone)

    async def do(connection: Any) -> str:
        await tiers.fix(connection, number, data, now(), zone)
        return str(number)

    await once(db, Asked(idempotency_key, f"fix_tier {number}", data), str, do, now)
    return await tiers.show(Source(db, events, WORDS, settings.question_seconds_max), number, now(), zone)


@post("/api/persons/{person_id:str}/tier/release", summary="End a tier set by hand", status_code=200, tags=[TAG])
async def release_tier(
    *, person_id: str, data: Released, db: Database, events: EventStore, now: Now, settings: Settings,
    idempotency_key: Key = None,
) -> TierShown:  # fmt: skip
    """From now on the figures decide. Raises PERSON_NOT_FOUND, 409 NOT_FIXED."""
    number, zone = person_uuid(person_id), ZoneInfo(settings.timezone)

    async def do(connection: Any) -> str:
        await tiers.unfix(connection, number, Hand(data.by, data.reason, now(), zone))
        return str(number)

    await once(db, Asked(idempotency_key, f"release_tier {number}", data), str, do, now)
    return await tiers.show(Source(db, events, WORDS, settings.question_seconds_max), number, now(), zone)


@get("/api/persons/{person_id:str}/card", summary="A person's member card", tags=[TAG])
async def show_card(person_id: str, db: Database) -> Card:
    """The number, and the barcode as SVG. Raises PERSON_NOT_FOUND, CARD_NOT_FOUND."""
    return await cards.show(db, person_uuid(person_id))


@post("/api/persons/{person_id:str}/card", summary="Give a person a member card", status_code=200, tags=[TAG])
async def issue_card(person_id: str, db: Database, now: Now, idempotency_key: Key = None) -> Card:
    """The card there is, or a new one: an identifier of the person from the next second on."""
    number = person_uuid(person_id)

    async def do(connection: Any) -> Card:
        return await cards.issue(connection, number, now())

    return await once(db, Asked(idempotency_key, f"issue_card {number}", None), Card, do, now)


@get("/api/persons/{person_id:str}/card.svg", summary="The barcode of a member card", tags=[TAG])
async def card_barcode(person_id: str, db: Database) -> Response[str]:
    """Code 128. Raises PERSON_NOT_FOUND, CARD_NOT_FOUND."""
    card = await cards.show(db, person_uuid(person_id))
    return Response(barcode_svg(card.number), media_type="image/svg+xml")


routes: list[Any] = [
    show_tiers,
    tier_versions,
    put_tiers,
    person_tier,
    tier_history,
    fix_tier,
    release_tier,
    show_card,
    issue_card,
    card_barcode,
]
