"""Replies under the idempotency keys of callers."""

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
