"""What this room holds of a person, for their archive, and what of it an erasure removes.

What was counted (issued, budgets) stays: it names nobody."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from siyu.coupons import rights_records
from siyu.coupons.owner import find_owner, known_wallets
from siyu.identity.spans import END_MS
from siyu.loyalty.wallet import opened_ms
from siyu.profile.rights import Erasing

COUPONS_FILE: Final = "coupons.json"


async def coupons_file(connection: Any, person_id: UUID, at: datetime) -> tuple[str, Any]:
    """Coupons, locks and what was used once. Without codes: an archive is passed on, a code is as good as money.

    Raises PersonNotFound."""
    owner = await find_owner(connection, str(person_id), b"", at)
    return COUPONS_FILE, await rights_records.archived(connection, owner.anchors, owner.holders)


async def scrub_coupons(connection: Any, erasing: Erasing) -> Mapping[str, int]:
    """Remove the person's coupons, locks and entitlements: of an identifier that changed hands, those of their time."""
    known = await known_wallets(connection, {span.anchor for span in erasing.spans})
    holders = {str(span.anchor) for span in erasing.spans}
    for span in erasing.spans:
        for holder in known.get(span.anchor, ()):
            if span.since_ms <= (opened_ms(holder) or 0) < span.until_ms:
                holders.add(holder)
    anchors = sorted({span.anchor for span in erasing.spans})
    own = sorted({span.anchor for span in erasing.spans if span.until_ms == END_MS})
    return await rights_records.erase(connection, anchors, sorted(holders), own)
