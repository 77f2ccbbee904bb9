"""Holidays and moved working days that the brand has stored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; forward only."""
    op.create_table(
        "calendar_days",
        sa.Column("day", sa.Date(), nullable=False, comment="local day"),
        sa.Column("name", sa.Text(), nullable=False, comment="the holiday; of a working day the one it is moved for"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False, comment="when its year was stored"
        ),
        sa.Column("by", sa.Text(), nullable=False, comment="by whom"),
        sa.CheckConstraint("kind IN ('rest', 'work')", name=op.f("ck_calendar_days_kind")),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_calendar_days")),
    )
