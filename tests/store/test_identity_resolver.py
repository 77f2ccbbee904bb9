"""Persons through PostgreSQL and ClickHouse are those of the pure function, whatever the arrival."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from identity_world import POOL, Fact, Said, Seen, World, expected, links_of, numbered, random_facts
from siyu.identity import actions, person_records
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


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


async def check(world: World, facts: Sequence[Fact], retracted: frozenset[UUID] = frozenset()) -> None:
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
        await actions.retract(world.db, world.events, link_id, "wrong", NOW, members_max=world.members_max)
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
    async with world.db.begin() as connection:
        person = await person_records.find_anchor(connection, "user_id", "a")
        assert person is not None
        counts = await actions.forget(connection, world.events, person, NOW, members_max=1000)
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
    async with world.db.connect() as connection:
        ends = [await person_records.find_anchor(connection, "openid:m", value) for value in "12"]
    assert ends[0] and ends[1]
    link, persons = await actions.declare_alias(
        world.db, world.events, (ends[0], ends[1]), "same contract", NOW, members_max=1000
    )
    assert len(persons) == 1
    assert len(await actions.retract(world.db, world.events, link, "no", NOW, members_max=1000)) == 2


async def test_an_impossible_alias_is_refused_and_leaves_nothing(world: World) -> None:
    await world.absorb([Seen(1, ("unionid=1", "openid:m=1")), Seen(2, ("unionid=2", "openid:m=2"))])
    before = await world.persons(), await world.links()
    async with world.db.connect() as connection:
        ends = [await person_records.find_anchor(connection, "openid:m", value) for value in "12"]
    assert ends[0] and ends[1]
    with pytest.raises(actions.LinkRefused):
        await actions.declare_alias(world.db, world.events, (ends[0], ends[1]), "?", NOW, members_max=1000)
    assert (await world.persons(), await world.links()) == before


TIMES = st.integers(1, 30)
FACTS = st.one_of(
    st.builds(Seen, TIMES, st.lists(st.sampled_from(POOL), min_size=2, max_size=3, unique=True).map(tuple)),
    st.builds(Said, TIMES, st.just("alias"), st.sampled_from([*POOL, "any=a1"]), st.sampled_from(POOL)),
    st.builds(Said, TIMES, st.just("unbind"), st.sampled_from(POOL), st.none()),
)


class IdentityMachine(RuleBasedStateMachine):
    """Evidence, restarts, retractions and their undoing in any order; the pure function is the model."""

    world: ClassVar[World]
    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[Fact] = []
        self.retracted: set[UUID] = set()
        self.runner.run(self.world.clear(processors=2))

    def known(self) -> list[UUID]:
        return sorted(links_of(self.facts, numbered(self.facts)))

    @rule(batch=st.lists(FACTS, min_size=1, max_size=6), processor=st.sampled_from((0, 1)))
    def absorb(self, batch: list[Fact], processor: int) -> None:
        self.facts += batch
        self.runner.run(self.world.absorb(batch, processor))

    @precondition(lambda self: self.facts)
    @rule(chooser=st.randoms(use_true_random=False), processor=st.sampled_from((0, 1)))
    def repeat(self, chooser: random.Random, processor: int) -> None:
        self.runner.run(self.world.absorb(chooser.sample(self.facts, max(1, len(self.facts) // 2)), processor))

    @rule()
    def restart(self) -> None:
        self.world.restart(2)

    @precondition(lambda self: self.facts)
    @rule(chooser=st.randoms(use_true_random=False))
    def retract(self, chooser: random.Random) -> None:
        if links := self.known():
            link = chooser.choice(links)
            self.retracted.add(link)
            self.runner.run(
                actions.retract(self.world.db, self.world.events, link, "?", NOW, members_max=self.world.members_max)
            )

    @precondition(lambda self: self.retracted)
    @rule(chooser=st.randoms(use_true_random=False))
    def unretract(self, chooser: random.Random) -> None:
        link = chooser.choice(sorted(self.retracted))
        self.retracted.discard(link)
        self.runner.run(actions.unretract(self.world.db, self.world.events, link, members_max=self.world.members_max))

    @invariant()
    def stored_is_what_the_evidence_says(self) -> None:
        self.runner.run(check(self.world, self.facts, frozenset(self.retracted)))


def test_identity_machine(postgres_dsn: str, clickhouse_url: str) -> None:
    with asyncio.Runner() as runner:
        name = f"t_{uuid4().hex}"

        async def open_stores() -> tuple[Database, EventStore, World]:
            admin = await Database.open(postgres_dsn, connections_max=1)
            async with admin.driver() as connection:
                await connection.execute(f"CREATE DATABASE {name}")
            await admin.close()
            store = await EventStore.open(clickhouse_url, threads_max=1)
            await store.command(f"CREATE DATABASE {name}")
            await store.close()
            db = await Database.open(postgres_dsn.replace("@/siyu?", f"@/{name}?"))
            events = await EventStore.open(clickhouse_url.rpartition("/")[0] + "/" + name)
            await db.create_all()
            await events.create_all()
            return db, events, World(db, events)

        db, events, IdentityMachine.world = runner.run(open_stores())
        IdentityMachine.runner = runner
        try:
            run_state_machine_as_test(
                IdentityMachine,
                settings=settings(
                    max_examples=12,
                    stateful_step_count=12,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(db.close())
            runner.run(events.close())
