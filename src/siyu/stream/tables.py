"""The stream as PostgreSQL tables."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from siyu.store.metadata import metadata

stream_frames = Table(
    "stream_frames",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("events", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("accepted_at", TIMESTAMP(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
)
"""Frames accepted and not yet processed."""

stream_partitions = Table(
    "stream_partitions",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("last_offset", BigInteger, nullable=False, comment="PostgreSQL stream: offset of the newest frame"),
    Column("accepted", BigInteger, nullable=False, comment="events made durable since the beginning"),
)
"""Written by the doors only: a row that the processor locks too would make every append wait for its transaction. With
Kafka `last_offset` is our number before the first of the topic, written when a topic is made anew (decision 0386)."""

stream_positions = Table(
    "stream_positions",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("done_offset", BigInteger, nullable=False, comment="frames up to here are processed"),
    Column("planned_offset", BigInteger, comment="end of the batch being processed; repeated exactly after a crash"),
    Column("owner", Text, comment="processor that planned it: another one that took over fences it out"),
    Column("processed", BigInteger, nullable=False, comment="events fully processed since the beginning"),
    Column("processed_at", TIMESTAMP(timezone=True)),
)
