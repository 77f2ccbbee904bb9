"""The two compilers of a rule agree: the closure over one person's facts, and SQL and columns over all persons.

The facts of a person come from the portrait and the list of events, so this also proves the columns of the profile.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from siyu.dimensions.catalogue import DIMENSIONS
from siyu.dimensions.evaluate import value_of
from siyu.identity.spans import touched_by
from siyu.ids import base_kind
from siyu.profile.attributes import days_to_birthday
from siyu.profile.many import portraits_of
from siyu.profile.portrait import Moment, Portrait, TouchSeen
from siyu.rules.judge import Facts, compile_rule
from siyu.rules.masks import mask_of
from siyu.rules.parse import parse_rule
from siyu.rules.window import Setting, epoch_ms
from siyu.segments.population import Population, Source, survey
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.rule_world import (
    DIMENSION_TIMES,
    DIMENSIONS_ASKED,
    KNOWN_DAYS,
    ZONES,
    World,
    cycle_day,
    rules,
    setting,
    settle,
    world,
)

PERSONS = 70
RULES = 8
EXAMPLES = int(os.environ.get("RULE_EXAMPLES", "15"))
EXPECTED = EXAMPLES * RULES * PERSONS * 3 // 4
"""Pairs of a rule and a person that each world has to see (Hypothesis may stop at fewer examples than allowed)."""


class House(NamedTuple):
    """A world in the engines, and what is known of each of its persons."""

    source: Source
    world: World
    facts: dict[str, dict[int, Facts]]
    """By zone and person."""
    compared: list[int]
    """Pairs of a rule and a person, per example."""

    def __repr__(self) -> str:
        return "house"


def attributes(portrait: Portrait, here: Setting) -> dict[str, Any]:
    """A portrait as attributes of rules."""
    kinds = {kind for one in portrait.identifiers for kind in (one.kind, base_kind(one.kind))}
    found: dict[str, Any] = {f"trait.{name}": value for name, value in portrait.traits.items()}
    found |= {"tags": portrait.tags, "identities": sorted(kinds), "lifecycle": portrait.lifecycle}
    found |= {f"rfm.{name}": getattr(portrait.rfm, name) for name in portrait.rfm.__struct_fields__}
    found |= {"first_seen": epoch_ms(portrait.first_seen), "last_seen": epoch_ms(portrait.last_seen)}
    found |= {"time.holiday": KNOWN_DAYS.holiday(here.today), "time.workday": KNOWN_DAYS.workday(here.today)}
    found["birthday_in_days"] = days_to_birthday(portrait.traits.get("birthday"), here.today)
    for which, touch in (("first_touch", portrait.first_touch), ("last_touch", portrait.last_touch)):
        found |= of_touch(which, touch) if touch else {}
    marketing = portrait.consent.get("marketing", {})
    if general := marketing.get("*"):
        found["consent.marketing"] = general.granted
    if own := marketing.get("sms", general):
        refused = general is not None and not general.granted and general.at >= own.at
        found["consent.marketing.sms"] = own.granted and not refused
    return found


def computed(made: World, person: int, here: Setting) -> dict[str, Any]:
    """The dimensions that rules ask for, worked out from the list of events."""
    asked = [DIMENSIONS.entries[key] for key in (*DIMENSIONS_ASKED, *DIMENSION_TIMES)]
    found = {f"dim.{one.key}": value_of(one, made.events_of(person), here, WORDS) for one in asked}
    return found | {"checkin.cycle_day": cycle_day(made, person, here)}


def of_touch(which: str, touch: TouchSeen) -> dict[str, Any]:
    fields = {f"{which}.{name}": value for name, value in touch.fields.items()}
    return fields | {f"{which}.end": touch.end, f"{which}_at": epoch_ms(touch.at)}


@pytest.fixture(params=[1, 2])
async def house(request: pytest.FixtureRequest, db: Database, events: EventStore) -> AsyncIterator[House]:
    """The engines filled with one of the worlds."""
    made = world(request.param, PERSONS)
    await settle(db, events, made)
    facts = {}
    for zone in ZONES:
        here = setting(zone)
        known = await portraits_of(db, made.persons, Moment(here.now, here.zone))
        facts[zone] = {
            person: Facts(attributes(known[person], here) | computed(made, person, here), made.events_of(person))
            for person in made.persons
        }
    house = House(Source(db, events, WORDS), made, facts, [])
    yield house
    assert sum(house.compared) >= EXPECTED


def differing(house: House, zone: str, trees: list[Any], population: Population) -> list[Any]:
    """The (rule, person) of which the two say different things."""
    here, wrong = setting(zone), []
    for tree in trees:
        judge = compile_rule(tree, WORDS)
        mask = mask_of(tree, population.columns, here, WORDS)
        for person, found in zip(population.persons.tolist(), mask.tolist(), strict=True):
            if found != judge(house.facts[zone][person], here):
                wrong.append((tree, person, found))
    return wrong


by_hypothesis = settings(
    phases=[Phase.explicit, Phase.generate],  # to shrink a failure takes minutes
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@by_hypothesis
@given(zone=st.sampled_from(ZONES), asked=st.lists(rules, min_size=RULES, max_size=RULES))
async def test_all_and_one_agree(house: House, zone: str, asked: list[Any]) -> None:
    trees = [parse_rule(one, WORDS) for one in asked]
    population = await survey(house.source, trees, setting(zone))
    assert population.persons.tolist() == house.world.persons
    assert differing(house, zone, trees, population)[:3] == []
    house.compared.append(len(trees) * len(population.persons))


@by_hypothesis
@given(asked=st.lists(rules, min_size=4, max_size=4), some=st.lists(st.sampled_from([1, 3, 7, 82, 90]), min_size=1))
async def test_asked_of_some_persons_the_answer_is_the_same(house: House, asked: list[Any], some: list[int]) -> None:
    trees = [parse_rule(one, WORDS) for one in asked]
    async with house.source.db.driver() as connection:
        touched = await touched_by(connection, some)
    population = await survey(house.source, trees, setting(ZONES[0]), touched)
    assert set(population.persons.tolist()) == set(touched.persons) & set(house.world.persons)
    assert differing(house, ZONES[0], trees, population)[:3] == []
    house.compared.append(EXPECTED)
