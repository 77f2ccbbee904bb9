"""Tables of the store itself: replies kept under the idempotency keys of callers."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from siyu.store.metadata import metadata

replies: Final = Table(
    "replies",
    metadata,
    Column("key", UUID(as_uuid=True), primary_key=True),
    Column("request", UUID(as_uuid=True), nullable=False, comment="hash of call and body"),
    Column("body", LargeBinary, comment="JSON of the reply or refusal; null only inside its own transaction"),
    Column("refused", Text, comment="the refusal's code; null: it was done"),
    Column("at", TIMESTAMP(timezone=True, precision=3), nullable=False, index=True),
)
"""What was answered to a write of the API, so that asking again with the same key gets the same answer."""
