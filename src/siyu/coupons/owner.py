"""Whose coupons and orders: the person whom somebody names, what their value hangs on, and the rows that are locked."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.coupons import records
from siyu.errors import PersonNotFound
from siyu.identity.members import Named, named_by_anchor, named_by_uid
from siyu.identity.spans import BEGINNING_MS, END_MS
from siyu.ledger.read_records import holders_from
from siyu.loyalty.request import PersonRef, uid_of
from siyu.loyalty.wallet import Wallets, anchor_of, passing_anchors, wallets

_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)


class Owner(NamedTuple):
    """A person with what their value hangs on."""

    named: Named
    wallets: Wallets

    @property
    def anchor(self) -> int:
        """The identifier under which they get something now."""
        return anchor_of(self.wallets.own)

    @property
    def anchors(self) -> list[int]:
        """All identifiers that are or were theirs."""
        return sorted({member.anchor for member in self.named.members})

    @property
    def current(self) -> list[int]:
        """All identifiers that are theirs now."""
        return sorted({one.anchor for one in self.named.members if one.until_ms == END_MS} | {self.anchor})

    @property
    def spans(self) -> list[tuple[int, datetime, datetime]]:
        """Identifiers with the time in which they were theirs: [since, until)."""
        return [(one.anchor, _instant(one.since_ms), _instant(one.until_ms)) for one in self.named.members]

    @property
    def holders(self) -> list[str]:
        """All of their wallets."""
        return list(self.wallets.holders)


def _instant(ms: int) -> datetime:
    if ms <= BEGINNING_MS:
        return _FIRST
    return _LAST if ms >= END_MS else datetime.fromtimestamp(ms / 1000, UTC)


async def find_owners(connection: Any, uids: Collection[UUID], now: datetime) -> dict[UUID, Owner]:
    """Public id of an identifier → its person; unknown ones are left out."""
    named = await named_by_uid(connection, uids) if uids else {}
    known = await known_wallets(connection, passing_anchors(named.values()))
    at_ms = int(now.timestamp() * 1000)
    return {uid: Owner(one, wallets(one, known, at_ms)) for uid, one in named.items()}


async def owners_of(connection: Any, anchors: Collection[int], now: datetime) -> list[Owner]:
    """The persons who have these identifiers now, each once; those that were erased are left out."""
    asked = [(anchor, now) for anchor in sorted(set(anchors))]
    named = [one for one in (await named_by_anchor(connection, asked) if asked else ()) if one is not None]
    known = await known_wallets(connection, passing_anchors(named))
    at_ms = int(now.timestamp() * 1000)
    return list({one.person: Owner(one, wallets(one, known, at_ms)) for one in named}.values())


async def find_owner(connection: Any, person: PersonRef, secret: bytes, now: datetime, *, hold: bool = False) -> Owner:
    """The person named. `hold`: nobody else gives to or takes from them until the transaction ends.

    Raises PersonNotFound."""
    uid = uid_of(person, secret)
    named = (await named_by_uid(connection, [uid])).get(uid)
    if named is None:
        raise PersonNotFound(f"Nobody is known as {person if isinstance(person, str) else person.value!r}.")
    return await _owner(connection, named, now, hold)


async def owner_of(connection: Any, anchor: int, now: datetime, *, hold: bool = False) -> Owner:
    """The person who has an identifier now. Raises PersonNotFound when it was erased."""
    (named,) = await named_by_anchor(connection, [(anchor, now)])
    if named is None:
        raise PersonNotFound("This person was erased.")
    return await _owner(connection, named, now, hold)


async def _owner(connection: Any, named: Named, now: datetime, hold: bool) -> Owner:
    if hold:
        await records.hold_anchors(connection, sorted({member.anchor for member in named.members}))
    known = await known_wallets(connection, passing_anchors([named]))
    return Owner(named, wallets(named, known, int(now.timestamp() * 1000)))


async def known_wallets(connection: Any, anchors: Iterable[int]) -> dict[int, list[str]]:
    """The wallets so far, of points or of coupons, of identifiers that may change hands."""
    wanted = sorted(anchors)
    if not wanted:
        return {}
    found = await holders_from(connection, wanted)
    for anchor, holder in await records.wallets_of(connection, wanted):
        if holder not in found.setdefault(anchor, []):
            found[anchor].append(holder)
    return found
