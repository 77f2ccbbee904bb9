"""What could not be processed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, LargeBinary, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import TIMESTAMP

from siyu.store.metadata import metadata

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False, comment="place inside the batch that ended at this offset"),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", TIMESTAMP(timezone=True), nullable=False),
    Column("replayed_at", TIMESTAMP(timezone=True)),
    UniqueConstraint("partition", "offset", "ordinal"),
    Index("ix_dead_letters_received_at", "received_at"),
)
