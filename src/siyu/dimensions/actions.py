"""The dimensions of one person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from siyu.dimensions.catalogue import DIMENSIONS, Catalogue
from siyu.dimensions.evaluate import shown
from siyu.dimensions.records import Reading, of_one
from siyu.profile.actions import spans_of
from siyu.store.postgres import Database

Values = Mapping[str, int | float | str | None]


async def of_person(
    db: Database, reading: Reading, person_id: UUID, catalogue: Catalogue = DIMENSIONS
) -> dict[str, Any]:
    """Every dimension of a person by key; None is absent. Raises PersonNotFound, QueryTooExpensive."""
    async with db.driver() as connection:
        spans = await spans_of(connection, person_id)
    found = await of_one(reading, list(catalogue), spans)
    return {one.key: shown(found[one.key], one.decimals) for one in catalogue}
