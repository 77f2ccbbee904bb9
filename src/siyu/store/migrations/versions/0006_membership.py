"""Membership: tiers of persons and what was decided about them, their benefits, check-ins."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True, precision=3)
SORTED = sa.Text(collation="C")


def upgrade() -> None:
    """Expand; forward only."""
    op.create_table(
        "checkin_rewards",
        sa.Column("anchor", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="the check-in that brought it"),
        sa.Column("item", SORTED, nullable=False, comment="daily, cycle/7, streak/30, month/2026-06/15"),
        sa.Column("currency", SORTED, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("transfer", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("anchor", "day", "item", "currency", name=op.f("pk_checkin_rewards")),
    )
    op.create_table(
        "checkin_rules",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rules", sa.Text(), nullable=False, comment="checkin.Rules as JSON"),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_checkin_rules")),
    )
    op.create_table(
        "checkins",
        sa.Column("anchor", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="local day"),
        sa.Column("at", TIME, nullable=False),
        sa.Column("end", sa.Text(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False, comment="call, event or make_up"),
        sa.PrimaryKeyConstraint("anchor", "day", name=op.f("pk_checkins")),
    )
    op.create_table(
        "person_tiers",
        sa.Column("person", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tier", sa.Text(), nullable=False, comment="its name"),
        sa.Column("since", TIME, nullable=True, comment="null: from the beginning"),
        sa.Column("former", sa.Text(), nullable=False, comment="the tier before `since`"),
        sa.Column("until", TIME, nullable=True, comment="it is kept until then, whatever the figures say"),
        sa.Column("grace_until", TIME, nullable=True, comment="the figures fell; it is taken then"),
        sa.Column("reached", sa.Text(), nullable=False, comment="what the figures say"),
        sa.Column("fixed_tier", sa.Text(), nullable=True, comment="set by hand"),
        sa.Column("fixed_until", TIME, nullable=True),
        sa.Column(
            "fixed_floor",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="by hand: at least this one",
        ),
        sa.Column("due_at", TIME, nullable=True, comment="when time alone may change it"),
        sa.Column("members", sa.ARRAY(sa.BigInteger()), nullable=False, comment="the identifiers it is of, sorted"),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_person_tiers")),
    )
    op.create_index(
        "ix_person_tiers_due_at",
        "person_tiers",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("ix_person_tiers_tier", "person_tiers", ["tier"], unique=False)
    op.create_table(
        "tier_benefits",
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False, comment="of what earn rules give"),
        sa.Column("free_shipping", sa.Boolean(), nullable=False),
        sa.CheckConstraint("percent BETWEEN 0 AND 10000", name=op.f("ck_tier_benefits_percent")),
        sa.PrimaryKeyConstraint("tier", name=op.f("pk_tier_benefits")),
    )
    op.create_table(
        "tier_ladders",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ladder", sa.Text(), nullable=False, comment="ladder.Ladder as JSON"),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("built_at", TIME, nullable=True, comment="when everybody had been looked at with it"),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_tier_ladders")),
    )
    op.create_table(
        "tier_log",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=False, comment="the person then"),
        sa.Column(
            "members", sa.ARRAY(sa.BigInteger()), nullable=False, comment="the identifiers it was decided for, sorted"
        ),
        sa.Column("at", TIME, nullable=False, comment="when it was decided"),
        sa.Column("cause", sa.Text(), nullable=False, comment="standing.Cause"),
        sa.Column("former", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("since", TIME, nullable=True),
        sa.Column("until", TIME, nullable=True),
        sa.Column("grace_until", TIME, nullable=True),
        sa.Column("fixed_tier", sa.Text(), nullable=True),
        sa.Column("fixed_until", TIME, nullable=True),
        sa.Column("fixed_floor", sa.Boolean(), nullable=False),
        sa.Column("ladder", sa.Integer(), nullable=False, comment="version"),
        sa.Column("figures", sa.Text(), nullable=False, comment="JSON: the figures of the condition"),
        sa.Column("event", sa.Text(), nullable=True, comment="JSON: the event that brought it"),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_tier_log")),
    )
    op.create_index("ix_tier_log_members", "tier_log", ["members"], unique=False, postgresql_using="gin")
    op.add_column(
        "point_order_money",
        sa.Column(
            "rule", SORTED, server_default=sa.text("'order'"), nullable=False, comment="the earn rule it counts for"
        ),
    )
    op.add_column(
        "point_order_money",
        sa.Column(
            "percent",
            sa.Integer(),
            server_default=sa.text("100"),
            nullable=False,
            comment="paid: what the tier gave then",
        ),
    )
    op.alter_column(
        "profile_figures",
        "name",
        existing_type=sa.TEXT(),
        comment="lifecycle: thresholds; rfm: cut points; first_tier: where the ladder begins",
        existing_comment="lifecycle: thresholds; rfm: cut points",
        existing_nullable=False,
    )
