"""Whose coupons: the wallets of the person whom somebody names, and the rows that are locked for them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from siyu.coupons import records
from siyu.errors import PersonNotFound
from siyu.identity.members import Named, named_by_anchor, named_by_uid
from siyu.ledger.read_records import holders_from
from siyu.loyalty.request import PersonRef, uid_of
from siyu.loyalty.wallet import Wallets, anchor_of, passing_anchors, wallets


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
        """All of their identifiers."""
        return sorted({member.anchor for member in self.named.members})

    @property
    def holders(self) -> list[str]:
        """All of their wallets."""
        return list(self.wallets.holders)


async def find_owner(connection: Any, person: PersonRef, secret: bytes, now: datetime, *, hold: bool = False) -> Owner:
    """The person named. `hold`: nobody else gives to or takes from them until the transaction ends.

    Raises PersonNotFound."""
    uid = uid_of(person, secret)
    named = (await named_by_uid(connection, [uid])).get(uid)
    if named is None:
        raise PersonNotFound("Nobody is known by this name.")
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
