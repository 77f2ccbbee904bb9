"""What rooms above the profile hold of a person: what an erasure removes and an archive shows, wherever it is asked."""

from __future__ import annotations

from typing import Final

from siyu.coupons.rights import coupons_file, scrub_coupons
from siyu.loyalty.rights import accounts_file, scrub_points
from siyu.processor.scrub import scrub_dead_letters, scrub_stream, scrub_told
from siyu.profile.rights import RoomFile, Scrub
from siyu.segments.actions import scrub_segments
from siyu.shop.rights import orders_file, scrub_shop

ERASURE_SCRUBS: Final[tuple[Scrub, ...]] = (
    scrub_dead_letters,
    scrub_stream,
    scrub_told,
    scrub_segments,
    scrub_points,
    scrub_coupons,
    scrub_shop,
)
EXPORT_FILES: Final[tuple[RoomFile, ...]] = (accounts_file, coupons_file, orders_file)
