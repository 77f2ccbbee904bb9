"""Entries go into the index of whose history a line of tiers is at once: they waited in a list that each of a thousand
look-ups read through (3 s of the demo's load)."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From now on, and what waits already."""
    op.execute("ALTER INDEX ix_tier_log_members SET (fastupdate = off)")
    op.execute("SELECT gin_clean_pending_list('ix_tier_log_members')")
