"""What was paid for cancelled orders of foreign shops and never told back; those that stand here are told of too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Constant defaults write no row; the update writes the cancelled orders of foreign shops alone."""
    for name, comment in (
        ("rest_fen", "of a cancelled foreign order: not told back"),
        ("voided_fen", "of it: what order.voided has told"),
    ):
        op.add_column(
            "shop_orders",
            sa.Column(name, sa.BigInteger(), server_default=sa.text("'0'"), nullable=False, comment=comment),
        )
    op.execute(
        "UPDATE shop_orders SET rest_fen = paid_fen - refunded_fen"
        " WHERE state = 'cancelled' AND source <> 'shop' AND paid_fen > refunded_fen"
    )
    op.create_index(
        "ix_shop_orders_to_void",
        "shop_orders",
        ["number"],
        unique=False,
        postgresql_where=sa.text("rest_fen > voided_fen"),
    )
