"""Tables of analytics: questions that people keep."""

from __future__ import annotations

from sqlalchemy import Column, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from siyu.store.metadata import metadata

saved_questions = Table(
    "saved_questions",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("question", Text, nullable=False, comment="the question's JSON as it was sent"),
    Column("created_at", TIMESTAMP(timezone=True, precision=3), nullable=False),
    Column("updated_at", TIMESTAMP(timezone=True, precision=3), nullable=False),
)
