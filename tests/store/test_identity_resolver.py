"""Persons through PostgreSQL and ClickHouse are those of the pure function, whatever the arrival."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from identity_world import Fact, Said, Seen, World, expected, links_of, numbered, random_facts
from siyu.identity import actions, person_records
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database


@pytest.fixture
async def world(db: Database, events: EventStore) -> World:
    await db.create_all()
    await events.create_all()
    return World(db, events)


async def arrive(world: World, facts: Sequence[Fact], chooser: random.Random, processors: int) -> None:
    """All facts, some twice, in any order, in batches of any size, to any processor, with restarts in between."""
    arrival = [*facts, *chooser.sample(facts, len(facts) // 3)]
    chooser.shuffle(arrival)
    while arrival:
        size = chooser.choice((1, 1, 2, 5, 20))
        if chooser.random() < 0.1:
            world.restart(processors)
        await world.absorb(arrival[:size], chooser.randrange(processors))
        del arrival[:size]


async def check(world: World, facts: Sequence[Fact], retracted: frozenset = frozenset()) -> None:
    persons, refused = expected(facts, world.members_max, retracted)
    assert await world.persons() == persons
    stored = await world.links()
    wanted = links_of(facts, numbered(facts))
    assert stored.keys() == wanted.keys()
    for link_id, (link, event) in wanted.items():
        reason = refused.get(link_id, (None, ""))
        assert stored[link_id] == (link.times[0], event, reason[0], reason[1] or None), link


@pytest.mark.parametrize("seed", range(12))
async def test_any_arrival_gives_the_persons_of_the_pure_function(world: World, seed: int) -> None:
    chooser = random.Random(seed)
    facts = random_facts(chooser, chooser.choice((3, 8, 15, 30)), sparse=chooser.random() < 0.5)
    processors = chooser.choice((1, 2))
    world.restart(processors)
    await arrive(world, facts, chooser, processors)
    await check(world, facts)


@pytest.mark.parametrize("seed", range(100, 108))
async def test_a_retraction_is_as_if_the_link_never_was_and_its_undo_exact(world: World, seed: int) -> None:
    chooser = random.Random(seed)
    facts = random_facts(chooser, 20, sparse=chooser.random() < 0.5)
    await arrive(world, facts, chooser, 1)
    links = sorted(links_of(facts, numbered(facts)))
    gone = chooser.sample(links, 3)
    for n, link_id in enumerate(gone, 1):
        now = person_records.datetime.fromisoformat("2026-01-01T00:00:00+00:00")
        await actions.retract(world.db, world.events, link_id, "wrong", now, members_max=world.members_max)
        await check(world, facts, frozenset(gone[:n]))
    more = random_facts(chooser, 6)
    await arrive(world, more, chooser, 1)
    await check(world, [*facts, *more], frozenset(gone))
    for n, link_id in enumerate(gone, 1):
        await actions.unretract(world.db, world.events, link_id, members_max=world.members_max)
        await check(world, [*facts, *more], frozenset(gone[n:]))


@pytest.mark.parametrize("seed", range(200, 206))
async def test_caps_do_not_depend_on_arrival(world: World, seed: int) -> None:
    """One user with too many carried identifiers, one with too many openids, one device of too many users."""
    chooser = random.Random(seed)
    world.members_max = 4
    world.restart()
    facts: list[Fact] = [Seen(chooser.randrange(1, 90), ("user_id=u1", f"anonymous_id=a{n}")) for n in range(9)]
    facts += [Seen(chooser.randrange(1, 90), ("user_id=u2", f"openid:m=o{n}")) for n in range(9)]
    facts += [Seen(chooser.randrange(1, 90), (f"user_id=v{n}", "device=kiosk")) for n in range(9)]
    await arrive(world, facts, chooser, 1)
    await check(world, facts)
    persons = await world.persons()
    assert persons["device=kiosk"] == ((0, "device=kiosk"),)
    assert sum(spans[0][1] == "user_id=u1" for spans in persons.values()) == 5
    assert sum(spans[0][1] == "user_id=u2" for spans in persons.values()) == 4


async def test_a_shared_tablet_is_each_users_in_turn(world: World) -> None:
    tablet = "anonymous_id=tablet"
    facts: list[Fact] = [
        Seen(t, (user, tablet)) for t, user in ((10, "user_id=a"), (20, "user_id=b"), (30, "user_id=a"))
    ]
    facts.append(Seen(35, ("user_id=a", tablet)))
    for fact in (facts[3], facts[1], facts[0], facts[2]):
        await world.absorb([fact])
    assert (await world.persons())[tablet] == ((0, "user_id=a"), (20, "user_id=b"), (30, "user_id=a"))
    # A late sighting in the middle of a's second turn.
    await world.absorb([Seen(32, ("user_id=b", tablet))])
    assert (await world.persons())[tablet] == (
        (0, "user_id=a"),
        (20, "user_id=b"),
        (30, "user_id=a"),
        (32, "user_id=b"),
        (35, "user_id=a"),
    )


async def test_another_process_sees_that_a_tablet_became_shared(world: World) -> None:
    world.restart(2)
    tablet = "device=tablet"
    await world.absorb([Seen(10, ("user_id=a", tablet))], 0)
    await world.absorb([Seen(20, ("user_id=b", tablet))], 1)
    await world.absorb([Seen(30, ("user_id=a", tablet))], 0)
    assert (await world.persons())[tablet] == ((0, "user_id=a"), (20, "user_id=b"), (30, "user_id=a"))


@pytest.mark.parametrize("alias_first", [True, False])
async def test_an_alias_binds_the_value_it_names_whenever_that_is_seen(world: World, alias_first: bool) -> None:
    batches: list[list[Fact]] = [
        [Said(10, "alias", "any=x", "user_id=new"), Seen(10, ("user_id=new",))],
        [Seen(5, ("anonymous_id=x",))],
        [Seen(6, ("user_id=x",))],
    ]
    for batch in batches if alias_first else reversed(batches):
        await world.absorb(batch)
    persons = await world.persons()
    assert len({persons[text] for text in ("user_id=new", "user_id=x", "anonymous_id=x")}) == 1


async def test_erasure_leaves_what_others_share(world: World) -> None:
    facts: list[Fact] = [
        Seen(10, ("user_id=a", "device=tablet")),
        Seen(20, ("user_id=b", "device=tablet")),
        Seen(5, ("user_id=a", "phone=+8613800000001")),
        Seen(25, ("user_id=b", "phone=+8613800000001")),
        Said(26, "alias", "any=old-a", "user_id=a"),
    ]
    await world.absorb(facts)
    now = person_records.datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    async with world.db.begin() as connection:
        person = await person_records.find_anchor(connection, "user_id", "a")
        assert person is not None
        counts = await actions.forget(connection, world.events, person, now, members_max=1000)
    assert counts == {"identifiers": 2, "links": 3}
    assert await world.persons() == {
        "user_id=b": ((0, "user_id=b"),),
        "device=tablet": ((0, "user_id=b"),),
        "phone=+8613800000001": ((0, "user_id=b"),),
    }
    async with world.db.driver() as connection:
        assert await connection.fetchval("SELECT count(*) FROM tombstones") == 2
        assert await connection.fetchval("SELECT count(*) FROM identifiers WHERE value LIKE '%a'") == 0


async def test_an_operators_alias_joins_two_people_and_can_be_taken_back(world: World) -> None:
    await world.absorb([Seen(1, ("user_id=a", "openid:m=1")), Seen(2, ("user_id=b", "openid:m=2"))])
    now = person_records.datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    async with world.db.connect() as connection:
        ends = [await person_records.find_anchor(connection, "openid:m", value) for value in "12"]
    assert ends[0] and ends[1]
    link, persons = await actions.declare_alias(
        world.db, world.events, (ends[0], ends[1]), "same contract", now, members_max=1000
    )
    assert len(persons) == 1
    assert len(await actions.retract(world.db, world.events, link, "no", now, members_max=1000)) == 2


async def test_an_impossible_alias_is_refused_and_leaves_nothing(world: World) -> None:
    await world.absorb([Seen(1, ("unionid=1", "openid:m=1")), Seen(2, ("unionid=2", "openid:m=2"))])
    before = await world.persons(), await world.links()
    now = person_records.datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    async with world.db.connect() as connection:
        ends = [await person_records.find_anchor(connection, "openid:m", value) for value in "12"]
    assert ends[0] and ends[1]
    with pytest.raises(actions.LinkRefused):
        await actions.declare_alias(world.db, world.events, (ends[0], ends[1]), "?", now, members_max=1000)
    assert (await world.persons(), await world.links()) == before
