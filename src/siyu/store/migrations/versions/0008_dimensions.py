"""Segments say why their members wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; forward only."""
    op.add_column(
        "segments",
        sa.Column(
            "problem",
            sa.Text(),
            nullable=True,
            comment="why its members wait: what could not be read; null: nothing",
        ),
    )
