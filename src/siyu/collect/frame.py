"""A frame: the events of some requests as columns, the unit the stream carries.

Layout: Arrow IPC stream, lz4 buffers; dead letters and the source travel as further columns, so one frame is one blob.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from siyu.collect.columns import EventColumns
from siyu.collect.event import Effects, Event, Rejected
from siyu.stream.stream import NewFrame

T = TypeVar("T")
_TEXT = pa.string()
_MILLIS = pa.timestamp("ms", tz="UTC")

SCHEMA: Final = pa.schema(
    [
        ("anchor", _TEXT),
        ("occurred_at", _MILLIS),
        ("received_at", _MILLIS),
        ("name", pa.dictionary(pa.int32(), _TEXT)),
        ("end", pa.dictionary(pa.int32(), _TEXT)),
        ("source", pa.dictionary(pa.int32(), _TEXT)),
        ("event_id", _TEXT),
        ("dedupe", pa.uint64()),
        ("others", _TEXT),
        ("value_fen", pa.int64()),
        ("properties", _TEXT),
        ("context", _TEXT),
        ("effects", pa.binary()),
    ]
)
_DEAD: Final = pa.schema(
    [
        ("source", _TEXT),
        ("event_id", _TEXT),
        ("code", _TEXT),
        ("reason", _TEXT),
        ("dialect", _TEXT),
        ("body", pa.binary()),
        ("received_at", _MILLIS),
    ]
)
# Columns of a frame are small: handing them to Arrow's threads costs more than it saves.
_WRITE: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READ: Final = pa.ipc.IpcReadOptions(use_threads=False)
_effects_encoder = msgspec.json.Encoder()
effects_decoder: Final = msgspec.json.Decoder(Effects)


class Arrival(NamedTuple):
    """What one request brought."""

    events: Sequence[Event]
    rejected: list[Rejected]
    source: str
    """Id of the write key."""
    end: str
    """The write key's end, for events that name none."""
    received_ms: int


class Frame(NamedTuple):
    """A decoded frame. `events` has SCHEMA's columns, `dead` those of a dead letter."""

    events: pa.Table
    dead: pa.Table


def dedupe_hash(source: str, event_id: str) -> int:
    """64 bits of (source, event_id). ClickHouse computes the same with `xxHash64(concat(source, '\\n', event_id))`."""
    return xxhash.xxh64_intdigest(f"{source}\n{event_id}".encode())


def encode_frame(arrivals: Sequence[Arrival]) -> tuple[bytes, int]:
    """One blob of all arrivals, and how many events it holds."""
    parts = [EventColumns.of(arrival.events) for arrival in arrivals]
    counts = [len(part) for part in parts]
    size = sum(counts)
    received = np.repeat(np.array([arrival.received_ms for arrival in arrivals], np.int64), counts)
    ends = [end or arrival.end for arrival, part in zip(arrivals, parts, strict=True) for end in part.ends]
    effects = _joined(part.effects for part in parts)
    table = pa.record_batch(
        [
            pa.array(_joined(part.anchors for part in parts), _TEXT),
            pa.array(np.fromiter(_chained(part.occurred_ms for part in parts), np.int64, size)).view(_MILLIS),
            pa.array(received).view(_MILLIS),
            _words(_joined(part.names for part in parts)),
            _words(ends),
            _repeated([arrival.source for arrival in arrivals], counts),
            pa.array(_joined(part.ids for part in parts), _TEXT),
            pa.array(_hashes(arrivals, parts, size)),
            _mostly_null(_joined(part.others for part in parts), _TEXT),
            pa.array(np.fromiter(_chained(part.values_fen for part in parts), np.int64, size)),
            pa.array(_joined(part.properties for part in parts), _TEXT),
            pa.array(_joined(part.contexts for part in parts), _TEXT),
            _mostly_null([effect and _effects_encoder.encode(effect) for effect in effects], pa.binary()),
        ],
        schema=SCHEMA,
    )
    return _pack(table, _dead_batch(arrivals)), size


_chained = chain.from_iterable


def _joined(lists: Iterable[list[T]]) -> list[T]:
    return list(_chained(lists))


def pack_frame(frame: Frame) -> bytes:
    """Inverse of `decode_frame`."""
    return _pack(frame.events, frame.dead)


def _pack(events: pa.RecordBatch | pa.Table, dead: pa.RecordBatch | pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    for schema, rows in ((SCHEMA, events), (_DEAD, dead)):
        with pa.ipc.new_stream(sink, schema, options=_WRITE) as writer:
            writer.write(rows)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def _words(values: list[str]) -> pa.DictionaryArray:
    """A column of few distinct words: looked up in a dict, which is cheaper than a column of texts."""
    words: dict[str, int] = {}
    codes = [words.setdefault(value, len(words)) for value in values]
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(list(words), _TEXT))


def _repeated(values: list[str], counts: list[int]) -> pa.DictionaryArray:
    """A column in which each value stands `counts` times."""
    words: dict[str, int] = {}
    codes = np.repeat(np.array([words.setdefault(value, len(words)) for value in values], np.int32), counts)
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(words), _TEXT))


def _mostly_null(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.nulls(len(values), kind) if values.count(None) == len(values) else pa.array(values, kind)


def _hashes(arrivals: Sequence[Arrival], parts: Sequence[EventColumns], size: int) -> npt.NDArray[np.uint64]:
    """`dedupe_hash` of every event."""
    digest = xxhash.xxh64_intdigest
    return np.fromiter(
        (
            digest(head + event_id.encode())
            for arrival, part in zip(arrivals, parts, strict=True)
            for head in [f"{arrival.source}\n".encode()]
            for event_id in part.ids
        ),
        np.uint64,
        size,
    )


def frames_of(arrivals: Sequence[Arrival], shards: int, bytes_max: int) -> list[NewFrame]:
    """All arrivals as frames ready to append: one, unless the stream has several shards or the bodies are large.

    An anchor's events always go to the same shard. An estimate of the uncompressed size keeps each under
    `bytes_max`."""
    frames: list[NewFrame] = []
    for shard, part in enumerate(_by_shard(arrivals, shards)):
        for chunk in _by_size(part, bytes_max):
            frames.append(NewFrame(*encode_frame(chunk), shard))
    return frames


def _by_shard(arrivals: Sequence[Arrival], shards: int) -> list[list[Arrival]]:
    if shards == 1:
        return [list(arrivals)]
    parts: list[list[Arrival]] = [[] for _ in range(shards)]
    digest = xxhash.xxh32_intdigest
    for arrival in arrivals:
        events = EventColumns.of(arrival.events)
        rows: list[list[int]] = [[] for _ in range(shards)]
        for row, anchor in enumerate(events.anchors):
            rows[digest(anchor.encode()) % shards].append(row)
        for shard, mine in enumerate(rows):
            rejected = arrival.rejected if shard == 0 else []
            if mine or rejected:
                parts[shard].append(arrival._replace(events=events.take(mine), rejected=rejected))
    return parts


def _by_size(arrivals: list[Arrival], bytes_max: int) -> Iterator[list[Arrival]]:
    chunk: list[Arrival] = []
    size = 0
    for arrival in arrivals:
        events = EventColumns.of(arrival.events)
        weight = sum(map(len, events.properties)) + sum(map(len, events.contexts))
        weight += 200 * len(arrival.events) + sum(len(item.body) for item in arrival.rejected)
        if chunk and size + weight > bytes_max:
            yield chunk
            chunk, size = [], 0
        chunk.append(arrival)
        size += weight
    if chunk:
        yield chunk


def _dead_batch(arrivals: Sequence[Arrival]) -> pa.RecordBatch:
    rows = [
        {
            "source": arrival.source,
            "event_id": item.event_id,
            "code": item.code,
            "reason": item.reason,
            "dialect": item.dialect,
            "body": item.body,
            "received_at": arrival.received_ms,
        }
        for arrival in arrivals
        for item in arrival.rejected
    ]
    return pa.RecordBatch.from_pylist(rows, schema=_DEAD)


def decode_frame(blob: bytes) -> Frame:
    """Inverse of `encode_frame`. Raises pyarrow.ArrowInvalid on a damaged blob."""
    source = pa.BufferReader(blob)
    with pa.ipc.open_stream(source, options=_READ) as reader:
        events = reader.read_all()
    with pa.ipc.open_stream(source, options=_READ) as reader:
        dead = reader.read_all()
    return Frame(events, dead)
