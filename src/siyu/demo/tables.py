"""How far the demo is loaded."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from siyu.store.metadata import metadata

demo_loads = Table(
    "demo_loads",
    metadata,
    Column("seed", BigInteger, primary_key=True),
    Column("persons", Integer, nullable=False),
    Column("now", TIMESTAMP(timezone=True), nullable=False, comment="the demo's present: its period ends here"),
    Column("keys", JSONB, nullable=False, comment="end → write key that its requests carry"),
    Column("requests_done", Integer, nullable=False, comment="all requests before this one were answered"),
    Column("events", BigInteger, nullable=False, comment="events in those requests"),
    Column("finished_at", TIMESTAMP(timezone=True)),
)
