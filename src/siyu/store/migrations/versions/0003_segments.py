"""Segments: definitions with versions, lists, members, and what the keeper has still to do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True, precision=3)
KEY = sa.Text(collation="C")


def upgrade() -> None:
    """Expand; forward only."""
    op.create_table(
        "person_segments",
        sa.Column("person", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("segments", sa.ARRAY(KEY), nullable=False, comment="their keys, sorted"),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_person_segments")),
    )
    op.create_table(
        "segments",
        sa.Column("key", KEY, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False, comment="JSON, long form"),
        sa.Column("listed", sa.Boolean(), nullable=False, comment="a list by upload: its rule is to be on it"),
        sa.Column("announced", sa.Boolean(), nullable=False, comment="whether who enters or leaves makes an event"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("built", sa.Integer(), nullable=False, comment="the version that the members are of; 0: none yet"),
        sa.Column("size", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("built_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_segments")),
    )
    op.create_table(
        "segment_versions",
        sa.Column("key", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=True, comment="null: deleted"),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", "version", name=op.f("pk_segment_versions")),
    )
    op.create_table(
        "segment_lists",
        sa.Column("key", KEY, nullable=False),
        sa.Column(
            "anchor", sa.BigInteger(), nullable=False, comment="an uploaded identifier: whoever has it is on the list"
        ),
        sa.PrimaryKeyConstraint("key", "anchor", name=op.f("pk_segment_lists")),
    )
    op.create_table(
        "segment_touches",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "anchors",
            sa.LargeBinary(),
            nullable=False,
            comment="UInt32 each: identifiers of a batch that rules look at",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment_touches")),
    )
    op.create_table(
        "segment_moves",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.Column("entered", sa.Boolean(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_segment_moves")),
    )
    op.create_table(
        "segment_progress",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "identity_seq",
            sa.BigInteger(),
            nullable=False,
            comment="changes of who is who up to this one were looked at",
        ),
        sa.Column("ticked_at", TIME, nullable=False, comment="what time alone changes was looked at up to here"),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_segment_progress")),
    )
