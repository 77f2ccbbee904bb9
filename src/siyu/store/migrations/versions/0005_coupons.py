"""Coupons: templates, codes, price rules, locks, entitlements, events that wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True, precision=6)
SORTED = sa.Text(collation="C")


def upgrade() -> None:
    """Expand; forward only."""
    op.create_table(
        "coupon_holders",
        sa.Column("anchor", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("anchor", name=op.f("pk_coupon_holders")),
    )
    op.create_table(
        "coupon_lock_parts",
        sa.Column("lock", sa.UUID(), nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("source", SORTED, nullable=False, comment="coupon/TEMPLATE or price_rule/ID"),
        sa.Column("coupon", sa.BigInteger(), nullable=True),
        sa.Column("off_fen", sa.BigInteger(), nullable=False),
        sa.Column("transfer", sa.BigInteger(), nullable=True, comment="of the budget, in the ledger"),
        sa.Column(
            "back",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="given back after it was used",
        ),
        sa.PrimaryKeyConstraint("lock", "place", name=op.f("pk_coupon_lock_parts")),
    )
    op.create_table(
        "coupon_locks",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("anchor", sa.BigInteger(), nullable=True, comment="null: nobody was named"),
        sa.Column("holder", SORTED, nullable=True),
        sa.Column("order_id", SORTED, nullable=True),
        sa.Column("end", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="held, committed, released, expired, rolled_back"),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("points_transfer", sa.BigInteger(), nullable=True, comment="of the ledger"),
        sa.Column("points_back", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("ends_at", TIME, nullable=False),
        sa.Column("decided_at", TIME, nullable=True),
        sa.CheckConstraint("(state = 'held') = (decided_at IS NULL)", name=op.f("ck_coupon_locks_decided")),
        sa.CheckConstraint(
            "state IN ('held', 'committed', 'released', 'expired', 'rolled_back')", name=op.f("ck_coupon_locks_state")
        ),
        sa.CheckConstraint("points_back BETWEEN 0 AND points", name=op.f("ck_coupon_locks_points_back")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupon_locks")),
    )
    op.create_index(
        "ix_coupon_locks_anchor",
        "coupon_locks",
        ["anchor"],
        unique=False,
        postgresql_where=sa.text("anchor IS NOT NULL"),
    )
    op.create_index(
        "ix_coupon_locks_ends_at", "coupon_locks", ["ends_at"], unique=False, postgresql_where=sa.text("state = 'held'")
    )
    op.create_index(
        "ix_coupon_locks_order_id",
        "coupon_locks",
        ["order_id"],
        unique=False,
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )
    op.create_table(
        "coupon_pools",
        sa.Column("id", SORTED, nullable=False),
        sa.Column("template", SORTED, nullable=False),
        sa.Column("codes", sa.BigInteger(), nullable=False),
        sa.Column("imported", sa.BigInteger(), nullable=False, comment="of them brought, not made here"),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupon_pools")),
    )
    op.create_table(
        "coupon_templates",
        sa.Column("id", SORTED, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False, comment="template.Template as JSON"),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_coupon_templates")),
    )
    op.create_table(
        "coupon_totals",
        sa.Column("template", SORTED, nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True, comment="null: no limit"),
        sa.Column("issued", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "issued >= 0 AND (total IS NULL OR issued <= total)", name=op.f("ck_coupon_totals_within_total")
        ),
        sa.PrimaryKeyConstraint("template", name=op.f("pk_coupon_totals")),
    )
    op.create_table(
        "coupons",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("code", sa.UUID(), nullable=False, comment="the code encrypted, or its keyed hash"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="a code from outside, sealed; empty: of ours"),
        sa.Column("template", SORTED, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="of the template; 0: in a pool, nobody's yet"),
        sa.Column("pool", SORTED, nullable=True),
        sa.Column("state", sa.Text(), nullable=False, comment="pooled, given, locked, redeemed, expired, revoked"),
        sa.Column("anchor", sa.BigInteger(), nullable=True, comment="the identifier that got it"),
        sa.Column("holder", SORTED, nullable=True, comment="the wallet it is in (loyalty.wallet)"),
        sa.Column("nth", sa.Integer(), nullable=True, comment="of this template and holder"),
        sa.Column("given_at", TIME, nullable=True),
        sa.Column("given_on", sa.Date(), nullable=True, comment="local day"),
        sa.Column("valid_from", TIME, nullable=True),
        sa.Column("valid_until", TIME, nullable=True, comment="null: for ever"),
        sa.Column("lock", sa.UUID(), nullable=True, comment="that holds or used it"),
        sa.Column("locked_until", TIME, nullable=True),
        sa.Column("redeemed_at", TIME, nullable=True),
        sa.CheckConstraint("(state = 'locked') = (locked_until IS NOT NULL)", name=op.f("ck_coupons_locked")),
        sa.CheckConstraint("(state = 'pooled') = (holder IS NULL)", name=op.f("ck_coupons_owned")),
        sa.CheckConstraint("(state = 'redeemed') = (redeemed_at IS NOT NULL)", name=op.f("ck_coupons_redeemed")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupons")),
        sa.UniqueConstraint("code", name=op.f("uq_coupons_code")),
    )
    op.create_index(
        "ix_coupons_anchor", "coupons", ["anchor"], unique=False, postgresql_where=sa.text("anchor IS NOT NULL")
    )
    op.create_index(
        "ix_coupons_pooled", "coupons", ["template", "id"], unique=False, postgresql_where=sa.text("state = 'pooled'")
    )
    op.create_index(
        "ix_coupons_valid_until", "coupons", ["valid_until"], unique=False, postgresql_where=sa.text("state = 'given'")
    )
    op.create_index(
        "uq_coupons_nth",
        "coupons",
        ["template", "holder", "nth"],
        unique=True,
        postgresql_where=sa.text("holder IS NOT NULL"),
    )
    op.create_table(
        "price_rule_entitlements",
        sa.Column("rule", SORTED, nullable=False),
        sa.Column("holder", SORTED, nullable=False, comment="every wallet of the person has a row"),
        sa.Column("lock", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("rule", "holder", name=op.f("pk_price_rule_entitlements")),
    )
    op.create_index("ix_price_rule_entitlements_lock", "price_rule_entitlements", ["lock"], unique=False)
    op.create_table(
        "price_rules",
        sa.Column("id", SORTED, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False, comment="template.PriceRule as JSON"),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_price_rules")),
    )
