"""A batch as columns: what identity and ClickHouse get of it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from siyu.collect.event import Effects, Event, Link, Rejected
from siyu.collect.frame import Arrival, decode_frame, encode_frame, frames_of
from siyu.ids import identifier_key
from siyu.processor.batch import STORED, hashes_and_days, join_frames, prepare, sightings, stored_rows

MEMBER, OPENID, COOKIE = (
    identifier_key(*pair) for pair in (("user_id", "u1"), ("openid:wx", "o1"), ("anonymous_id", "a1"))
)


def event(number: int, anchor: str = MEMBER, **more: object) -> Event:
    return Event(f"e{number}", "view", 1_700_000_000_000 + number * 1000, anchor, **more)  # type: ignore[arg-type]


def table(*events: Event, source: str = "key1") -> pa.Table:
    blob, _ = encode_frame([Arrival(list(events), [], source, "web", 1_700_000_100_000)])
    return join_frames([decode_frame(blob)])


def test_keys_are_distinct_and_know_when_they_were_seen() -> None:
    batch = prepare(table(event(5), event(1, others=f"{OPENID}\x1e{COOKIE}"), event(3, COOKIE)))
    seen = sightings(batch)
    assert sorted(seen.keys) == sorted([MEMBER, OPENID, COOKIE])
    spans = {
        key: (low - 1_700_000_000_000, high - 1_700_000_000_000)
        for key, low, high in zip(seen.keys, seen.low_ms.tolist(), seen.high_ms.tolist(), strict=True)
    }
    assert spans == {MEMBER: (1000, 5000), OPENID: (1000, 1000), COOKIE: (1000, 3000)}
    assert set(seen.sources) == {"key1"}


def test_keys_of_links_are_registered_but_a_bare_alias_value_is_not() -> None:
    effects = Effects(links=[Link("alias", ["any\x1fold", MEMBER]), Link("bind", [MEMBER, OPENID])])
    batch = prepare(table(event(1, effects=effects)))
    assert sorted(batch.keys) == sorted([MEMBER, OPENID])
    assert batch.effects == {0: effects}


def test_rows_for_clickhouse_carry_numbers_instead_of_names() -> None:
    batch = prepare(table(event(1, others=COOKIE), event(2, COOKIE, value_fen=1250)))
    anchors = np.arange(11, 11 + len(batch.keys)).astype(np.uint32)
    number = dict(zip(batch.keys, anchors.tolist(), strict=True))
    rows = stored_rows(batch, anchors, 99)
    assert rows.schema == STORED
    assert rows["anchor"].to_pylist() == [number[MEMBER], number[COOKIE]]
    assert rows["others"].to_pylist() == [[number[COOKIE]], []]
    assert rows["value_fen"].to_pylist() == [0, 1250]
    assert rows["batch"].to_pylist() == [99, 99]


def test_dead_letters_travel_in_the_frame() -> None:
    rejected = Rejected("BAD_TIME", "no time", b"\xff\x00", "e9", "segment")
    blob, count = encode_frame([Arrival([], [rejected], "key1", "web", 5)])
    frame = decode_frame(blob)
    assert (count, frame.events.num_rows, frame.dead.to_pylist()[0]["body"]) == (0, 0, b"\xff\x00")


def test_an_anchor_stays_on_one_shard_and_nothing_is_lost() -> None:
    events = [event(number, identifier_key("user_id", f"u{number % 17}")) for number in range(200)]
    frames = frames_of([Arrival(events, [], "key1", "web", 5)], 4, 10**6)
    assert sum(frame.events for frame in frames) == 200
    homes: dict[str, set[int]] = {}
    for frame in frames:
        for anchor in decode_frame(frame.body).events["anchor"].to_pylist():
            homes.setdefault(anchor, set()).add(frame.shard)
    assert len(homes) == 17
    assert all(len(shards) == 1 for shards in homes.values())


def test_the_same_id_from_two_sources_is_two_events() -> None:
    first, _ = hashes_and_days(table(event(1)))
    second, _ = hashes_and_days(table(event(1), source="key2"))
    assert first[0] != second[0]
