"""The tiers of persons, as every room may read them. `connection` is a raw asyncpg connection.

The room of membership decides and writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

_AT: Final = """
SELECT w.place, CASE WHEN t.since IS NULL OR t.since <= w.at THEN t.tier ELSE t.former END
FROM unnest($1::bigint[], $2::timestamptz[]) WITH ORDINALITY AS w(person, at, place)
JOIN person_tiers t ON t.person = w.person
"""


async def tiers_of(connection: Any, persons: Sequence[int] | None) -> dict[int, str]:
    """Person → tier; of these persons, or of all who have been looked at."""
    if persons is None:
        rows = await connection.fetch("SELECT person, tier FROM person_tiers")
    else:
        rows = await connection.fetch(
            "SELECT person, tier FROM person_tiers WHERE person = ANY($1::bigint[])", list(persons)
        )
    return {row[0]: row[1] for row in rows}


async def tiers_at(connection: Any, wanted: Sequence[tuple[int, datetime]]) -> list[str | None]:
    """The tier of each (person, instant), as far back as the change before the last; None: nobody looked yet."""
    rows = await connection.fetch(_AT, [person for person, _ in wanted], [at for _, at in wanted])
    found = {row[0]: row[1] for row in rows}
    return [found.get(place) for place in range(1, len(wanted) + 1)]
