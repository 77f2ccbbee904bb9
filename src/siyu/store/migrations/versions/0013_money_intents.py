"""What a payment provider is asked for is written down before; payments that came too late go back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

KEY = sa.Text(collation="C")
TIME = postgresql.TIMESTAMP(timezone=True, precision=6)


def upgrade() -> None:
    """Expand; forward only."""
    op.create_table(
        "shop_intents",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="of the order"),
        sa.Column("provider", KEY, nullable=False),
        sa.Column("reference", KEY, nullable=False, comment="under which the provider is asked"),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False, comment="who pays the order"),
        sa.Column("state", KEY, nullable=False),
        sa.Column("because", sa.Text(), nullable=False, comment="why it is not known yet what became of it"),
        sa.Column(
            "asks", sa.Integer(), nullable=False, comment="requests that went to the provider under this reference"
        ),
        sa.Column(
            "attempts", sa.Integer(), nullable=False, comment="how often the provider was asked what became of it"
        ),
        sa.Column("at", TIME, nullable=False),
        sa.Column(
            "due_at", TIME, nullable=True, comment="when the provider is asked what became of it; null: that is known"
        ),
        sa.CheckConstraint("(state = 'open') = (due_at IS NOT NULL)", name=op.f("ck_shop_intents_due")),
        sa.CheckConstraint("amount_fen >= 0", name=op.f("ck_shop_intents_amount")),
        sa.CheckConstraint(
            "state IN ('open', 'declined', 'booked', 'returned', 'closed')", name=op.f("ck_shop_intents_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shop_intents")),
        sa.UniqueConstraint("provider", "reference", name=op.f("uq_shop_intents_provider_reference")),
    )
    op.create_index("ix_shop_intents_due", "shop_intents", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))
    op.create_index("ix_shop_intents_number", "shop_intents", ["number"])
    op.drop_constraint(op.f("ck_shop_payments_kind"), "shop_payments")
    op.create_check_constraint(
        op.f("ck_shop_payments_kind"), "shop_payments", "kind IN ('payment', 'refund', 'return')"
    )
    op.drop_index("uq_shop_payments_reference", "shop_payments")
    op.create_index(
        "uq_shop_payments_reference",
        "shop_payments",
        ["provider", "reference"],
        unique=True,
        postgresql_where=sa.text("kind IN ('payment', 'return')"),
    )
    op.create_index(
        "ix_shop_payments_failed", "shop_payments", ["number"], postgresql_where=sa.text("state = 'failed'")
    )
    op.add_column(
        "shop_test_bank",
        sa.Column(
            "closed", sa.Boolean(), server_default="false", nullable=False,
            comment="nothing was taken, and never will be",
        ),
    )  # fmt: skip
    op.add_column(
        "shop_test_bank",
        sa.Column(
            "balks", sa.Boolean(), server_default="false", nullable=False,
            comment="of a payment: the next refund is refused",
        ),
    )  # fmt: skip
