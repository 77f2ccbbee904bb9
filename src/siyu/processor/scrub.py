"""What the processor removes of an erased person: dead letters that name them, events still waiting in the stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from siyu.collect.frame import Frame, decode_frame, pack_frame
from siyu.identity import outbox
from siyu.identity.spans import END_MS
from siyu.ids import identifier_key
from siyu.processor import records
from siyu.processor.batch import OTHERS_SEPARATOR
from siyu.profile.rights import Erasing

_PAGE: Final = 500


async def scrub_dead_letters(connection: Any, erasing: Erasing) -> Mapping[str, int]:
    """Delete the letters whose body names the person."""
    after, removed = 0, 0
    while rows := await records.letters_after(connection, after, _PAGE):
        after = rows[-1]["id"]
        found = [row["id"] for row in rows if erasing.wanted.in_body(row["body"])]
        removed += await records.delete_letters(connection, found)
    return {"dead_letters": removed}


async def scrub_told(connection: Any, erasing: Erasing) -> Mapping[str, int]:
    """Delete what rooms told of the person and the stream does not have yet."""
    own = {span.anchor for span in erasing.spans if span.until_ms == END_MS}
    keys = {identifier_key(kind, value) for kind, value in erasing.identifiers}
    return {"told_events": await outbox.scrub(connection, own, keys)}


async def scrub_stream(connection: Any, erasing: Erasing) -> Mapping[str, int]:
    """Take the person's events out of frames that were not processed yet. No batch runs meanwhile (the caller holds
    the erasure lock). What Kafka keeps is beyond deletion; the tombstones keep it from coming back."""
    keys = {identifier_key(kind, value) for kind, value in erasing.identifiers}
    removed = 0
    for partition, offset in await records.waiting_frames(connection):
        body = await records.frame_body(connection, partition, offset)
        frame = decode_frame(body)
        keep = _strangers(frame.events, keys)
        letters = np.array([not erasing.wanted.in_body(text.as_py()) for text in frame.dead["body"]], np.bool_)
        if keep.all() and letters.all():
            continue
        rest = Frame(frame.events.filter(pa.array(keep)), frame.dead.filter(pa.array(letters)))
        await records.replace_frame(connection, partition, offset, pack_frame(rest))
        removed += int((~keep).sum()) + int((~letters).sum())
    return {"stream": removed}


def _strangers(events: pa.Table, keys: set[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows carry none of these identifiers."""
    pairs = zip(events["anchor"].to_pylist(), events["others"].to_pylist(), strict=True)
    return np.array(
        [
            anchor not in keys and (others is None or keys.isdisjoint(others.split(OTHERS_SEPARATOR)))
            for anchor, others in pairs
        ],
        np.bool_,
    )
