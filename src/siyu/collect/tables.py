"""Keys: who may send events, who may call the API."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from siyu.store.metadata import metadata

access_keys = Table(
    "access_keys",
    metadata,
    Column("id", Text, primary_key=True, comment="names the source on every event; never the secret itself"),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("end", Text, nullable=False, comment="the end of a write key's events that name none"),
    Column("secret", Text, comment="write keys only: every browser carries them anyway"),
    Column("secret_hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the key or token"),
    Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    Column("revoked_at", TIMESTAMP(timezone=True)),
    Column("scope", Text, nullable=False, server_default="all", comment="what an API token may do"),
    CheckConstraint("kind IN ('write', 'api')", name="kind"),
    CheckConstraint("scope IN ('all', 'read', 'till')", name="scope"),
    CheckConstraint("(kind = 'write') = (secret IS NOT NULL)", name="only_write_keys_in_clear"),
    Index("ix_access_keys_created_at", "created_at"),
)
