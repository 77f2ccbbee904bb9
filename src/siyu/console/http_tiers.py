"""Tiers and check-in for operators: the ladder, what check-in brings, and where one person stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from litestar import Response, get, post

from siyu.clock import Now
from siyu.console.i18n import mark as _
from siyu.console.page import redirect
from siyu.console.people import display_name
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import MalformedRequest
from siyu.identity.person_id import person_uuid
from siyu.loyalty import Points
from siyu.membership import cards, checkins, tiers
from siyu.membership.checkin import Cycle, CycleKind, MakeUp, On, Reward, Rules, Streak
from siyu.membership.ladder import (
    Downgrade,
    PeriodKind,
    Unit,
)
from siyu.membership.tiers import Hand, Override
from siyu.profile import actions as profile
from siyu.rules.vocabulary import Lang
from siyu.segments.population import Source
from siyu.segments.words import WORDS
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of

ROWS_MORE: Final = 1
"""Empty rows of the form."""
PAGE_PERSONS: Final = 50
SAID: Final = {
    "changed": _("Saved as the next version. Everybody is looked at within seconds."),
    "fixed": _("The tier was set by hand."),
    "released": _("From now on the figures decide again."),
    "card": _("The card was issued. It is an identifier within a second."),
    "rules": _("Saved as the next version."),
}
PERIODS: Final = {
    PeriodKind.EVER: _("all time"),
    PeriodKind.CALENDAR: _("the calendar period"),
    PeriodKind.ROLLING: _("the last days"),
    PeriodKind.TIER: _("since the present tier began"),
}
UNITS: Final = {
    Unit.MONTH: _("Month"),
    Unit.QUARTER: _("Quarter"),
    Unit.HALF: _("Half-year"),
    Unit.YEAR: _("Year"),
}
DOWNGRADES: Final = {
    Downgrade.FIGURES: _("to what the figures say"),
    Downgrade.ONE: _("one tier down at a time"),
    Downgrade.NEVER: _("never"),
}


def said_of(request: AnyRequest, visit: Visit) -> str | None:
    """What was just done."""
    said = request.query_params.get("said", "")
    return visit.face.text(SAID[said]) if said in SAID else None


def texts_of(visit: Visit, words: dict[Any, str]) -> dict[str, str]:
    """Words in the reader's language, by value."""
    return {key.value: visit.face.text(text) for key, text in words.items()}


def _lang(visit: Visit) -> Lang:
    return "zh" if visit.locale.startswith("zh") else "en"


def _number(text: str, path: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise MalformedRequest(f"{text[:20]!r} is no whole number.", path=path) from None


@get("/persons/{person_id:str}/membership", include_in_schema=False)
async def membership(
    *, request: AnyRequest, person_id: str, visit: Visit, db: Database, events: EventStore, desk: Points,
    settings: Settings,
) -> Response[str]:  # fmt: skip
    """A person's tier with what is missing to the next, card, history, and the calendar of check-ins."""
    number, moment = person_uuid(person_id), visit.moment
    source = Source(db, events, WORDS, settings.question_seconds_max)
    given = request.query_params.get("month", "")
    today = checkins.local_day(moment.now, moment.zone)
    try:
        month = date.fromisoformat(f"{given}-01") if given else today.replace(day=1)
    except ValueError:
        month = today.replace(day=1)
    one = await profile.show(db, number, moment)
    async with db.begin() as conn:
        driver = await driver_of(conn)
        shown_month = await checkins.calendar(driver, desk.ledger, number, month, moment.now)
        card = await cards.find(driver, await tiers.named(driver, number))
    found, _counts = await tiers.ladders(db, moment.now, 1)
    before = (month - timedelta(days=1)).replace(day=1)
    zh = visit.locale.startswith("zh")
    named = [(each.name, each.name if zh else each.en or each.name) for each in found[0].ladder.tiers]
    return visit.page(
        "membership.html", one=one, name=display_name(one, visit.locale),
        tier=await tiers.show(source, number, moment.now, moment.zone),
        history=await tiers.history(db, number), calendar=shown_month, weeks=weeks_of(month),
        filled={day.day: day for day in shown_month.days}, card=card, month=month, before=before,
        after=(month + timedelta(days=32)).replace(day=1), tiers=named,
        said=said_of(request, visit),
    )  # fmt: skip


def weeks_of(month: date) -> list[list[date | None]]:
    """The days of a month by weeks from Monday; None outside of it."""
    first = month.replace(day=1)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    cells: list[date | None] = [None] * first.weekday()
    cells += [first + timedelta(days=n) for n in range(last.day)]
    cells += [None] * (-len(cells) % 7)
    return [cells[start : start + 7] for start in range(0, len(cells), 7)]


@post("/persons/{person_id:str}/tier", include_in_schema=False, status_code=303)
async def fix(request: AnyRequest, person_id: str, visit: Visit, db: Database) -> Response[str]:
    """Set a tier by hand, or end what was set."""
    visit.operator.require("persons")
    form, number, moment = await request.form(), person_uuid(person_id), visit.moment
    by = f"console:{visit.operator.name}"
    reason = str(form.get("reason", "")).replace("\x00", "").strip()[:500]
    async with db.begin() as conn:
        driver = await driver_of(conn)
        if form.get("release"):
            await tiers.unfix(driver, number, Hand(by, reason, moment.now, moment.zone))
            return redirect(f"/console/persons/{person_id}/membership?said=released")
        if not reason:
            raise MalformedRequest("A reason is needed.", path="reason")
        days = str(form.get("days", "")).strip()
        until = moment.now + timedelta(days=min(3_660, max(1, _number(days, "days")))) if days else None
        wanted = Override(
            tier=str(form.get("tier", "")), reason=reason, until=until, at_least=bool(form.get("at_least")), by=by
        )
        await tiers.fix(driver, number, wanted, moment.now, moment.zone)
    return redirect(f"/console/persons/{person_id}/membership?said=fixed")


@post("/persons/{person_id:str}/card", include_in_schema=False, status_code=303)
async def issue_card(person_id: str, visit: Visit, db: Database) -> Response[str]:
    """Give a member card."""
    visit.operator.require("persons")
    async with db.begin() as conn:
        await cards.issue(await driver_of(conn), person_uuid(person_id), visit.moment.now)
    return redirect(f"/console/persons/{person_id}/membership?said=card")


@get("/checkins", include_in_schema=False)
async def checkin_rules(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """What check-in brings, how many checked in, and the form to change it."""
    versions, counts = await checkins.overview(db, visit.moment.now, visit.moment.zone)
    today = checkins.local_day(visit.moment.now, visit.moment.zone)
    by_day = dict(counts)
    days = [today - timedelta(days=n) for n in range(29, -1, -1)]
    return visit.page(
        "checkins.html", rules=versions[0].rules, versions=versions, chart=_chart(visit, days, by_day),
        total=sum(by_day.values()), said=said_of(request, visit),
    )  # fmt: skip


def rules_from(form: Any) -> Rules:
    """The rules that a form describes: one reward a line, `7 chance 1`. Raises MalformedRequest."""

    def reward(currency: str, amount: str, path: str) -> Reward:
        return Reward(currency=currency, amount=max(1, min(10**9, _number(amount, path))))

    def lines(path: str) -> list[list[str]]:
        found = [line.split() for line in str(form.get(path, "")).splitlines() if line.strip()]
        if wrong := next((words for words in found if len(words) not in (3, 4)), None):
            raise MalformedRequest(
                f"A line has days, currency and amount, such as 7 chance 1: {' '.join(wrong)[:80]!r}."
            )
        return found

    def on(path: str) -> list[On]:
        return [On(days=_number(days, path), rewards=[reward(code, n, path)]) for days, code, n, *_ in lines(path)]

    daily = [line.split() for line in str(form.get("daily", "")).splitlines() if line.strip()]
    if any(len(words) != 2 for words in daily):
        raise MalformedRequest("A line has currency and amount, such as points 5.", path="daily")
    make_up = None
    if form.get("make_up"):
        make_up = MakeUp(
            cost=_number(str(form.get("cost", "1")), "cost"),
            days_back=_number(str(form.get("days_back", "7")), "days_back"),
            rewarded=bool(form.get("rewarded")),
        )  # fmt: skip
    return Rules(
        active=bool(form.get("active")),
        daily=[reward(code, amount, "daily") for code, amount in daily],
        cycle=Cycle(
            kind=CycleKind(str(form.get("cycle", "days"))),
            days=_number(str(form.get("cycle_days", "7")), "cycle"),
            on=on("on"),
        ),
        streaks=[
            Streak(
                days=_number(words[0], "streaks"),
                rewards=[reward(words[1], words[2], "streaks")],
                repeat=words[3:] != ["once"],
            )
            for words in lines("streaks")
        ],
        month=on("month"),
        make_up=make_up,
    )  # fmt: skip


def _chart(visit: Visit, days: Sequence[date], by_day: Mapping[date, int]) -> dict[str, Any]:
    series = {
        "name": visit.face.text(_("Check-ins by day")),
        "values": [by_day.get(day, 0) for day in days],
        "tone": "jade",
    }
    return {"kind": "bars", "labels": [day.isoformat() for day in days], "series": [series]}


@post("/checkins", include_in_schema=False, status_code=303)
async def change_checkins(request: AnyRequest, visit: Visit, db: Database, desk: Points, now: Now) -> Response[str]:
    """The next version of the rules."""
    visit.operator.require("persons")
    try:
        rules = rules_from(await request.form())
    except ValueError:
        raise MalformedRequest("The form is not complete.") from None
    async with db.begin() as conn:
        driver = await driver_of(conn)
        await checkins.put_rules(driver, desk.ledger, rules, now(), f"console:{visit.operator.name}")
    return redirect("/console/checkins?said=rules")


routes: list[Any] = [membership, fix, issue_card, checkin_rules, change_checkins]
