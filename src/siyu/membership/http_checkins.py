"""Check-in over HTTP (docs/checkin.md)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from litestar import get, post, put
from litestar.params import Parameter

from siyu.clock import Now
from siyu.idempotency import Key
from siyu.identity.person_id import person_uuid
from siyu.loyalty import Points
from siyu.loyalty.newcomers import Call, Newcomers
from siyu.loyalty.request import PersonRef
from siyu.membership import checkins
from siyu.membership.checkin import Rules
from siyu.membership.checkin_records import StoredRules
from siyu.membership.checkin_shown import Calendar, CheckedIn
from siyu.membership.checkins import Asking
from siyu.settings import Settings
from siyu.store.postgres import Database, driver_of
from siyu.store.replies import Asked, once

BY_API = "api"
TAG = "checkin"
End = Annotated[str, msgspec.Meta(max_length=50, pattern=r"^[^\x00-\x1f]*$")]
Month = Annotated[str | None, Parameter(pattern=r"^(19|20)[0-9]{2}-(0[1-9]|1[0-2])$")]


class CheckIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody checks in, at one of the brand's ends."""

    person: PersonRef
    end: End = ""


class FillDay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody fills a day that they missed."""

    person: PersonRef
    day: date
    end: End = ""


class RulesShown(msgspec.Struct, frozen=True):
    """A version of the rules; version 0 is what every installation begins with."""

    version: int
    at: datetime | None
    by: str
    rules: Rules


class Versions(msgspec.Struct, frozen=True):
    """Newest first."""

    items: list[RulesShown]


def shown(stored: StoredRules) -> RulesShown:
    """As the API shows it."""
    return RulesShown(stored.version, stored.at, stored.by, stored.rules)


@post("/api/checkins", summary="Check in", status_code=200, tags=[TAG])
async def check_in(
    *,
    data: CheckIn,
    db: Database,
    desk: Points,
    newcomers: Newcomers,
    now: Now,
    secret: bytes,
    idempotency_key: Key = None,
) -> CheckedIn:
    """Once per local day: streak, day of the cycle, rewards. Raises PERSON_NOT_FOUND, 409 ALREADY_CHECKED_IN, ENDED.
    Who is not known is enrolled: 503 ENROLMENT_PENDING."""

    async def do(connection: Any) -> CheckedIn:
        return await checkins.check_in(connection, desk.ledger, Asking(data.person, data.end, now(), secret))

    asked = Asked(idempotency_key, "check_in", data)
    call = Call("checkins", end=data.end)
    return await newcomers.met(data.person, call, lambda: once(db, asked, CheckedIn, do, now))


@post("/api/checkins/make-up", summary="Fill a missed day", status_code=200, tags=[TAG])
async def make_up(
    *, data: FillDay, db: Database, desk: Points, now: Now, secret: bytes, idempotency_key: Key = None
) -> CheckedIn:
    """Against make-up cards. Raises PERSON_NOT_FOUND, 409 ALREADY_CHECKED_IN, INSUFFICIENT, LIMIT_REACHED, ENDED,
    NOT_ELIGIBLE."""

    async def do(connection: Any) -> CheckedIn:
        asking = Asking(data.person, data.end, now(), secret)
        return await checkins.make_up(connection, desk.ledger, asking, data.day, idempotency_key)

    return await once(db, Asked(idempotency_key, "make_up", data), CheckedIn, do, now)


@get("/api/checkins/rules", summary="What check-in brings", tags=[TAG])
async def show_rules(db: Database, now: Now, settings: Settings) -> RulesShown:
    """The rules in force."""
    versions, _ = await checkins.overview(db, now(), ZoneInfo(settings.timezone))
    return shown(versions[0])


@get("/api/checkins/rules/versions", summary="Every version of the rules of check-in", tags=[TAG])
async def rule_versions(db: Database, now: Now, settings: Settings) -> Versions:
    """Newest first; versions are never changed."""
    versions, _ = await checkins.overview(db, now(), ZoneInfo(settings.timezone))
    return Versions([shown(one) for one in versions])


@put("/api/checkins/rules", summary="Change what check-in brings", tags=[TAG])
async def put_rules(data: Rules, db: Database, desk: Points, now: Now, idempotency_key: Key = None) -> RulesShown:
    """The next version. Raises INVALID_CHECKIN_RULES."""

    async def do(connection: Any) -> RulesShown:
        return shown(await checkins.put_rules(connection, desk.ledger, data, now(), BY_API))

    return await once(db, Asked(idempotency_key, "put_checkin_rules", data), RulesShown, do, now)


@get("/api/persons/{person_id:str}/checkins", summary="A person's check-ins", tags=[TAG])
async def person_checkins(person_id: str, db: Database, desk: Points, now: Now, month: Month = None) -> Calendar:
    """The calendar of a month (`2026-06`; this month without), streak, what the next check-in brings, and what can be
    filled. Raises PERSON_NOT_FOUND."""
    number = person_uuid(person_id)
    moment = now()
    first = date.fromisoformat(f"{month}-01") if month else checkins.local_day(moment, desk.ledger.zone)
    async with db.begin() as conn:
        return await checkins.calendar(await driver_of(conn), desk.ledger, number, first, moment)


routes: list[Any] = [check_in, make_up, show_rules, rule_versions, put_rules, person_checkins]
"""What `app` mounts."""
