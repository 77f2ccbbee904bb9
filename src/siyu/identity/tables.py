"""Tables of identity: the registry of identifiers, the evidence between them, and who is who."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Sequence, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from siyu.store.metadata import metadata

TIME = TIMESTAMP(timezone=True, precision=3)

anchor_numbers = Sequence("anchor_numbers", metadata=metadata, maxvalue=2**32 - 1)
"""Dense numbers of identifiers: ClickHouse stores them as UInt32."""

identifiers = Table(
    "identifiers",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("uid", UUID(as_uuid=True), nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("first_seen", TIME, nullable=False),
    Column("last_seen", TIME, nullable=False, comment="precise to a day: raised only when a later day is seen"),
    Column("source", Text, nullable=False, comment="write key that brought the earliest event"),
    Index("ix_identifiers_value", "value"),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("seq", BigInteger, Sequence("tombstone_numbers", metadata=metadata), primary_key=True),
    Column("uid", UUID(as_uuid=True), nullable=False, unique=True, comment="keyed hash of the erased identifier"),
    Column("anchor", BigInteger, nullable=False, comment="the number it had; never given again"),
    Column("erased_at", TIME, nullable=False, comment="what happened before this instant never comes back"),
)
