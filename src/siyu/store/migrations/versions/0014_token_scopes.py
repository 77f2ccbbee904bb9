"""API tokens that may do only some things."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; forward only."""
    op.add_column(
        "access_keys",
        sa.Column("scope", sa.Text(), server_default="all", nullable=False, comment="what an API token may do"),
    )
    op.create_check_constraint(op.f("ck_access_keys_scope"), "access_keys", "scope IN ('all', 'read', 'till')")
