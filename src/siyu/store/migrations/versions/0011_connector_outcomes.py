"""What became of the deliveries of foreign shops."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; forward only."""
    op.create_table(
        "shop_connector_outcomes",
        sa.Column("connector", sa.Text(collation="C"), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False, comment="KEPT, IGNORED, or why it was refused"),
        sa.Column(
            "at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False,
            comment="of the last one, to the second",
        ),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("connector", "code", name=op.f("pk_shop_connector_outcomes")),
    )  # fmt: skip
