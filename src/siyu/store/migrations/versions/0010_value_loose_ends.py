"""Refunds have a state, orders an instant of their state; the test bank remembers; decisions about tiers are kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True, precision=6)
KEY = sa.Text(collation="C")

_APPEND_ONLY = """
CREATE OR REPLACE FUNCTION tier_log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('siyu.erasing', true) = 'on' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'TIER_LOG_APPEND_ONLY: what was decided is never changed; decide anew'
    USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def upgrade() -> None:
    """Expand; forward only."""
    op.add_column(
        "shop_orders", sa.Column("state_at", TIME, nullable=True, comment="since when it stands in its state")
    )
    op.execute("UPDATE shop_orders SET state_at = changed_at")
    op.alter_column("shop_orders", "state_at", nullable=False)
    op.create_index(
        "ix_shop_orders_under_way",
        "shop_orders",
        ["state", "state_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('fulfilled', 'received')"),
    )
    for column in (
        sa.Column(
            "state", KEY, server_default="done", nullable=False, comment="of a refund: whether its money has moved"
        ),
        sa.Column("because", sa.Text(), server_default="", nullable=False, comment="why it has not"),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "due_at", TIME, nullable=True, comment="when the provider is asked, or asked again; null: never again"
        ),
    ):
        op.add_column("shop_payments", column)
    op.create_check_constraint(
        op.f("ck_shop_payments_state"), "shop_payments", "state IN ('planned', 'sending', 'done', 'failed')"
    )
    op.create_index(
        "ix_shop_payments_due",
        "shop_payments",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "shop_test_bank",
        sa.Column("reference", KEY, nullable=False, comment="of the payment"),
        sa.Column("refund", KEY, nullable=False, comment="which refund of it; empty: the payment itself"),
        sa.Column("order_id", KEY, nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_fen >= 0", name=op.f("ck_shop_test_bank_amount")),
        sa.PrimaryKeyConstraint("reference", "refund", name=op.f("pk_shop_test_bank")),
    )
    # What the test provider took before it remembered can be given back all the same.
    op.execute(
        "INSERT INTO shop_test_bank (reference, refund, order_id, amount_fen)"
        " SELECT p.reference, '', o.order_id, p.amount_fen FROM shop_payments p JOIN shop_orders o USING (number)"
        " WHERE p.kind = 'payment' AND p.provider = 'test'"
    )
    op.execute(
        "INSERT INTO shop_test_bank (reference, refund, order_id, amount_fen)"
        " SELECT p.reference, replace(r.id::text, '-', ''), o.order_id, r.amount_fen FROM shop_payments p"
        " JOIN shop_payments r ON r.number = p.number AND r.kind = 'refund' JOIN shop_orders o ON o.number = p.number"
        " WHERE p.kind = 'payment' AND p.provider = 'test'"
    )
    op.execute(_APPEND_ONLY)
    op.execute(
        "CREATE TRIGGER tier_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tier_log"
        " FOR EACH STATEMENT EXECUTE FUNCTION tier_log_append_only()"
    )
    op.execute("REVOKE UPDATE, TRUNCATE ON tier_log FROM PUBLIC, CURRENT_USER")
