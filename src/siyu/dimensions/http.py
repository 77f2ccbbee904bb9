"""Dimensions over HTTP (docs/dimensions.md)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from litestar import get

from siyu.clock import Now
from siyu.dimensions.actions import of_person
from siyu.dimensions.catalogue import DIMENSIONS, GROUPS, PREFIX, UNITS
from siyu.dimensions.dimension import Dimension, ValueType, value_type
from siyu.dimensions.explain import explain
from siyu.dimensions.records import Reading
from siyu.dimensions.words import EVENT_WORDS
from siyu.identity.person_id import person_uuid
from siyu.rules.window import Setting
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database


class Words(msgspec.Struct, frozen=True):
    """A text in both languages."""

    zh: str
    en: str


class ChoiceShown(msgspec.Struct, frozen=True):
    """A value with its name."""

    value: str | int
    zh: str
    en: str


class DimensionShown(msgspec.Struct, frozen=True):
    """A dimension: `name` is what rules call it, `schema` the JSON Schema of its values, null: absent."""

    key: str
    name: str
    zh: str
    en: str
    group: str
    group_label: Words
    type: ValueType
    unit: Words
    meaning: Words
    computed: Words
    choices: list[ChoiceShown]
    schema: dict[str, Any]


class DimensionsShown(msgspec.Struct, frozen=True):
    """The catalogue."""

    dimensions: list[DimensionShown]


class PersonDimensions(msgspec.Struct, frozen=True):
    """Every dimension of a person by key, as of `at`; null is absent. Times are ISO 8601 in UTC."""

    person_id: str
    at: datetime
    dimensions: dict[str, int | float | str | None]


def shown(one: Dimension) -> DimensionShown:
    """A dimension with all that is known about it."""
    kind = value_type(one.expression)
    json_type = "string" if kind != "number" else "number" if one.decimals else "integer"
    schema: dict[str, Any] = {"type": [json_type, "null"]}
    if kind == "time":
        schema["format"] = "date-time"
    return DimensionShown(
        one.key,
        PREFIX + one.key,
        one.zh,
        one.en,
        one.group,
        Words(*GROUPS[one.group]),
        kind,
        Words(*UNITS[one.unit]),
        Words(one.note_zh, one.note),
        Words(explain(one, EVENT_WORDS, "zh"), explain(one, EVENT_WORDS, "en")),
        [ChoiceShown(*choice) for choice in one.choices],
        schema,
    )


def reading_of(events: EventStore, now: datetime, settings: Settings) -> Reading:
    """How dimensions of a person are read."""
    return Reading(events, EVENT_WORDS, Setting(now, ZoneInfo(settings.timezone)), settings.question_seconds_max)


@get("/api/dimensions", summary="The catalogue of dimensions")
async def list_dimensions() -> DimensionsShown:
    """Every dimension: what it is called, what it tells, how it is computed, the schema of its values."""
    return _CATALOGUE


@get("/api/persons/{person_id:str}/dimensions", summary="Dimensions of a person")
async def person_dimensions(
    person_id: str, db: Database, events: EventStore, now: Now, settings: Settings
) -> PersonDimensions:
    """Every dimension as it stands now. 404 PERSON_NOT_FOUND."""
    number = person_uuid(person_id)
    at = now()
    found = await of_person(db, reading_of(events, at, settings), number)
    values = {
        one.key: _iso(value) if value_type(one.expression) == "time" and value is not None else value
        for one, value in ((one, found[one.key]) for one in DIMENSIONS)
    }
    return PersonDimensions(str(number), at, values)


def _iso(ms: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")


_CATALOGUE = DimensionsShown([shown(one) for one in DIMENSIONS])
routes: list[Any] = [list_dimensions, person_dimensions]
