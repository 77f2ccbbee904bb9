"""Who invited somebody hears of it as an event of their own: rules, tiers and dimensions count it like any other.

An end reports that a friend accepted, under the friend; whose success that is stands in the event's properties.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.collect.catalogue import spellings
from siyu.collect.identifiers import clean_key
from siyu.collect.own_events import INVITE_SUCCEEDED
from siyu.identity.anchors import Anchors
from siyu.identity.members import named_by_uid
from siyu.identity.outbox import Told, tell
from siyu.ids import identifier_uid
from siyu.processor.batch import Batch, object_of, texts
from siyu.processor.reactions import named_rows
from siyu.processor.records import DeadLetter
from siyu.store.postgres import driver_of

_NAMES: Final = frozenset(spellings("invite.accepted"))
_INVITERS: Final = ("inviter", "inviter_id")


class Accepted(NamedTuple):
    """A friend who came, and who is said to have brought them."""

    friend: int
    """The friend's identifier."""
    friend_uid: UUID
    inviter_uid: UUID
    at_ms: int
    end: str


class InviteReaction:
    """Tells inviters of the friends who accepted, once for each friend. Nobody invites themselves, and whom no event
    was seen of is not made a person by what somebody else's event says."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    async def absorb(self, connection: AsyncConnection, batch: Batch, anchors: Anchors) -> list[DeadLetter]:
        """Write the events down; the outbox brings them into the stream."""
        accepted = list(self._accepted(batch, anchors))
        if not accepted:
            return []
        driver = await driver_of(connection)
        known = await named_by_uid(driver, {one.inviter_uid for one in accepted})
        told: dict[str, Told] = {}
        for one in sorted(accepted, key=lambda one: one.at_ms):
            inviter = known.get(one.inviter_uid)
            if inviter is None or one.friend in {inviter.anchor, *(member.anchor for member in inviter.members)}:
                continue
            event_id = f"invite/{inviter.anchor}/{one.friend_uid}"
            at = datetime.fromtimestamp(one.at_ms / 1000, UTC)
            said = {"friend": str(one.friend_uid)}
            told.setdefault(event_id, Told(event_id, INVITE_SUCCEEDED, at, said, inviter.anchor, end=one.end))
        await tell(driver, list(told.values()))
        return []

    def _accepted(self, batch: Batch, anchors: Anchors) -> Iterator[Accepted]:
        rows = np.flatnonzero(named_rows(batch, _NAMES)).tolist()
        said = zip(rows, texts(batch, "properties", rows), texts(batch, "end", rows), strict=True)
        for row, properties, end in said:
            if (key := inviter_key(properties)) is not None:
                place = int(batch.place[row])
                friend = identifier_uid(batch.keys[place], self._secret)
                inviter = identifier_uid(key, self._secret)
                yield Accepted(int(anchors[place]), friend, inviter, int(batch.occurred_ms[row]), end)

    async def committed(self) -> None:
        """Nothing to do."""

    def reset(self) -> None:
        """Nothing is remembered."""


def inviter_key(properties: str) -> str | None:
    """Whom an event names as inviter: the brand's own login, or `{"kind", "value"}`; None: nobody usable. Pure."""
    found = object_of(properties)
    named = next((found[name] for name in _INVITERS if found.get(name)), None)
    if isinstance(named, dict):
        kind, value = named.get("kind"), named.get("value")
        return clean_key(kind, value) if isinstance(kind, str) and kind else None
    return clean_key("user_id", named)
