"""What membership holds of a person, for their archive, and what of it an erasure removes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from siyu.identity.spans import END_MS
from siyu.membership import checkin_records, tier_records, tiers
from siyu.membership.tiers import why_of
from siyu.profile.rights import Erasing

FILE: Final = "membership.json"


async def membership_file(connection: Any, person_id: UUID, at: datetime) -> tuple[str, Any]:
    """Tiers and check-ins of a person. Raises PersonNotFound."""
    one = await tiers.named(connection, person_id)
    anchors = {member.anchor for member in one.members} | {one.person}
    row = (await tier_records.rows_of(connection, [one.person])).get(one.person)
    log = [log for _, log in await tier_records.decided(connection, anchors) if anchors.issuperset(log.members)]
    given = await checkin_records.rewards_of(connection, anchors)
    return FILE, {
        "tier": None if row is None else {"tier": row.tier, "since": row.since, "until": row.until},
        "checkins": [
            {
                "day": each.day,
                "at": each.at,
                "end": each.end,
                "how": each.how,
                "rewards": [
                    {"for": one.item, "currency": one.currency, "amount": one.amount}
                    for one in given
                    if (one.anchor, one.day) == (each.anchor, each.day)
                ],
            }
            for each in await checkin_records.days_of(connection, anchors)
        ],
        "history": [{"at": each.at, "from": each.former, "tier": each.tier, "why": why_of(each)} for each in log],
    }


async def scrub_membership(connection: Any, erasing: Erasing) -> Mapping[str, int]:
    """Remove what is kept of an erased person; of shared identifiers only while they are theirs."""
    own = sorted({span.anchor for span in erasing.spans if span.until_ms == END_MS} | {erasing.person})
    removed = await tier_records.scrub(connection, own, erasing.person)
    return removed | await checkin_records.scrub(connection, own)
