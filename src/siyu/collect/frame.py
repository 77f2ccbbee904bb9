"""A frame: the events of some requests as columns, the unit the stream carries.

Layout: Arrow IPC stream, lz4 buffers; dead letters and the source travel as further columns, so one frame is one blob.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa
import xxhash

from siyu.collect.event import Effects, Event, Rejected
from siyu.stream.stream import NewFrame

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
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4")
_effects_encoder = msgspec.json.Encoder()
effects_decoder: Final = msgspec.json.Decoder(Effects)


class Arrival(NamedTuple):
    """What one request brought."""

    events: list[Event]
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
    events = [event for arrival in arrivals for event in arrival.events]
    sources = [arrival.source for arrival in arrivals for _ in arrival.events]
    ends = [event.end or arrival.end for arrival in arrivals for event in arrival.events]
    received = [arrival.received_ms for arrival in arrivals for _ in arrival.events]
    ids = [event.event_id for event in events]
    table = pa.record_batch(
        [
            pa.array([event.anchor for event in events], _TEXT),
            pa.array([event.occurred_ms for event in events], pa.int64()).cast(_MILLIS),
            pa.array(received, pa.int64()).cast(_MILLIS),
            pa.array([event.name for event in events], _TEXT).dictionary_encode(),
            pa.array(ends, _TEXT).dictionary_encode(),
            pa.array(sources, _TEXT).dictionary_encode(),
            pa.array(ids, _TEXT),
            pa.array([dedupe_hash(source, id_) for source, id_ in zip(sources, ids, strict=True)], pa.uint64()),
            pa.array([event.others for event in events], _TEXT),
            pa.array([event.value_fen for event in events], pa.int64()),
            pa.array([event.properties for event in events], _TEXT),
            pa.array([event.context for event in events], _TEXT),
            pa.array(
                [None if event.effects is None else _effects_encoder.encode(event.effects) for event in events],
                pa.binary(),
            ),
        ],
        schema=SCHEMA,
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA, options=_OPTIONS) as writer:
        writer.write_batch(table)
    with pa.ipc.new_stream(sink, _DEAD, options=_OPTIONS) as writer:
        writer.write_batch(_dead_batch(arrivals))
    return sink.getvalue().to_pybytes(), len(events)


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
    for arrival in arrivals:
        split: list[list[Event]] = [[] for _ in range(shards)]
        for event in arrival.events:
            split[xxhash.xxh32_intdigest(event.anchor.encode()) % shards].append(event)
        for shard, events in enumerate(split):
            rejected = arrival.rejected if shard == 0 else []
            if events or rejected:
                parts[shard].append(arrival._replace(events=events, rejected=rejected))
    return parts


def _by_size(arrivals: list[Arrival], bytes_max: int) -> Iterator[list[Arrival]]:
    chunk: list[Arrival] = []
    size = 0
    for arrival in arrivals:
        weight = sum(len(event.properties) + len(event.context) for event in arrival.events)
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
    with pa.ipc.open_stream(source) as reader:
        events = reader.read_all()
    with pa.ipc.open_stream(source) as reader:
        dead = reader.read_all()
    return Frame(events, dead)
