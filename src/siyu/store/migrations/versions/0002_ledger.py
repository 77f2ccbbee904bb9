"""One ledger for all value, and what membership keeps beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BALANCED = """
CREATE OR REPLACE FUNCTION ledger_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM added e LEFT JOIN ledger_accounts a ON a.id = e.account
    GROUP BY e.transfer, a.currency HAVING sum(e.amount) <> 0 OR a.currency IS NULL
  ) THEN
    RAISE EXCEPTION 'LEDGER_UNBALANCED: a transfer must add up to zero in every currency'
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$
"""
_APPEND_ONLY = """
CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'LEDGER_APPEND_ONLY: % is never changed; book a correction', TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def upgrade() -> None:
    """Expand; forward only."""
    op.execute("CREATE SEQUENCE ledger_transfer_numbers")
    _create_tables()
    op.execute(_BALANCED)
    op.execute(_APPEND_ONLY)
    op.execute(
        "CREATE TRIGGER ledger_balanced AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS added"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_balanced()"
    )
    for table in ("ledger_transfers", "ledger_entries", "ledger_lot_moves"):
        op.execute(
            f"CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()"
        )
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM PUBLIC, CURRENT_USER")
    # An account's row is written anew with every transfer: room on its page keeps the indexes out of it.
    op.execute("ALTER TABLE ledger_accounts SET (fillfactor = 60)")


def _create_tables() -> None:
    op.create_table(
        "earn_rules",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False, comment="earning.EarnRule as JSON"),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_earn_rules")),
    )
    op.create_table(
        "ledger_currencies",
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("unit_zh", sa.Text(), nullable=False),
        sa.Column("unit_en", sa.Text(), nullable=False),
        sa.Column("lots", sa.Boolean(), nullable=False),
        sa.Column(
            "keep_months",
            sa.SmallInteger(),
            nullable=True,
            comment="a lot ends so many months after it became available; null = never",
        ),
        sa.Column("rounding", sa.Text(), nullable=False, comment="currency.Rounding"),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_ledger_currencies")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="1, 2, 3 … of the account"),
        sa.Column("transfer", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.PrimaryKeyConstraint("account", "version", name=op.f("pk_ledger_entries")),
    )
    op.create_table(
        "ledger_legs",
        sa.Column("transfer", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.SmallInteger(), nullable=False),
        sa.Column("source", sa.BigInteger(), nullable=False, comment="account"),
        sa.Column("held", sa.BigInteger(), nullable=True, comment="account; null = it went at once"),
        sa.Column("target", sa.BigInteger(), nullable=False, comment="account"),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("posted", sa.BigInteger(), nullable=False),
        sa.Column("returned", sa.BigInteger(), nullable=False),
        sa.Column("reversed", sa.BigInteger(), nullable=False, comment="taken back after it was posted"),
        sa.Column("state", sa.Text(), nullable=False, comment="command.State"),
        sa.Column("ends_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=True),
        sa.Column("at_end", sa.Text(), nullable=False, comment="command.AtEnd"),
        sa.Column(
            "lot_expires_at",
            postgresql.TIMESTAMP(timezone=True, precision=6),
            nullable=True,
            comment="of the lot that arises; null = as the currency says",
        ),
        sa.CheckConstraint(
            "state = 'pending' OR posted + returned = amount", name=op.f("ck_ledger_legs_decided_whole")
        ),
        sa.CheckConstraint(
            "posted >= 0 AND returned >= 0 AND posted + returned <= amount", name=op.f("ck_ledger_legs_parts")
        ),
        sa.CheckConstraint("reversed BETWEEN 0 AND posted", name=op.f("ck_ledger_legs_reversed")),
        sa.PrimaryKeyConstraint("transfer", "place", name=op.f("pk_ledger_legs")),
    )
    op.create_index(
        "ix_ledger_legs_ends_at",
        "ledger_legs",
        ["ends_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_ledger_legs_held", "ledger_legs", ["held"], unique=False, postgresql_where=sa.text("state = 'pending'")
    )
    op.create_table(
        "ledger_lot_moves",
        sa.Column("transfer", sa.BigInteger(), nullable=False),
        sa.Column("lot", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="positive: put in"),
        sa.PrimaryKeyConstraint("transfer", "lot", name=op.f("pk_ledger_lot_moves")),
    )
    op.create_index("ix_ledger_lot_moves_lot", "ledger_lot_moves", ["lot"], unique=False)
    op.create_table(
        "ledger_lots",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False, comment="transfer × 1024 + place"),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("earned_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.Column(
            "expires_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=True, comment="null = never"
        ),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("remaining BETWEEN 0 AND amount", name=op.f("ck_ledger_lots_remaining")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_lots")),
    )
    op.create_index(
        "ix_ledger_lots_account", "ledger_lots", ["account"], unique=False, postgresql_where=sa.text("remaining > 0")
    )
    op.create_index(
        "ix_ledger_lots_expires_at",
        "ledger_lots",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("remaining > 0"),
    )
    op.create_table(
        "ledger_transfers",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.UUID(), nullable=False, comment="idempotency key, hashed"),
        sa.Column("request", sa.UUID(), nullable=False, comment="hash of what was asked"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False, comment="when it was booked"),
        sa.Column(
            "occurred_at",
            postgresql.TIMESTAMP(timezone=True, precision=6),
            nullable=False,
            comment="when what it stands for happened",
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(collation="C"), nullable=True, comment="order/…, event/…, campaign/…"),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("corrects", sa.BigInteger(), nullable=True, comment="the transfer it corrects or ends"),
        sa.Column("refused", sa.Text(), nullable=True, comment="code of a refusal; then it has no entries"),
        sa.Column("answer", sa.Text(), nullable=False, comment="JSON: balances after it, or why it was refused"),
        sa.Column(
            "committed_in",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
            nullable=False,
            comment="transaction; (committed_in, id) below the oldest running one is a sequence that only grows",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_transfers")),
        sa.UniqueConstraint("key", name=op.f("uq_ledger_transfers_key")),
    )
    op.create_index(
        "ix_ledger_transfers_cause",
        "ledger_transfers",
        ["cause"],
        unique=False,
        postgresql_where=sa.text("cause IS NOT NULL"),
    )
    op.create_index(
        "ix_ledger_transfers_committed_in", "ledger_transfers", ["committed_in"], unique=False, postgresql_using="brin"
    )
    op.create_index(
        "ix_ledger_transfers_corrects",
        "ledger_transfers",
        ["corrects"],
        unique=False,
        postgresql_where=sa.text("corrects IS NOT NULL"),
    )
    op.create_table(
        "point_adjustments",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("key", sa.UUID(), nullable=False, comment="idempotency key, hashed"),
        sa.Column("request", sa.UUID(), nullable=False, comment="hash of what was asked"),
        sa.Column("anchor", sa.BigInteger(), nullable=False, comment="the identifier by which the person was named"),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="waiting, approved or rejected"),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=True),
        sa.CheckConstraint("(state = 'waiting') = (decided_by IS NULL)", name=op.f("ck_point_adjustments_decided")),
        sa.CheckConstraint("state IN ('waiting', 'approved', 'rejected')", name=op.f("ck_point_adjustments_state")),
        sa.CheckConstraint("decided_by <> asked_by", name=op.f("ck_point_adjustments_second_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_point_adjustments")),
        sa.UniqueConstraint("key", name=op.f("uq_point_adjustments_key")),
    )
    op.create_index("ix_point_adjustments_anchor", "point_adjustments", ["anchor"], unique=False)
    op.create_index(
        "ix_point_adjustments_waiting",
        "point_adjustments",
        ["asked_at"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "point_order_money",
        sa.Column("key", sa.UUID(), nullable=False, comment="the event that brought it, hashed"),
        sa.Column("subject", sa.Text(collation="C"), nullable=False, comment="order/…"),
        sa.Column("anchor", sa.BigInteger(), nullable=False),
        sa.Column("fen", sa.BigInteger(), nullable=False, comment="paid; refunded: negative"),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_point_order_money")),
    )
    op.create_index("ix_point_order_money_anchor", "point_order_money", ["anchor"], unique=False)
    op.create_index("ix_point_order_money_subject", "point_order_money", ["subject"], unique=False)
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("holder", sa.Text(collation="C"), nullable=False, comment="means nothing to the ledger"),
        sa.Column("role", sa.Text(collation="C"), nullable=False, comment="account.Role"),
        sa.Column(
            "sign", sa.SmallInteger(), nullable=False, comment="+1: never below zero, -1: never above, 0: either"
        ),
        sa.Column("balance", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "version",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="number of its newest entry",
        ),
        sa.CheckConstraint("balance * sign >= 0", name=op.f("ck_ledger_accounts_side_of_zero")),
        sa.ForeignKeyConstraint(
            ["currency"], ["ledger_currencies.code"], name=op.f("fk_ledger_accounts_currency_ledger_currencies")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_accounts")),
        sa.UniqueConstraint("holder", "currency", "role", name=op.f("uq_ledger_accounts_holder_currency_role")),
    )
