"""Replies under the idempotency keys of callers; events that rooms tell."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; forward only."""
    op.create_table(
        "replies",
        sa.Column("key", sa.UUID(), nullable=False),
        sa.Column("request", sa.UUID(), nullable=False, comment="hash of call and body"),
        sa.Column(
            "body",
            sa.LargeBinary(),
            nullable=True,
            comment="JSON of the reply or refusal; null only inside its own transaction",
        ),
        sa.Column("refused", sa.Text(), nullable=True, comment="the refusal's code; null: it was done"),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_replies")),
    )
    op.create_index(op.f("ix_replies_at"), "replies", ["at"])
    op.create_table(
        "told_events",
        sa.Column("seq", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("anchor", sa.BigInteger(), nullable=True, comment="whom it is about"),
        sa.Column("key", sa.Text(), nullable=True, comment="an identifier that is nobody's yet: ids.identifier_key"),
        sa.Column("other", sa.Text(), nullable=True, comment="another identifier that it carries: ids.identifier_key"),
        sa.Column("end", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="who says so"),
        sa.CheckConstraint("(anchor IS NULL) <> (key IS NULL)", name=op.f("ck_told_events_who")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_told_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_told_events_event_id")),
    )
