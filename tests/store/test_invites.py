"""A friend who accepted counts for who invited them: told once, under the inviter, through the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from siyu.clock import system_now
from siyu.collect.event import Event
from siyu.collect.frame import Arrival, frames_of
from siyu.identity import outbox
from siyu.identity.anchors import AnchorRegistry
from siyu.ids import identifier_key, identifier_uid
from siyu.processor import records
from siyu.processor.invites import InviteReaction, inviter_key
from siyu.processor.reactions import IdentityReaction
from siyu.processor.work import Worker
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.stream.postgres import PostgresStream

SECRET = b"test secret of thirty-two bytes!"
T0 = 1_760_000_000_000
ANN = identifier_key("user_id", "ann")


class House:
    def __init__(self, db: Database, events: EventStore) -> None:
        self.db, self.events, self.stream = db, events, PostgresStream(db)
        self._number = 0

    async def hear(self, *sent: Event) -> None:
        """Events come and are processed, and what is told of them too."""
        await self.stream.append(frames_of([Arrival(list(sent), [], "shop", "web", T0)], 1, 10**7))
        identity = IdentityReaction(self.events, SECRET, 100, lambda: None)
        worker = Worker(
            0,
            db=self.db,
            events=self.events,
            stream=self.stream,
            registry=AnchorRegistry(SECRET),
            reactions=[InviteReaction(SECRET), identity],
        )
        await worker.step(1)
        if await outbox.send_waiting(self.db, self.stream, system_now):
            await worker.step(1)

    def accepted(self, friend: str, inviter: Any, name: str = "invite.accepted", **more: Any) -> Event:
        self._number += 1
        said = msgspec.json.encode({"inviter": inviter}).decode()
        key = identifier_key("user_id", friend)
        return Event(f"e{self._number}", name, T0 + self._number * 1000, key, properties=said, **more)

    async def successes(self) -> list[tuple[str, str]]:
        """(inviter, friend) of what was told."""
        rows = await self.events.rows(
            "SELECT anchor, JSONExtractString(properties, 'friend') AS friend FROM events"
            " WHERE name = 'invite.succeeded' ORDER BY friend"
        )
        async with self.db.driver() as connection:
            names = {row[0]: row[1] for row in await connection.fetch("SELECT id, value FROM identifiers")}
        return [(names[anchor], friend) for anchor, friend in rows]


@pytest.fixture
async def house(db: Database, events: EventStore) -> AsyncIterator[House]:
    await db.create_all()
    await events.create_all()
    async with db.driver() as connection:
        await records.open_partition(connection, 0)
    house = House(db, events)
    await house.hear(Event("seen", "view", T0, ANN, identifier_key("anonymous_id", "ann-phone")))
    yield house
    await house.stream.close()


def uid(user: str) -> str:
    return str(identifier_uid(identifier_key("user_id", user), SECRET))


async def test_each_friend_counts_once_for_who_invited_them(house: House) -> None:
    await house.hear(house.accepted("bo", "ann"), house.accepted("cy", {"kind": "user_id", "value": "ann"}))
    await house.hear(house.accepted("bo", "ann"), house.accepted("dee", "ann", "Invite Accepted"))
    assert await house.successes() == [("ann", friend) for friend in sorted(map(uid, ("bo", "cy", "dee")))]


async def test_nobody_invites_themselves_under_any_of_their_names(house: House) -> None:
    phone = {"kind": "anonymous_id", "value": "ann-phone"}
    await house.hear(house.accepted("ann", "ann"), house.accepted("ann", phone))
    assert await house.successes() == []


async def test_a_name_that_nobody_has_makes_no_person(house: House) -> None:
    await house.hear(house.accepted("bo", "never seen"), house.accepted("cy", "undefined"), house.accepted("dee", None))
    assert await house.successes() == []
    async with house.db.driver() as connection:
        assert await connection.fetchval("SELECT count(*) FROM identifiers WHERE value = 'never seen'") == 0


@pytest.mark.parametrize(
    ("properties", "key"),
    [
        ('{"inviter":"ann"}', ANN),
        ('{"inviter_id":"ann"}', ANN),
        ('{"inviter":7}', identifier_key("user_id", "7")),
        ('{"inviter":{"kind":"unionid","value":"o1"}}', identifier_key("unionid", "o1")),
        ('{"inviter":{"kind":["x"],"value":"o1"}}', None),
        ('{"inviter":["ann"]}', None),
        ('{"inviter":"null"}', None),
        ("[]", None),
        ("{", None),
    ],
)
def test_whom_an_event_names(properties: str, key: str | None) -> None:
    assert inviter_key(properties) == key
