"""Verbs of member cards: show the one there is, give one."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from siyu.errors import NotFound
from siyu.identity import outbox
from siyu.identity.members import Named
from siyu.identity.spans import END_MS
from siyu.ids import identifier_key
from siyu.membership.card import barcode_svg, card_number
from siyu.membership.tiers import named
from siyu.profile.read import identifier_names
from siyu.store.postgres import Database

CARD: Final = "member_card"
ISSUED: Final = "member.joined"


class CardNotFound(NotFound):
    """The person has no member card that can be shown."""

    code = "CARD_NOT_FOUND"


class Card(msgspec.Struct, frozen=True):
    """A member card."""

    person_id: str
    number: str
    svg: str
    """Code 128."""


async def show(db: Database, person_id: UUID) -> Card:
    """The card of a person. Raises PersonNotFound, CardNotFound."""
    async with db.driver() as connection:
        one = await named(connection, person_id)
        found = await find(connection, one)
    if found is None:
        raise CardNotFound("This person has no member card yet.")
    return found


async def find(connection: Any, one: Named) -> Card | None:
    """The person's first card that has a barcode."""
    anchors = [member.anchor for member in one.members if member.kind == CARD and member.until_ms == END_MS]
    names = await identifier_names(connection, anchors)
    for anchor in sorted(anchors):
        number = names[anchor]["value"]
        try:
            return Card(str(one.uid), number, barcode_svg(number))
        except ValueError:
            continue
    return None


async def issue(connection: Any, person_id: UUID, now: datetime) -> Card:
    """The card there is, or a new one. A new number becomes the person's by an event that carries both identifiers.

    Raises PersonNotFound."""
    one = await named(connection, person_id)
    if (card := await find(connection, one)) is not None:
        return card
    number = card_number(one.uid)
    other = identifier_key(CARD, number)
    told = outbox.Told(f"card-{number}", ISSUED, now, {"member_card": number}, one.person, other=other)
    await outbox.tell(connection, [told])
    return Card(str(one.uid), number, barcode_svg(number))
