"""The shop: products, orders, payments, carts, and the points mall."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; forward only."""
    op.create_table(
        "mall_codes",
        sa.Column("item", sa.Text(collation="C"), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("redemption", sa.UUID(), nullable=True),
        sa.PrimaryKeyConstraint("item", "code", name=op.f("pk_mall_codes")),
        sa.UniqueConstraint("redemption", name=op.f("uq_mall_codes_redemption")),
    )
    op.create_index(
        "ix_mall_codes_free", "mall_codes", ["item"], unique=False, postgresql_where=sa.text("redemption IS NULL")
    )
    op.create_table(
        "mall_items",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("item", sa.Text(), nullable=False, comment="mall.Item as JSON"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mall_items")),
    )
    op.create_table(
        "mall_redemptions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("item", sa.Text(collation="C"), nullable=False),
        sa.Column("anchor", sa.BigInteger(), nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False, comment="of this item and identifier"),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("money_fen", sa.BigInteger(), nullable=False),
        sa.Column("transfer", sa.BigInteger(), nullable=False, comment="the ledger's transfer of points and stock"),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("gives", sa.Text(), nullable=False, comment="JSON: what was given"),
        sa.Column("order_id", sa.Text(collation="C"), nullable=True),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.CheckConstraint("state IN ('held', 'done', 'cancelled')", name=op.f("ck_mall_redemptions_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mall_redemptions")),
        sa.UniqueConstraint("order_id", name=op.f("uq_mall_redemptions_order_id")),
    )
    op.create_index("ix_mall_redemptions_anchor", "mall_redemptions", ["anchor"], unique=False)
    op.create_index("ix_mall_redemptions_item", "mall_redemptions", ["item", "at"], unique=False)
    op.create_index(
        "uq_mall_redemptions_nth",
        "mall_redemptions",
        ["item", "anchor", "nth"],
        unique=True,
        postgresql_where=sa.text("state <> 'cancelled'"),
    )
    op.create_table(
        "shop_carts",
        sa.Column("anchor", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sku", sa.Text(collation="C"), nullable=False),
        sa.Column("qty", sa.BigInteger(), nullable=False),
        sa.Column("added_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.CheckConstraint("qty > 0", name=op.f("ck_shop_carts_qty")),
        sa.PrimaryKeyConstraint("anchor", "sku", name=op.f("pk_shop_carts")),
    )
    op.create_table(
        "shop_collections",
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_shop_collections")),
    )
    op.create_table(
        "shop_connectors",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("dialect", sa.Text(collation="C"), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False, comment="dialect.Mapping as JSON"),
        sa.Column("end", sa.Text(collation="C"), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="sealed with the installation's secret"),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_shop_connectors")),
    )
    op.create_table(
        "shop_heard",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("events", sa.LargeBinary(), nullable=False, comment="Arrow IPC: foreign.HEARD"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_shop_heard")),
    )
    op.create_table(
        "shop_orders",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "source",
            sa.Text(collation="C"),
            nullable=False,
            comment="shop: our own; else the foreign shop that told of it",
        ),
        sa.Column("order_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "request", sa.UUID(), nullable=True, comment="hash of what was ordered: the same again is the same order"
        ),
        sa.Column(
            "anchor",
            sa.BigInteger(),
            nullable=True,
            comment="the identifier under which it was made; null: nobody known",
        ),
        sa.Column("end", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("list_fen", sa.BigInteger(), nullable=False),
        sa.Column("payable_fen", sa.BigInteger(), nullable=False),
        sa.Column("paid_fen", sa.BigInteger(), nullable=False),
        sa.Column("refunded_fen", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False, comment="JSON: order.Line"),
        sa.Column("discounts", sa.Text(), nullable=False, comment="JSON: order.Discount"),
        sa.Column("steps", sa.Text(), nullable=False, comment="JSON: order.Step; of a foreign order: foreign.Told"),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.Column(
            "expires_at",
            postgresql.TIMESTAMP(timezone=True, precision=6),
            nullable=True,
            comment="when it lapses unpaid",
        ),
        sa.Column("stock", sa.BigInteger(), nullable=True, comment="the ledger's transfer that set its units aside"),
        sa.Column("lock", sa.Text(collation="C"), nullable=True, comment="the lock of coupon and points"),
        sa.CheckConstraint(
            "state IN ('created', 'paid', 'fulfilled', 'received', 'completed', 'cancelled', 'refunded')",
            name=op.f("ck_shop_orders_state"),
        ),
        sa.CheckConstraint("payable_fen BETWEEN 0 AND list_fen", name=op.f("ck_shop_orders_payable")),
        sa.CheckConstraint("refunded_fen BETWEEN 0 AND paid_fen", name=op.f("ck_shop_orders_kept")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_shop_orders")),
        sa.UniqueConstraint("source", "order_id", name=op.f("uq_shop_orders_source_order_id")),
    )
    op.create_index("ix_shop_orders_anchor", "shop_orders", ["anchor"], unique=False)
    op.create_index("ix_shop_orders_created_at", "shop_orders", ["created_at"], unique=False)
    op.create_index(
        "ix_shop_orders_due", "shop_orders", ["expires_at"], unique=False, postgresql_where=sa.text("state = 'created'")
    )
    op.create_index("ix_shop_orders_state", "shop_orders", ["state", "number"], unique=False)
    op.create_table(
        "shop_payments",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="of the order"),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("provider", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "reference", sa.Text(collation="C"), nullable=False, comment="what the provider calls it; of a refund: ours"
        ),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False, comment="JSON: order.Back of a refund"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('payment', 'refund')", name=op.f("ck_shop_payments_kind")),
        sa.CheckConstraint("amount_fen >= 0", name=op.f("ck_shop_payments_amount")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shop_payments")),
        sa.UniqueConstraint("number", "kind", "reference", name=op.f("uq_shop_payments_number_kind_reference")),
    )
    op.create_index(
        "uq_shop_payments_one_payment",
        "shop_payments",
        ["number"],
        unique=True,
        postgresql_where=sa.text("kind = 'payment'"),
    )
    op.create_index(
        "uq_shop_payments_reference",
        "shop_payments",
        ["provider", "reference"],
        unique=True,
        postgresql_where=sa.text("kind = 'payment'"),
    )
    op.create_table(
        "shop_products",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("collections", sa.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.Column("on_sale", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shop_products")),
    )
    op.create_index(
        "ix_shop_products_collections", "shop_products", ["collections"], unique=False, postgresql_using="gin"
    )
    op.create_table(
        "shop_skus",
        sa.Column("sku", sa.Text(collation="C"), nullable=False),
        sa.Column("product", sa.Text(collation="C"), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False, comment="order within the product"),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("prices", sa.Text(), nullable=False, comment="JSON: end to fen"),
        sa.Column("tracked", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint("price_fen >= 0", name=op.f("ck_shop_skus_price")),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_shop_skus")),
    )
    op.create_index("ix_shop_skus_product", "shop_skus", ["product"], unique=False)
