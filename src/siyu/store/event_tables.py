"""The ClickHouse tables as data: numbered, forward-only steps.

A step is never changed once released; a later version adds one. `{engine}` and `{on_cluster}` are the two places where
a cluster differs from one node (`EventStore.create_all`).
"""

from __future__ import annotations

from typing import Final

MIGRATIONS_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations {on_cluster} (
  number UInt32, name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = {merge_tree} ORDER BY number
"""

MIGRATIONS: Final[tuple[tuple[int, str, tuple[str, ...]], ...]] = (
    (
        1,
        "events and who is who",
        (
            # fsync: an insert that was answered survives a power cut. window: a repeated token inserts nothing.
            # granularity: one person's events are read from every part; scans cost the same (decision 0042).
            """
CREATE TABLE IF NOT EXISTS events {on_cluster} (
  anchor UInt32,
  occurred_at DateTime64(3, 'UTC'),
  received_at DateTime64(3, 'UTC'),
  name LowCardinality(String),
  end LowCardinality(String),
  source LowCardinality(String),
  event_id String,
  others Array(UInt32),
  value_fen Int64,
  properties String,
  context String,
  batch UInt64
) ENGINE = {merge_tree} PARTITION BY toYYYYMM(occurred_at) ORDER BY (anchor, occurred_at)
SETTINGS {deduplication_window} = 10000, index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1
""",
            """
CREATE TABLE IF NOT EXISTS person_map {on_cluster} (anchor UInt32, person UInt32)
ENGINE = Join(ANY, LEFT, anchor) SETTINGS join_any_take_last_row = 1
""",
            """
CREATE TABLE IF NOT EXISTS person_spans {on_cluster} (
  anchor UInt32, since Array(DateTime64(3, 'UTC')), person Array(UInt32)
) ENGINE = Join(ANY, LEFT, anchor) SETTINGS join_any_take_last_row = 1
""",
        ),
    ),
    (
        2,
        "wider merges",
        # Every merge rewrites its rows; ten parts at a time instead of five, that is a level less (decision 0109).
        ("ALTER TABLE events {on_cluster} MODIFY SETTING merge_selector_base = 10",),
    ),
    (
        3,
        "small blocks of compression",
        # One person's few rows are unpacked with sixteen kilobytes of each column instead of 64 (decision 0461).
        ("ALTER TABLE events {on_cluster} MODIFY SETTING min_compress_block_size = 16384",),
    ),
)


def statement(template: str, cluster: str | None = None) -> str:
    """`template` for one node, or for every node of the ClickHouse cluster named."""
    if cluster is None:
        words = {
            "on_cluster": "",
            "merge_tree": "MergeTree",
            "deduplication_window": "non_replicated_deduplication_window",
        }
    else:
        words = {
            "on_cluster": f"ON CLUSTER `{cluster}`",
            "merge_tree": "ReplicatedMergeTree",
            "deduplication_window": "replicated_deduplication_window",
        }
    return template.format_map(words)
