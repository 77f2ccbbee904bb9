"""Whether a rule holds of a person, and why, over HTTP (docs/rules.md)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from litestar import post

from siyu.clock import Now
from siyu.errors import PersonNotFound
from siyu.identity.members import named_by_uid
from siyu.loyalty.request import Instant, PersonRef, WrongRequest, uid_of
from siyu.rules.possible import asked_rule
from siyu.rules.sentence import say
from siyu.segments.explain import Judged, judged
from siyu.segments.one import Asking, Question
from siyu.segments.words import WORDS
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

_EARLIEST: Final = datetime(2001, 1, 1, tzinfo=UTC)
"""The longest window before it begins in the first year that the event store can write."""


class RuleToExplain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule, a person and an instant; without one, now."""

    rule: dict[str, Any]
    person: PersonRef
    at: Instant | None = None


class RuleExplained(msgspec.Struct, frozen=True):
    """Whether the rule held, as sentences and condition by condition."""

    person_id: str
    at: datetime
    held: bool
    zh: str
    en: str
    conditions: list[Judged]


@post("/api/rules/explain", status_code=200, summary="Why a rule holds of a person or does not", tags=["rules"])
async def explain_held(
    *, data: RuleToExplain, db: Database, events: EventStore, now: Now, settings: Settings, secret: bytes
) -> RuleExplained:
    """Each condition, held or not, with the value that was seen. Writes nothing. 404 PERSON_NOT_FOUND; 422
    INVALID_RULE, WRONG_REQUEST for an instant to come or before 2001, QUERY_TOO_EXPENSIVE."""
    moment = now()
    at = data.at or moment
    if not _EARLIEST <= at <= moment:
        raise WrongRequest("Give an instant between 2001 and now.", path="at")
    rule = asked_rule(data.rule, WORDS)
    uid = uid_of(data.person, secret)
    async with db.driver() as connection:
        named = (await named_by_uid(connection, [uid])).get(uid)
        if named is None:
            raise PersonNotFound("Nobody is known as this person. Look the id up with GET /api/persons/lookup.")
        asking = Asking(connection, events, WORDS, ZoneInfo(settings.timezone))
        conditions = await judged(asking, Question(named, at, {"": rule}))
    held = all(one.held for one in conditions if one.depth == 0)
    return RuleExplained(str(named.uid), at, held, say(rule, WORDS, "zh"), say(rule, WORDS, "en"), conditions)


routes: list[Any] = [explain_held]
