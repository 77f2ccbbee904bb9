"""Money of orders knows the shop: two shops may have the same order number and the same refund number. What is stored
names none, which counts as the shop that later events of the person name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A constant default writes no row."""
    op.add_column(
        "point_order_money",
        sa.Column(
            "shop",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="of a foreign order whose event names one",
        ),
    )
