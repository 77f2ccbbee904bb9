"""The public id of a person, as an address names it. Pure."""

from __future__ import annotations

from uuid import UUID

from siyu.errors import PersonNotFound


def person_uuid(text: str) -> UUID:
    """The id in an address. Raises PersonNotFound for what can be nobody's."""
    try:
        return UUID(text)
    except ValueError:
        raise PersonNotFound(f"No person has the id {text[:80]!r}.") from None
