"""Connectors of foreign shops."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, LargeBinary, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from siyu.store.metadata import metadata

SORTED = Text(collation="C")

connectors = Table(
    "shop_connectors",
    metadata,
    Column("name", SORTED, primary_key=True),
    Column("dialect", SORTED, nullable=False),
    Column("mapping", Text, nullable=False, comment="dialect.Mapping as JSON"),
    Column("end", SORTED, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False, comment="sealed with the installation's secret"),
    Column("active", Boolean, nullable=False),
    Column("changed_at", TIMESTAMP(timezone=True, precision=3), nullable=False),
)

outcomes = Table(
    "shop_connector_outcomes",
    metadata,
    Column("connector", SORTED, nullable=False),
    Column("code", SORTED, nullable=False, comment="KEPT, IGNORED, or why it was refused"),
    Column("at", TIMESTAMP(timezone=True, precision=3), nullable=False, comment="of the last one, to the second"),
    Column("detail", Text, nullable=False),
    PrimaryKeyConstraint("connector", "code"),
)
"""What became of deliveries lately: one row for each outcome, so that strangers who knock cannot fill the database."""
