"""Which files were imported how far."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from siyu.store.metadata import metadata

import_runs = Table(
    "import_runs",
    metadata,
    Column("fingerprint", Text, nullable=False, comment="SHA-256 of the file"),
    Column("mapping", Text, nullable=False, comment="id of the mapping"),
    Column("file_name", Text, nullable=False),
    Column("rows_done", BigInteger, nullable=False, comment="rows read whose events are in the stream"),
    Column("events", BigInteger, nullable=False, comment="events appended to the stream"),
    Column("rejected", BigInteger, nullable=False, comment="rows that could not be used"),
    Column("started_at", TIMESTAMP(timezone=True), nullable=False),
    Column("updated_at", TIMESTAMP(timezone=True), nullable=False),
    Column("finished_at", TIMESTAMP(timezone=True)),
    PrimaryKeyConstraint("fingerprint", "mapping"),
)
