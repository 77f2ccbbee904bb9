"""Verbs of tiers: change the ladder, show a person's tier with what is missing to the next, set one by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from siyu.errors import Conflict, NotFound, PersonNotFound, WrongValue
from siyu.identity.members import Named, named_by_uid
from siyu.identity.spans import Touched, touched_by
from siyu.loyalty.records import Benefits, set_benefits
from siyu.loyalty.request import Instant, Word
from siyu.membership import tier_records
from siyu.membership.ladder import Benefit, BenefitKind, Ladder, Name, check, personal, steps_of
from siyu.membership.progress import Figure, Judging, Way, facts_of, ways_to
from siyu.membership.standing import Cause, Fixed, Standing
from siyu.membership.tier_follow import Deciding, ladder_in_force, standing_of
from siyu.membership.tier_records import LogRow, StoredLadder, TierRow
from siyu.rules.window import Setting, epoch_ms
from siyu.segments.population import Source, survey
from siyu.segments.records import add_touch
from siyu.segments.words import WORDS
from siyu.store.postgres import Database, driver_of

HISTORY_MAX: Final = 500
VERSIONS_MAX: Final = 200


class TierNotFound(NotFound):
    """The ladder has no tier of this name."""

    code = "TIER_NOT_FOUND"


class NotFixed(Conflict):
    """No tier was set by hand."""

    code = "NOT_FIXED"


CAUSES: Final[Mapping[str, tuple[str, str]]] = {
    "beginning": ("尚未达到更高等级", "No higher tier was reached yet"),
    Cause.REACHED: ("达到了等级条件", "The conditions of the tier are fulfilled"),
    Cause.FELL: ("不再满足等级条件", "The conditions of the tier are not fulfilled any more"),
    Cause.GRACE: ("不再满足等级条件，宽限期内保留", "The conditions are not fulfilled; kept for days of grace"),
    Cause.GRACE_OVER: ("宽限期结束", "The days of grace are over"),
    Cause.VALIDITY_OVER: ("等级有效期结束", "The validity of the tier is over"),
    Cause.RENEWED: ("再次满足等级条件，有效期延长", "The conditions are fulfilled again: kept longer"),
    Cause.BY_HAND: ("人工设定", "Set by hand"),
    Cause.HAND_OFF: ("人工设定结束", "What was set by hand has ended"),
    Cause.LADDER: ("等级规则变更", "The brand changed its tiers"),
    Cause.IDENTITY: ("身份合并或拆分后重新认定", "Found anew after identifiers were joined or parted"),
}  # fmt: skip
"""Cause → what people read, Chinese and English."""


class Why(msgspec.Struct, frozen=True):
    """What brought somebody to their tier."""

    cause: str
    zh: str
    en: str
    at: datetime | None
    figures: list[Figure]
    event: dict[str, Any] | None
    by: str
    reason: str


class BenefitShown(msgspec.Struct, frozen=True):
    """What the tier brings, and because of what."""

    kind: str
    percent: int
    points: int
    zh: str
    en: str
    reason_zh: str
    reason_en: str


class FixedShown(msgspec.Struct, frozen=True):
    """A tier set by hand."""

    tier: str
    until: datetime | None
    at_least: bool


class Next(msgspec.Struct, frozen=True):
    """The next tier and what is missing: the nearest way in words, and all of them."""

    tier: str
    zh: str
    en: str
    fraction: float
    ways: list[Way]


class TierShown(msgspec.Struct, frozen=True):
    """A person's tier."""

    person_id: str
    tier: str
    tier_en: str
    since: datetime | None
    """null: from the beginning."""
    until: datetime | None
    """Kept until then, whatever the figures say; null: as long as they say so."""
    grace_until: datetime | None
    """The figures fell; the tier is kept until then."""
    why: Why
    next: Next | None
    """null on the highest tier."""
    benefits: list[BenefitShown]
    fixed: FixedShown | None


class Entry(msgspec.Struct, frozen=True):
    """One change in the history."""

    at: datetime
    former: str
    tier: str
    since: datetime | None
    until: datetime | None
    grace_until: datetime | None
    why: Why
    ladder: int


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tier set by hand: exactly this one, or with `at_least` this one or a higher; until an instant, or for good."""

    tier: Name
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
    until: Instant | None = None
    at_least: bool = False
    by: Word = "api"


async def put_ladder(connection: Any, ladder: Ladder, now: datetime, by: str) -> StoredLadder:
    """The next version of the ladder. Raises InvalidRule, Conflict when another change came in between."""
    check(ladder, WORDS)
    before = await ladder_in_force(connection, now)
    if not await tier_records.add_ladder(connection, before.version + 1, ladder, now, by):
        raise Conflict("The tiers were changed by somebody else at the same time.")
    given = {tier.name: Benefits(tier.points_percent, tier.has(BenefitKind.SHIPPING)) for tier in ladder.tiers}
    await set_benefits(connection, given)
    return (await tier_records.ladders(connection, 1))[0]


async def ladders(db: Database, now: datetime, limit: int) -> tuple[list[StoredLadder], dict[str, int]]:
    """The newest versions of the ladder, and how many persons are on each tier."""
    async with db.begin() as conn:
        connection = await driver_of(conn)
        await ladder_in_force(connection, now)
        return await tier_records.ladders(connection, limit), await tier_records.counts(connection)


async def persons_on(db: Database, tier: str, after: int, limit: int) -> list[int]:
    """The numbers of a page of persons on a tier."""
    async with db.driver() as connection:
        return await tier_records.persons_on(connection, tier, after, limit)


async def named(connection: Any, person_id: UUID) -> Named:
    """The person with this id. Raises PersonNotFound."""
    found = (await named_by_uid(connection, [person_id])).get(person_id)
    if found is None:
        raise PersonNotFound(f"No person has the id {person_id}.")
    return found


async def show(source: Source, person_id: UUID, now: datetime, zone: ZoneInfo) -> TierShown:
    """A person's tier, why they have it, and what is missing to the next. Raises PersonNotFound, EngineUnavailable."""
    async with source.db.begin() as conn:
        connection = await driver_of(conn)
        one = await named(connection, person_id)
        stored = await ladder_in_force(connection, now)
        row = (await tier_records.rows_of(connection, [one.person])).get(one.person)
        log = await _log_of(connection, one, row)
        touched = await touched_by(connection, [member.anchor for member in one.members] or [one.person])
    ladder = stored.ladder
    place = 0 if row is None else ladder.place(row.tier)
    tier = ladder.tiers[place]
    standing = Standing(place, None if row is None else row.since)
    coming = await _next(source, one.person, stored.ladder, standing, (Setting(now, zone), touched))
    fixed = None
    if row is not None and row.fixed_tier is not None:
        fixed = FixedShown(row.fixed_tier, row.fixed_until, row.fixed_floor)
    why = why_of(log[0]) if log else _why("beginning", None)
    return TierShown(
        str(one.uid), tier.name, tier.en or tier.name, None if row is None else row.since,
        None if row is None else row.until, None if row is None else row.grace_until, why, coming,
        [benefit_shown(benefit, tier.name, tier.en or tier.name) for benefit in tier.benefits], fixed,
    )  # fmt: skip


async def _log_of(connection: Any, one: Named, row: TierRow | None) -> list[LogRow]:
    """What was decided for the identifiers that are the person's, newest first."""
    anchors = {member.anchor for member in one.members} | {one.person}
    mine = set(row.members) if row is not None else anchors
    rows = await tier_records.decided(connection, anchors | mine)
    return [log for _, log in rows if anchors.issuperset(log.members)][:HISTORY_MAX]


async def _next(
    source: Source, person: int, ladder: Ladder, standing: Standing, look: tuple[Setting, Touched]
) -> Next | None:
    setting, touched = look
    if standing.place + 1 >= len(ladder.tiers):
        return None
    step = steps_of(ladder, WORDS)[standing.place + 1]
    assert step.rule is not None
    starts = None
    if personal(ladder):
        starts = {} if standing.since is None else {person: epoch_ms(standing.since)}
    population = await survey(source, [step.rule], setting, touched, starts)
    at = [index for index, number in enumerate(population.persons.tolist()) if number == person]
    name, en = step.tier.name, step.tier.en or step.tier.name
    if not at:
        return Next(name, f"满足{name}的条件", f"Fulfil the conditions of {en}", 0.0, [])
    judging = Judging(facts_of(population.columns, at[0]), setting, WORDS)
    found = ways_to(step.rule, judging, name, en)
    return Next(name, found[0].zh, found[0].en, found[0].fraction, found)


def _why(cause: str, log: LogRow | None) -> Why:
    zh, en = CAUSES[cause]
    if log is None:
        return Why(cause, zh, en, None, [], None, "", "")
    event = None if log.event is None else msgspec.json.decode(log.event)
    return Why(cause, zh, en, log.at, msgspec.json.decode(log.figures, type=list[Figure]), event, log.by, log.reason)


def why_of(log: LogRow) -> Why:
    """What was decided, in words."""
    return _why(log.cause, log)


_BENEFITS: Final[Mapping[BenefitKind, tuple[str, str]]] = {
    BenefitKind.POINTS: ("积分 {percent}%", "{percent}% points"),
    BenefitKind.SHIPPING: ("包邮", "Free shipping"),
    BenefitKind.BIRTHDAY: ("生日礼", "A birthday present"),
    BenefitKind.OTHER: ("会员权益", "A benefit"),
}


def benefit_shown(benefit: Benefit, tier: str, tier_en: str) -> BenefitShown:
    """A benefit with its reason."""
    zh, en = (text.format(percent=benefit.percent) for text in _BENEFITS[benefit.kind])
    if benefit.points:
        zh, en = f"{zh} {benefit.points} 积分", f"{en} of {benefit.points} points"
    return BenefitShown(
        benefit.kind.value, benefit.percent, benefit.points, benefit.zh or zh, benefit.en or en,
        f"因为是{tier}会员", f"because the tier is {tier_en}",
    )  # fmt: skip


async def history(db: Database, person_id: UUID) -> list[Entry]:
    """Every change of a person's tier, newest first. Raises PersonNotFound."""
    async with db.driver() as connection:
        one = await named(connection, person_id)
        row = (await tier_records.rows_of(connection, [one.person])).get(one.person)
        log = await _log_of(connection, one, row)
    return [
        Entry(row.at, row.former, row.tier, row.since, row.until, row.grace_until, why_of(row), row.ladder)
        for row in log
    ]


class Hand(NamedTuple):
    """Who sets something by hand, when and why."""

    by: str
    reason: str
    now: datetime
    zone: ZoneInfo


async def fix(connection: Any, person_id: UUID, wanted: Override, now: datetime, zone: ZoneInfo) -> None:
    """Set a tier by hand, at once. Raises PersonNotFound, TierNotFound, WrongValue."""
    stored = await ladder_in_force(connection, now)
    if wanted.tier not in {tier.name for tier in stored.ladder.tiers}:
        raise TierNotFound(f"There is no tier {wanted.tier[:40]!r}.")
    if wanted.until is not None and wanted.until <= now:
        raise WrongValue("`until` is an instant to come.", path="until")
    fixed = Fixed(stored.ladder.place(wanted.tier), wanted.until, wanted.at_least)
    await _by_hand(connection, person_id, stored, fixed, Hand(wanted.by, wanted.reason, now, zone))


async def unfix(connection: Any, person_id: UUID, hand: Hand) -> None:
    """End what was set by hand: from now on the figures decide. Raises PersonNotFound, NotFixed."""
    await _by_hand(connection, person_id, await ladder_in_force(connection, hand.now), None, hand)


async def _by_hand(connection: Any, person_id: UUID, stored: StoredLadder, fixed: Fixed | None, hand: Hand) -> None:
    one = await named(connection, person_id)
    await tier_records.begin(connection, [one.person], stored.ladder.tiers[0].name)
    known = await tier_records.rows_of(connection, [one.person], lock=True)
    row = known[one.person]
    before = standing_of(row, stored.ladder)
    if fixed is None and before.fixed is None:
        raise NotFixed("No tier was set by hand.")
    deciding = Deciding(stored, hand.zone, hand.now, known)
    deciding.by_hand(one.person, fixed, hand.by, hand.reason)
    await deciding.write(connection)
    await add_touch(connection, one.person.to_bytes(4, "little"))
