"""Which event told first that money of a foreign order came or went. Orders told before have no such row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; forward only. What was looked at before was told."""
    op.add_column(
        "shop_orders",
        sa.Column(
            "told_fen",
            sa.BigInteger(),
            server_default=sa.text("'0'"),
            nullable=False,
            comment="of it: what order.voided has told",
        ),
    )
    op.execute("UPDATE shop_orders SET told_fen = voided_fen WHERE voided_fen > 0")
    op.alter_column("shop_orders", "voided_fen", comment="of it: looked at, to be told")
    op.create_index(
        "ix_shop_orders_order_id",
        "shop_orders",
        ["order_id"],
        unique=False,
        postgresql_where=sa.text("source <> 'shop'"),
    )
    op.create_table(
        "shop_claims",
        sa.Column("order_id", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.UUID(), nullable=False, comment="claims.key_of"),
        sa.Column("name", sa.Text(), nullable=False, comment="order.paid or order.refunded"),
        sa.Column("shop", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False, comment="payment_id, refund_id; empty: none was named"),
        sa.Column("source", sa.Text(), nullable=False, comment="write key that told first under this identifier"),
        sa.Column("anchor", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False, comment="of the first event"),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "key", name=op.f("pk_shop_claims")),
    )
    op.create_index("ix_shop_claims_anchor", "shop_claims", ["anchor"], unique=False)
