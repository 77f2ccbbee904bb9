"""What a shop, a till or an end may ask of a person's points. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec

from siyu.collect.identifiers import clean_value
from siyu.errors import MalformedRequest, PersonNotFound
from siyu.identity.person_id import person_uuid
from siyu.ids import identifier_key, identifier_uid

POINTS: Final = "points"
GROWTH: Final = "growth"
"""成长值: what tiers may ask for."""
SECONDS_MAX: Final = 366 * 86_400

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Reason = Annotated[str, msgspec.Meta(max_length=500, pattern=r"^[^\x00]*$")]
Amount = Annotated[int, msgspec.Meta(ge=1, le=10**12)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=SECONDS_MAX)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Identifier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An identifier of the person meant."""

    kind: Word
    value: Word


PersonRef = Word | Identifier
"""A person_id, or one of the person's identifiers."""


class Earn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Give points. They can be used at once, or after `pending_s` seconds, or from `pending_until` on."""

    person: PersonRef
    points: Amount
    reason: Reason = ""
    cause: Word | None = None
    """What brought it, such as `order/O1`."""
    pending_s: Seconds | None = None
    pending_until: Instant | None = None
    expires_at: Instant | None = None
    """Instead of what the currency says."""
    currency: Word = POINTS


class Spend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Use points; with `hold_s` they are set aside for so long, until the hold is posted or voided."""

    person: PersonRef
    points: Amount
    reason: Reason = ""
    cause: Word | None = None
    hold_s: Seconds | None = None
    currency: Word = POINTS


class Give(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Pass points on to another person; each lot keeps its expiry."""

    giver: PersonRef = msgspec.field(name="from")
    taker: PersonRef = msgspec.field(name="to")
    points: Amount
    reason: Reason = ""
    currency: Word = POINTS


class Adjust(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Correct a balance by hand, up or down. Above a limit somebody else must approve it."""

    person: PersonRef
    points: Annotated[int, msgspec.Meta(ge=-(10**12), le=10**12)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
    by: Word = "api"
    """Who asks for it."""
    currency: Word = POINTS


class Refund(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Undo an earlier transfer, whole or in part: what was spent returns to its lots, what was earned is taken back."""

    transfer_id: Annotated[int, msgspec.Meta(ge=1, lt=2**52)]
    points: Amount
    reason: Reason = ""


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """End what is pending: post it, whole or in part (the rest goes back), or void it."""

    transfer_id: int
    post: bool
    points: Annotated[int, msgspec.Meta(ge=0, le=10**12)] | None = None


Request = Earn | Spend | Give | Adjust | Refund | Decide


def request_hash(request: Request) -> UUID:
    """Equal requests, equal hash; whatever the order of their fields was."""
    text = type(request).__name__.encode() + b"\n" + msgspec.json.encode(request, order="deterministic")
    return UUID(bytes=hashlib.blake2b(text, digest_size=16).digest())


def uid_of(person: PersonRef, secret: bytes) -> UUID:
    """The public id under which a person is asked for. Raises PersonNotFound for what can be nobody."""
    if isinstance(person, Identifier):
        cleaned = clean_value(person.kind, person.value)
        if cleaned is None or person.kind == "any":
            raise PersonNotFound(f"No person has the {person.kind} {person.value[:80]!r}.")
        return identifier_uid(identifier_key(person.kind, cleaned), secret)
    return person_uuid(person)


def checked(request: Request) -> Request:
    """Itself. Raises MalformedRequest for what contradicts itself."""
    if isinstance(request, Earn) and request.pending_s is not None and request.pending_until is not None:
        raise WrongRequest("Give pending_s or pending_until, not both.", path="pending_until")
    if isinstance(request, Adjust) and request.points == 0:
        raise WrongRequest("An adjustment of 0 changes nothing.", path="points")
    return request


class WrongRequest(MalformedRequest):
    """A request that contradicts itself."""

    code = "WRONG_REQUEST"
    status = 422
