"""A micro-batch as columns: what identity needs of it, and the rows ClickHouse gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siyu.collect.catalogue import UNSEEN
from siyu.collect.event import Effects
from siyu.collect.frame import Frame, effects_decoder
from siyu.identity.anchors import DAY_MS, Anchors, Int64s, Sightings
from siyu.processor.json_numbers import readable

OTHERS_SEPARATOR: Final = "\x1e"
ANY_KIND: Final = "any\x1f"

STORED: Final = pa.schema(
    [
        ("anchor", pa.uint32()),
        ("occurred_at", pa.timestamp("ms", tz="UTC")),
        ("received_at", pa.timestamp("ms", tz="UTC")),
        ("name", pa.dictionary(pa.int32(), pa.string())),
        ("end", pa.dictionary(pa.int32(), pa.string())),
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("event_id", pa.string()),
        ("others", pa.list_(pa.uint32())),
        ("value_fen", pa.int64()),
        ("properties", pa.string()),
        ("context", pa.string()),
        ("batch", pa.uint64()),
    ]
)
"""Columns of the ClickHouse table `events`."""


class Batch(NamedTuple):
    """The new events of a stream range. Row order is the order of arrival."""

    events: pa.Table
    """collect.frame.SCHEMA"""
    occurred_ms: Int64s
    keys: list[str]
    """Distinct identifier keys of all rows."""
    place: npt.NDArray[np.int64]
    """Row → place of its anchor in `keys`."""
    others: dict[int, list[int]]
    """Row → places of the other identifiers it carried."""
    mentioned: dict[int, list[int]]
    """Row → places of identifiers that its aliases and unbinds name."""
    effects: dict[int, Effects]
    again: dict[int, tuple[str, int]] = {}
    """Row of a foreign order's money that was told before (repeats.py) → the name and fen that it was told with."""

    def __len__(self) -> int:
        return int(self.events.num_rows)

    def with_events(self, events: pa.Table, again: dict[int, tuple[str, int]]) -> Batch:
        """The same rows, told otherwise. (`_replace` asks for the length, which is that of the events.)"""
        return Batch(events, *self[1:-1], again)


def texts(batch: Batch, name: str, rows: Sequence[int]) -> list[str]:
    """A column of text at some rows. As plain text: a value of a dictionary costs twenty times as much."""
    found: list[str] = batch.events[name].take(pa.array(rows, pa.int64())).cast(pa.string()).to_pylist()
    return found


def retold(batch: Batch, names: Mapping[int, str], fen: Mapping[int, int]) -> pa.Table:
    """The events with other names and other money in some rows."""
    name = batch.events["name"].combine_chunks()
    known = name.dictionary.to_pylist()
    known += sorted(set(names.values()) - set(known))
    codes, value = name.indices.to_numpy().copy(), batch.events["value_fen"].to_numpy().copy()
    codes[list(names)] = [known.index(called) for called in names.values()]
    value[list(fen)] = list(fen.values())
    encoded = pa.DictionaryArray.from_arrays(pa.array(codes, name.type.index_type), pa.array(known, pa.string()))
    return replaced(replaced(batch.events, "name", encoded), "value_fen", pa.array(value))


def replaced(events: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The events with another column in the place of this one."""
    place = events.schema.get_field_index(name)
    return events.set_column(place, events.schema.field(place), values)


def object_of(text: str) -> dict[str, Any]:
    """The properties of an event; empty when they are no JSON object."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def join_frames(frames: Sequence[Frame]) -> pa.Table:
    """The events of several frames as one table of single chunks."""
    return pa.concat_tables([frame.events for frame in frames]).unify_dictionaries().combine_chunks()


def hashes_and_days(events: pa.Table) -> tuple[npt.NDArray[np.uint64], Int64s]:
    """What `Seen` asks: the dedupe hash and the UTC day of each row."""
    return _numpy(events["dedupe"]), _numpy(events["occurred_at"].cast(pa.int64())) // DAY_MS


def prepare(events: pa.Table) -> Batch:
    """Pick the identifiers out of the columns; decode the effects of those few rows that have some."""
    encoded = events["anchor"].combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    keys: list[str] = encoded.dictionary.to_pylist()
    places = dict(zip(keys, range(len(keys)), strict=True))

    def place_of(key: str) -> int:
        place = places.get(key)
        if place is None:
            place = places[key] = len(keys)
            keys.append(key)
        return place

    effects = {row: effects_decoder.decode(blob) for row, blob in _present(events["effects"])}
    others = {row: [place_of(key) for key in text.split(OTHERS_SEPARATOR)] for row, text in _present(events["others"])}
    mentioned: dict[int, list[int]] = {}
    indices = _numpy(encoded.indices).astype(np.int64)
    for row, effect in effects.items():
        for link in effect.links:
            linked = [place_of(key) for key in link.keys if not key.startswith(ANY_KIND)]
            if link.rule == "bind":
                known = others.setdefault(row, [])
                known.extend(place for place in linked if place not in known and place != indices[row])
            else:
                mentioned.setdefault(row, []).extend(linked)
    return Batch(
        events,
        _numpy(events["occurred_at"].cast(pa.int64())),
        keys,
        indices,
        others,
        mentioned,
        effects,
    )


def sightings(batch: Batch) -> Sightings:
    """When each key of the batch was seen first and last, and by which source first."""
    rows = np.arange(len(batch))
    place, at = batch.place, batch.occurred_ms
    extra = [*batch.others.items(), *batch.mentioned.items()]
    if extra:
        extra_rows = np.fromiter((row for row, keys in extra for _ in keys), np.int64)
        extra_places = np.fromiter((key for _, keys in extra for key in keys), np.int64)
        rows = np.concatenate([rows, extra_rows])
        place = np.concatenate([place, extra_places])
        at = np.concatenate([at, batch.occurred_ms[extra_rows]])
    order = np.lexsort((at, place))
    ordered = place[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.concatenate([starts[1:], [len(ordered)]]) - 1
    last = at[order[ends]]
    quiet = _quiet(batch)
    if quiet.any():
        # What is said of a person is no sighting. Of whom nothing else is in the batch, 1970 raises nothing.
        seen = np.where(quiet[rows], 0, at)[order]
        last = np.maximum.reduceat(seen, starts)
    source = batch.events["source"].combine_chunks()
    names = source.dictionary.to_pylist()
    codes = _numpy(source.indices)
    # Every key occurs at least once, so group k is key k.
    return Sightings(batch.keys, at[order[starts]], last, [names[c] for c in codes[rows[order[starts]]].tolist()])


def _quiet(batch: Batch) -> npt.NDArray[np.bool_]:
    """Rows that say something of a person who did nothing."""
    column = batch.events["name"].combine_chunks()
    wanted = [name in UNSEEN for name in column.dictionary.to_pylist()]
    found: npt.NDArray[np.bool_] = np.array(wanted, np.bool_)[_numpy(column.indices)]
    return found


def stored_rows(batch: Batch, anchors: Anchors, batch_number: int) -> pa.Table:
    """The rows for ClickHouse. `anchors[p]` is the number of `batch.keys[p]`."""
    columns = {name: batch.events[name] for name in STORED.names if name in batch.events.column_names}
    columns["properties"] = readable(columns["properties"])
    columns["anchor"] = pa.array(anchors[batch.place])
    columns["others"] = _lists(batch, anchors)
    columns["batch"] = pa.array(np.full(len(batch), batch_number, np.uint64))
    return pa.table([columns[name] for name in STORED.names], schema=STORED)


def _lists(batch: Batch, anchors: Anchors) -> pa.Array:
    lengths = np.zeros(len(batch) + 1, np.int32)
    flat: list[int] = []
    for row in sorted(batch.others):
        lengths[row + 1] = len(batch.others[row])
        flat.extend(batch.others[row])
    values = anchors[np.array(flat, np.int64)] if flat else np.empty(0, np.uint32)
    return pa.ListArray.from_arrays(pa.array(np.cumsum(lengths, dtype=np.int32)), pa.array(values))


def _present(column: pa.ChunkedArray) -> list[tuple[int, str]]:
    """(row, value) of the rows that are not null."""
    if column.null_count == len(column):
        return []
    rows = np.flatnonzero(_numpy(pc.is_valid(column)))
    return list(zip(rows.tolist(), column.take(pa.array(rows)).to_pylist(), strict=True))


def _numpy(column: pa.ChunkedArray | pa.Array) -> Any:
    return column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
