"""Newcomers: a call that gives something to an identifier nobody has been seen with enrols the person first.

By the one path there is, an event: so what is true of every event (one spelling of a value, values that name nobody,
caps, erasures) is true of them. Nobody is registered here, and of persons who are known nothing is asked. An erased
person is enrolled anew, since the call came after the erasure; a repetition of an earlier call does not do that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

from siyu.clock import Now
from siyu.collect.identifiers import clean_value, known_kind
from siyu.collect.own_events import ENROLLED
from siyu.errors import Busy, PersonNotFound, WrongValue
from siyu.identity.members import named_by_uid
from siyu.identity.outbox import Told, tell
from siyu.identity.records import find_tombstones
from siyu.ids import CURRENT, MANY, SINGLE, base_kind, identifier_key, identifier_uid
from siyu.ledger import Desk, derived_key
from siyu.loyalty.request import Identifier, PersonRef
from siyu.store.postgres import Database

T = TypeVar("T")

LASTING: Final = frozenset((*SINGLE, *MANY, *CURRENT))
"""Kinds by which somebody can be met again; an anonymous id or a device is nobody's for long."""
PATIENCE_SECONDS: Final = 3.0
"""How long a call waits for its newcomer; as a rule it takes less than one second."""
LOOK_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 2
_AFTER: Final = timedelta(milliseconds=1)
_API: Final = "api"


class EnrolmentPending(Busy):
    """The newcomer is on the way, and the processor behind; the same call works a little later."""

    code = "ENROLMENT_PENDING"
    status = 503


class Call(NamedTuple):
    """What is asked for a person, as the event of the enrolment tells it."""

    name: str
    by: str = _API
    end: str = ""
    path: str = "person"
    """The field of the body that names the person."""


class Newcomer(NamedTuple):
    """Somebody who is to be enrolled."""

    key: str
    """`ids.identifier_key`"""
    uid: UUID
    call: Call


async def nothing() -> None:
    """Nothing forbids an enrolment."""


class Newcomers:
    """Enrols whoever calls give something to. One per process: those that wait at the same time are told of, and
    looked for, together."""

    def __init__(self, db: Database, now: Now, secret: bytes, patience_s: float = PATIENCE_SECONDS) -> None:
        self._now = now
        self._secret = secret
        self._patience_s = patience_s
        self._tell: Desk[Newcomer, None] = Desk(db, self._told)
        self._look: Desk[UUID, bool] = Desk(db, _known)

    async def met(
        self,
        person: PersonRef | None,
        call: Call,
        do: Callable[[], Awaitable[T]],
        allowed: Callable[[], Awaitable[None]] = nothing,
    ) -> T:
        """Do a write; once more with the person enrolled, when it is refused because nobody knows them.

        `allowed` raises what forbids the enrolment. Raises what `do` raises, WrongValue for a value that cannot be one
        of its kind, EnrolmentPending: then nothing was done but that the newcomer is on the way."""
        try:
            return await do()
        except PersonNotFound:
            if (key := lasting_key(person, call.path)) is None:
                raise
        await allowed()
        await self._enrol(Newcomer(key, identifier_uid(key, self._secret), call))
        return await do()

    async def _enrol(self, newcomer: Newcomer) -> None:
        if await self._look.ask(newcomer.uid):
            return  # another call was faster
        await self._tell.ask(newcomer)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        while not await self._look.ask(newcomer.uid):
            if loop.time() >= until:
                raise EnrolmentPending("The person is being enrolled; ask again.", retry_after_s=RETRY_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)

    async def _told(self, connection: Any, newcomers: Sequence[Newcomer]) -> list[None]:
        now = self._now()
        erased = dict(await find_tombstones(connection, [one.uid.bytes for one in newcomers]))
        events = []
        for place, one in enumerate(newcomers):
            before = erased.get(place)
            at = now if before is None else max(now, before + _AFTER)
            # However often it is asked within a minute it is one event; an erasure in between makes it another.
            number = derived_key("enrolled", one.uid, before and before.timestamp(), int(at.timestamp()) // 60)
            said = {"call": one.call.name, "by": one.call.by}
            events.append(Told(number.hex, ENROLLED, at, said, None, one.key, end=one.call.end or _API))
        await tell(connection, sorted(events, key=lambda one: one.event_id))
        return [None] * len(newcomers)


async def _known(connection: Any, uids: Sequence[UUID]) -> list[bool]:
    found = await named_by_uid(connection, uids)
    return [uid in found for uid in uids]


def lasting_key(person: PersonRef | None, path: str = "person") -> str | None:
    """`ids.identifier_key` of an identifier somebody can be enrolled by; None for everything else.

    Raises WrongValue for a value that cannot be one of its kind, or that names nobody."""
    if not isinstance(person, Identifier) or base_kind(person.kind) not in LASTING or not known_kind(person.kind):
        return None
    cleaned = clean_value(person.kind, person.value)
    if cleaned is None:
        raise WrongValue(f"{person.value[:80]!r} is no {person.kind} of anybody.", path=path)
    return identifier_key(person.kind, cleaned)
