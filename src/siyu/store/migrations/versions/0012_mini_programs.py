"""Mini-programs whose login codes we may exchange."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; forward only."""
    op.create_table(
        "mini_programs",
        sa.Column("appid", sa.Text(collation="C"), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column(
            "secret", sa.LargeBinary(), nullable=False, comment="AppSecret, sealed with the installation's secret"
        ),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column(
            "used_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=True,
            comment="of the last login, to the minute",
        ),
        sa.Column(
            "problem", sa.Text(), nullable=False,
            comment="what WeChat said against appid or secret last; empty: nothing",
        ),
        sa.Column("problem_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=True),
        sa.PrimaryKeyConstraint("appid", name=op.f("pk_mini_programs")),
    )  # fmt: skip
