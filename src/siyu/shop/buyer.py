"""Who orders: the person named, and the identifier their rows hang on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.errors import PersonNotFound
from siyu.identity.members import Named, named_by_uid
from siyu.identity.spans import BEGINNING_MS, END_MS
from siyu.ledger.read_records import holders_from
from siyu.loyalty.request import PersonRef, uid_of
from siyu.loyalty.wallet import Wallets, anchor_of, passing_anchors, wallets

_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)


class Buyer(NamedTuple):
    """A person with what belongs to them."""

    named: Named
    wallets: Wallets

    @property
    def anchor(self) -> int:
        """The identifier that what they do now hangs on."""
        return anchor_of(self.wallets.own)

    @property
    def anchors(self) -> list[int]:
        """All identifiers that are theirs now, in the order of their numbers."""
        return sorted({one.anchor for one in self.named.members if one.until_ms == END_MS} | {self.anchor})

    @property
    def spans(self) -> list[tuple[int, datetime, datetime]]:
        """Identifiers with the time in which they were theirs: [since, until)."""
        return [(one.anchor, _instant(one.since_ms), _instant(one.until_ms)) for one in self.named.members]


def _instant(ms: int) -> datetime:
    if ms <= BEGINNING_MS:
        return _FIRST
    return _LAST if ms >= END_MS else datetime.fromtimestamp(ms / 1000, UTC)


async def find_buyers(connection: Any, uids: Collection[UUID], now: datetime) -> dict[UUID, Buyer]:
    """Public id of an identifier → its person; unknown ones are left out. Two round trips."""
    named = await named_by_uid(connection, uids) if uids else {}
    known = await holders_from(connection, list(anchors)) if (anchors := passing_anchors(named.values())) else {}
    at_ms = int(now.timestamp() * 1000)
    return {uid: Buyer(one, wallets(one, known, at_ms)) for uid, one in named.items()}


async def find_buyer(connection: Any, person: PersonRef, secret: bytes, now: datetime) -> Buyer:
    """The person somebody names. Raises PersonNotFound."""
    uid = uid_of(person, secret)
    if (found := (await find_buyers(connection, [uid], now)).get(uid)) is None:
        raise PersonNotFound(f"Nobody is known as {person if isinstance(person, str) else person.value!r}.")
    return found
