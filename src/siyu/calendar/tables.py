"""The table of the calendar: days of years that the brand has stored itself."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, Column, Date, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from siyu.store.metadata import metadata

calendar_days: Final = Table(
    "calendar_days",
    metadata,
    Column("day", Date, primary_key=True, comment="local day"),
    Column("name", Text, nullable=False, comment="the holiday; of a working day the one it is moved for"),
    Column("kind", Text, nullable=False),
    Column("at", TIMESTAMP(timezone=True, precision=3), nullable=False, comment="when its year was stored"),
    Column("by", Text, nullable=False, comment="by whom"),
    CheckConstraint("kind IN ('rest', 'work')", name="kind"),
)
"""A year is stored as a whole; of a year that is not here what is published counts."""
