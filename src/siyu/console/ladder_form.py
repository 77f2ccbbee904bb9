"""The form of the ladder: what stands in its fields, and the ladder that a filled-in form means. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from siyu.console.fields import Fields
from siyu.membership.ladder import (
    BENEFITS_MAX,
    GIFT_MAX,
    PERCENT_MAX,
    TIERS_MAX,
    Benefit,
    BenefitKind,
    Downgrade,
    Ladder,
    Period,
    PeriodKind,
    Tier,
    Unit,
    Validity,
)
from siyu.rules.vocabulary import Lang

WORDED: Final = (BenefitKind.BIRTHDAY, BenefitKind.OTHER)
"""Benefits that are words: shown to the person and to the staff."""
_BIRTHDAY: Final = ("生日", "birthday")


def ladder_values(ladder: Ladder) -> dict[str, str]:
    """The fields of a ladder; the rules stand in builders."""
    values = {
        "tiers": str(len(ladder.tiers)),
        "period": ladder.period.kind.value,
        "unit": (ladder.period.unit or Unit.YEAR).value,
        "days": str(ladder.period.days or 365),
        "grace_days": str(ladder.grace_days or ""),
        "months": str(ladder.validity.months) if ladder.validity else "",
        "to_end_of": (ladder.validity.to_end_of if ladder.validity else Unit.MONTH).value,
        "downgrade": ladder.downgrade.value,
    }
    for place, tier in enumerate(ladder.tiers):
        worded = [one for one in tier.benefits if one.kind in WORDED and (one.zh or one.en)]
        values |= {
            f"place{place}": str(place + 1),
            f"name{place}": tier.name,
            f"en{place}": tier.en,
            f"percent{place}": str(tier.points_percent),
            f"birthday{place}": str(gift.points) if (gift := tier.birthday) else "",
            f"shipping{place}": "1" if tier.has(BenefitKind.SHIPPING) else "",
            f"words_zh{place}": "\n".join(one.zh or one.en for one in worded),
            f"words_en{place}": "\n".join(one.en or one.zh for one in worded),
        }
    return values


def ladder_from(fields: Fields, form: Mapping[str, Any], before: Ladder, lang: Lang) -> tuple[Ladder, list[int]]:
    """The ladder of a form, with the number in the form of each of its tiers; for when nothing in it is wrong."""
    rows = []
    for place in range(min(TIERS_MAX, fields.whole("tiers", 0, TIERS_MAX) or 0) + 1):
        name = fields.text(f"name{place}", 40)
        if name:
            order = fields.whole(f"place{place}", 1, 1_000) or place + 1
            rows.append((order, place, name))
    if not rows:
        fields.text("name0", 40, needed=True)
    tiers, places = [], []
    former = {tier.name: tier for tier in before.tiers}
    for number, (_order, place, name) in enumerate(sorted(rows)):
        rule = fields.rule(f"rule{place}", lang) if number else None
        tiers.append(
            Tier(
                name=name, en=fields.text(f"en{place}", 100), rule=rule,
                benefits=_benefits(fields, place, former.get(name)),
            )
        )  # fmt: skip
        places.append(place)
    return _on_terms(fields, tiers, before), places


def _benefits(fields: Fields, place: int, before: Tier | None) -> list[Benefit]:
    known = {one.kind: one for one in before.benefits} if before else {}
    found = []
    percent = fields.whole(f"percent{place}", 0, PERCENT_MAX)
    if percent is not None and percent != 100:
        old = known.get(BenefitKind.POINTS)
        kept = old is not None and old.percent == percent
        found.append(old if old is not None and kept else Benefit(kind=BenefitKind.POINTS, percent=percent))
    if fields.flag(f"shipping{place}"):
        found.append(known.get(BenefitKind.SHIPPING) or Benefit(kind=BenefitKind.SHIPPING))
    gift = fields.whole(f"birthday{place}", 0, GIFT_MAX) or 0
    zh, en = (fields.raw(f"words_{lang}{place}").splitlines() for lang in ("zh", "en"))
    for number in range(min(BENEFITS_MAX - 3, max(len(zh), len(en)))):
        words = [lines[number].strip()[:100] if number < len(lines) else "" for lines in (zh, en)]
        if any(words):
            birthday = any(mark in word.lower() for mark in _BIRTHDAY for word in words)
            kind = BenefitKind.BIRTHDAY if birthday else BenefitKind.OTHER
            points, gift = (gift, 0) if birthday else (0, gift)
            found.append(Benefit(kind=kind, points=points, zh=words[0] or words[1], en=words[1] or words[0]))
    return [*found, Benefit(kind=BenefitKind.BIRTHDAY, points=gift)] if gift else found


def _on_terms(fields: Fields, tiers: list[Tier], before: Ladder) -> Ladder:
    kind = fields.choice("period", list(PeriodKind), "ever")
    unit = fields.choice("unit", list(Unit), "year")
    to_end_of = fields.choice("to_end_of", list(Unit), "month")
    downgrade = fields.choice("downgrade", list(Downgrade), "figures")
    days, months = fields.whole("days", 1, 3_660), fields.whole("months", 0, 120)
    grace = fields.whole("grace_days", 0, 366) or 0
    if kind == PeriodKind.ROLLING and days is None:
        fields.whole("days", 1, 3_660, needed=True)
    if fields.wrong:
        return before
    period = Period(
        kind=PeriodKind(kind),
        unit=Unit(unit) if kind == PeriodKind.CALENDAR else None,
        days=days if kind == PeriodKind.ROLLING else None,
    )
    validity = Validity(months=months, to_end_of=Unit(to_end_of)) if months else None
    return Ladder(
        tiers=tiers, period=period, validity=validity, grace_days=grace, downgrade=Downgrade(downgrade),
        events=before.events,
    )  # fmt: skip
