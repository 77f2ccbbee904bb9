"""The dimensions of a person on the portrait: by group, with the unit in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from litestar import Response, get

from siyu.console.visit import Visit
from siyu.dimensions.actions import of_person
from siyu.dimensions.catalogue import DIMENSIONS, GROUPS, UNITS, Catalogue
from siyu.dimensions.dimension import Dimension, value_type
from siyu.dimensions.explain import explain
from siyu.dimensions.records import Reading
from siyu.dimensions.words import EVENT_WORDS
from siyu.identity.person_id import person_uuid
from siyu.rules.vocabulary import Lang, choice_label
from siyu.rules.window import Setting
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database


class Figure(NamedTuple):
    """A dimension with its value in words."""

    label: str
    value: str
    about: str
    """What it tells and how it is computed."""


class Group(NamedTuple):
    """Figures under a heading."""

    label: str
    figures: list[Figure]


def grouped(values: dict[str, Any], visit: Visit, catalogue: Catalogue = DIMENSIONS) -> tuple[list[Group], int]:
    """What is not empty, by group, and how many are empty."""
    lang: Lang = "zh" if visit.locale.startswith("zh") else "en"
    place, groups, empty = 0 if lang == "zh" else 1, [], 0
    for group, labels in GROUPS.items():
        figures = []
        for one in (entry for entry in catalogue if entry.group == group):
            value = values.get(one.key)
            if value in (None, 0):
                empty += 1
                continue
            about = f"{(one.note_zh, one.note)[place]} {explain(one, EVENT_WORDS, lang)}"
            figures.append(Figure((one.zh, one.en)[place], said(one, value, visit, lang), about))
        if figures:
            groups.append(Group(labels[place], figures))
    return groups, empty


def said(one: Dimension, value: Any, visit: Visit, lang: Lang) -> str:
    """A value as people read it."""
    if (label := choice_label(value, one.choices, lang)) is not None:
        return label
    if value_type(one.expression) == "time":
        return visit.format.time(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value))
    if isinstance(value, str):
        return value[:120]
    if one.unit == "fen":
        return visit.format.money(value)
    number = f"{value:,.1f}" if one.decimals else visit.format.number(value)
    unit = UNITS[one.unit][0 if lang == "zh" else 1]
    return f"{number} {unit}" if unit else number


@get("/persons/{person_id:str}/dimensions", include_in_schema=False)
async def dimensions(
    person_id: str, visit: Visit, db: Database, events: EventStore, settings: Settings
) -> Response[str]:
    """All dimensions of a person, as part of the portrait."""
    setting = Setting(visit.moment.now, visit.moment.zone)
    reading = Reading(events, EVENT_WORDS, setting, settings.question_seconds_max)
    groups, empty = grouped(await of_person(db, reading, person_uuid(person_id)), visit)
    return visit.page("dimensions.html", groups=groups, empty=empty)


routes: list[Any] = [dimensions]
