"""Tables of the console: who may operate, who is signed in, wrong passwords of late."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from siyu.store.metadata import metadata

TIME = TIMESTAMP(timezone=True, precision=3)

operators = Table(
    "operators",
    metadata,
    Column("name", Text, primary_key=True),
    Column("password_hash", Text, nullable=False, comment="argon2id"),
    Column("role", Text, nullable=False, comment="manager, operator or developer"),
    Column("locale", Text, nullable=True, comment="null: the installation's"),
    Column("created_at", TIME, nullable=False),
)

operator_sessions = Table(
    "operator_sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True, comment="SHA-256 of the session number in the cookie"),
    Column("operator", Text, ForeignKey("operators.name", ondelete="CASCADE"), nullable=False),
    Column("expires_at", TIME, nullable=False),
    Index("ix_operator_sessions_operator", "operator"),
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("at", TIME, nullable=False),
    Index("ix_login_failures_at", "at"),
)
