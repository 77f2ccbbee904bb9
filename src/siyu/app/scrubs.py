"""What rooms above the profile remove of an erased person, for the API and the command line alike."""

from __future__ import annotations

from typing import Final

from siyu.processor.scrub import scrub_dead_letters, scrub_stream
from siyu.profile.rights import Scrub
from siyu.segments.actions import scrub_segments

ERASURE_SCRUBS: Final[tuple[Scrub, ...]] = (scrub_dead_letters, scrub_stream, scrub_segments)
