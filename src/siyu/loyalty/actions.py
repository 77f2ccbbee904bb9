"""Verbs of points. Requests of one process are done in groups (`ledger.Desk`): one transaction finds all their persons,
settles what time has brought them, decides and writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from siyu.clock import Now
from siyu.errors import PersonNotFound, SiyuError
from siyu.identity.members import Named, named_by_anchor, named_by_uid
from siyu.ledger import Command, Desk, Flow, Ledger, Outcome, derived_key
from siyu.ledger.proving import TransferNotFound
from siyu.ledger.read_records import answered_keys, due_first, due_of, holders_from
from siyu.ledger.records import legs_of
from siyu.loyalty import posting
from siyu.loyalty.posting import Stamp
from siyu.loyalty.request import (
    GROWTH,
    Adjust,
    Decide,
    Earn,
    Give,
    PersonRef,
    Refund,
    Request,
    Spend,
    checked,
    request_hash,
    uid_of,
)
from siyu.loyalty.wallet import Wallets, anchor_of, opened_ms, passing_anchors, wallets
from siyu.segments.records import add_touch
from siyu.store.postgres import Database, driver_of

_SETTLED_AT_ONCE: Final = 500
_ROUNDS_MAX: Final = 4
"""What is settled may bring something due at once: points that become available after they have ended."""


class Ask(NamedTuple):
    """A request with the key that makes asking twice the same as once."""

    request: Request
    key: UUID
    by: str


class Origin(NamedTuple):
    """Whom an earlier transfer concerns."""

    holder: str
    currency: str


class Points:
    """Does requests. One per process."""

    def __init__(self, db: Database, now: Now, zone: ZoneInfo, secret: bytes) -> None:
        self.ledger = Ledger(zone)
        self._db = db
        self._now = now
        self._secret = secret
        self._desk: Desk[Ask, Outcome] = Desk(db, self.work)

    async def ask(self, request: Request, key: str | None, by: str) -> Outcome:
        """Do a request; its outcome is durable. Raises PersonNotFound, Refused, IdempotencyConflict, WrongRequest …"""
        number = uuid4() if key is None else key_number(key)
        outcome = await self._desk.ask(Ask(checked(request), number, by))
        return outcome.settled()

    async def may_enrol(self, key: str | None, giver: PersonRef | None = None) -> None:
        """Whether a request may bring somebody new in. Raises PersonNotFound for a repetition of what was booked or
        refused (whom it names was erased since), and when nobody knows who gives."""
        async with self._db.driver() as connection:
            if key is not None and await answered_keys(connection, [key_number(key)]):
                raise PersonNotFound("This person was erased.")
            if giver is not None:
                await self.anchor_of(connection, giver)

    async def anchor_of(self, connection: Any, person: PersonRef) -> int:
        """The identifier by which somebody is named. Raises PersonNotFound."""
        uid = uid_of(person, self._secret)
        if (named := (await named_by_uid(connection, [uid])).get(uid)) is None:
            raise PersonNotFound("Nobody is known by this name.")
        return named.anchor

    async def work(self, connection: Any, asks: Sequence[Ask]) -> list[Outcome | SiyuError]:
        """Decide and write; what `Desk` calls."""
        now = self._now()
        persons = await Persons.find(connection, [ask.request for ask in asks], self._secret, now)
        await settle(connection, self.ledger, persons.by_holder(), now)
        results: list[Outcome | SiyuError] = []
        commands: list[Command] = []
        places: list[int] = []
        for place, ask in enumerate(asks):
            try:
                commands.append(persons.command(ask, now))
            except SiyuError as error:
                results.append(error)
                continue
            places.append(place)
            results.append(Outcome(0, now, {}))
        for place, outcome in zip(places, await self.ledger.post(connection, commands), strict=True):
            results[place] = outcome
        await grown(connection, commands)
        return results


def key_number(key: str) -> UUID:
    """A caller's key as the key of a transfer."""
    return derived_key("api", key)


async def wallets_of_anchor(connection: Any, anchor: int, now: datetime) -> Wallets:
    """The wallets of the person who has an identifier now. Raises PersonNotFound when it was erased."""
    (named,) = await named_by_anchor(connection, [(anchor, now)])
    if named is None:
        raise PersonNotFound("This person was erased.")
    known = await holders_from(connection, list(anchors)) if (anchors := passing_anchors([named])) else {}
    return wallets(named, known, int(now.timestamp() * 1000))


class Persons:
    """The wallets of everybody whom a group of requests names."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._by_uid: dict[UUID, Wallets] = {}
        self._by_transfer: dict[int, tuple[Wallets, Origin]] = {}

    @classmethod
    async def find(cls, connection: Any, requests: Sequence[Request], secret: bytes, now: datetime) -> Persons:
        """Find them all: three round trips at most."""
        found = cls(secret)
        uids = {uid for request in requests for uid in found._uids(request)}
        named = await named_by_uid(connection, uids) if uids else {}
        transfers = {request.transfer_id for request in requests if isinstance(request, Refund | Decide)}
        origins = await origins_of(connection, transfers) if transfers else {}
        owners = await owners_of(connection, {origin.holder for origin in origins.values()}, now)
        at_ms = int(now.timestamp() * 1000)
        everybody = [*named.values(), *owners.values()]
        known = await holders_from(connection, list(anchors)) if (anchors := passing_anchors(everybody)) else {}
        found._by_uid = {uid: wallets(one, known, at_ms) for uid, one in named.items()}
        for transfer, origin in origins.items():
            if (owner := owners.get(origin.holder)) is not None:
                found._by_transfer[transfer] = (wallets(owner, known, at_ms), origin)
        return found

    def _uids(self, request: Request) -> Iterable[UUID]:
        refs = (request.giver, request.taker) if isinstance(request, Give) else (getattr(request, "person", None),)
        for ref in refs:
            if ref is not None:
                try:
                    yield uid_of(ref, self._secret)
                except PersonNotFound:
                    continue

    def of(self, person: Any) -> Wallets:
        """Raises PersonNotFound."""
        uid = uid_of(person, self._secret)
        if (found := self._by_uid.get(uid)) is None:
            raise PersonNotFound(f"Nobody is known as {person if isinstance(person, str) else person.value!r}.")
        return found

    def by_holder(self) -> dict[str, Wallets]:
        """Holder → the wallets it is one of."""
        everybody = [*self._by_uid.values(), *(one for one, _ in self._by_transfer.values())]
        return {holder: one for one in everybody for holder in one.holders}

    def command(self, ask: Ask, now: datetime) -> Command:
        """What the ledger is to do. Raises PersonNotFound, TransferNotFound, WrongRequest."""
        request = ask.request
        stamp = Stamp(ask.key, request_hash(request), now, ask.by)
        if isinstance(request, Earn):
            return posting.earn(request, self.of(request.person), stamp)
        if isinstance(request, Spend):
            return posting.spend(request, self.of(request.person), stamp)
        if isinstance(request, Give):
            return posting.give(request, self.of(request.giver), self.of(request.taker), stamp)
        if isinstance(request, Adjust):
            return posting.adjust(request, self.of(request.person), stamp)
        if (concerned := self._by_transfer.get(request.transfer_id)) is None:
            raise TransferNotFound(f"No transfer {request.transfer_id} can be decided or taken back.")
        owner, origin = concerned
        if isinstance(request, Refund):
            taken = posting.take_back(request.transfer_id, request.points, owner, origin.currency, stamp)
            return taken._replace(reason=request.reason)
        return posting.decide(request, owner, origin.currency, stamp)


async def grown(connection: Any, commands: Iterable[Command], holders: Iterable[str] = ()) -> None:
    """Whoever's growth value these commands change, and the owners of these holders, are looked at again: tiers may ask
    for it. In the transaction of the posting."""
    names = {name for command in commands for name in command.report}
    names |= {
        leg.target for command in commands for part in command.parts if isinstance(part, Flow) for leg in part.legs
    }
    changed = (name.holder for name in names if name.currency == GROWTH)
    anchors = {anchor_of(holder) for holder in (*changed, *holders) if holder.partition("@")[0].isdecimal()}
    if anchors:
        await add_touch(connection, b"".join(anchor.to_bytes(4, "little") for anchor in sorted(anchors)))


async def origins_of(connection: Any, transfers: Collection[int]) -> dict[int, Origin]:
    """Whose units each transfer moved: the holder of its first leg."""
    legs, _ = await legs_of(connection, list(transfers))
    return {leg.transfer: Origin(leg.source.holder, leg.source.currency) for leg in reversed(legs)}


async def owners_of(connection: Any, holders: Collection[str], now: datetime) -> dict[str, Named]:
    """The person to whom each wallet belongs; those of erased persons, and holders that are no wallets, left out."""
    mine = [holder for holder in holders if holder.partition("@")[0].isdecimal()]
    if not mine:
        return {}
    wanted = [
        (anchor_of(holder), now if (ms := opened_ms(holder)) is None else datetime.fromtimestamp(ms / 1000, UTC))
        for holder in mine
    ]
    found = await named_by_anchor(connection, wanted)
    return {holder: named for holder, named in zip(mine, found, strict=True) if named is not None}


async def settle(connection: Any, ledger: Ledger, everybody: dict[str, Wallets], now: datetime) -> int:
    """Do what time has brought to these wallets: how many transfers. What is asked for next finds it done."""
    done = 0
    for _ in range(_ROUNDS_MAX):
        due = await due_of(connection, list(everybody), now) if everybody else []
        if not due:
            break
        commands = posting.settlements(due, everybody, now)
        done += len(await ledger.post(connection, commands))
        await grown(connection, commands, (one.holder for one in due if one.currency == GROWTH))
    return done


async def settle_due(db: Database, ledger: Ledger, now: datetime) -> int:
    """Do what time has brought to anybody; how many transfers. May run anywhere, at the same time twice."""
    done = 0
    while True:
        async with db.begin() as conn:
            connection = await driver_of(conn)
            due = await due_first(connection, now, _SETTLED_AT_ONCE)
            if not due:
                return done
            holders = {one.holder for one in due}
            owners = await owners_of(connection, holders, now)
            anchors = passing_anchors(owners.values())
            known = await holders_from(connection, list(anchors)) if anchors else {}
            at_ms = int(now.timestamp() * 1000)
            debts = {holder: wallets(owner, known, at_ms) for holder, owner in owners.items()}
            outcomes = await ledger.post(connection, posting.settlements(due, debts, now))
            await grown(connection, (), (one.holder for one in due if one.currency == GROWTH))
        moved = sum(outcome.refused is None and outcome.fresh for outcome in outcomes)
        done += moved
        if not moved:
            return done
