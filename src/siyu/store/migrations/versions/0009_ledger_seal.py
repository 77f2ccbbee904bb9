"""The ledger is sealed: a hash chain, a Merkle tree and signed checkpoints over what was committed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; forward only. The indexes are built while nothing writes to the ledger."""
    op.drop_index("ix_ledger_transfers_committed_in", "ledger_transfers")
    op.create_index("ix_ledger_transfers_committed_in_id", "ledger_transfers", ["committed_in", "id"], unique=False)
    op.create_index("ix_ledger_entries_transfer", "ledger_entries", ["transfer"], unique=False)
    _create_tables()
    for table in ("ledger_seals", "ledger_seal_tiles", "ledger_seal_blocks"):
        op.execute(
            f"CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()"
        )
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM PUBLIC, CURRENT_USER")


def _create_tables() -> None:
    op.create_table(
        "ledger_seals",
        sa.Column(
            "seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="0, 1, 2 …: its leaf in the tree"
        ),
        sa.Column("transfer", sa.BigInteger(), nullable=False),
        sa.Column(
            "salt",
            sa.LargeBinary(),
            nullable=False,
            comment="16 random bytes, from which those of the leaf's parts follow",
        ),
        sa.Column("leaf", sa.LargeBinary(), nullable=False, comment="hash of seal.leaf_text"),
        sa.Column("chain", sa.LargeBinary(), nullable=False, comment="SHA-256(chain before it ‖ leaf)"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger_seals")),
        sa.UniqueConstraint("transfer", name=op.f("uq_ledger_seals_transfer")),
    )
    op.create_table(
        "ledger_seal_tiles",
        sa.Column("level", sa.SmallInteger(), nullable=False, comment="1, 2 …: 256^level leaves"),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="of the complete subtree"),
        sa.PrimaryKeyConstraint("level", "place", name=op.f("pk_ledger_seal_tiles")),
    )
    op.create_table(
        "ledger_seal_blocks",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False, comment="1, 2, 3 …"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="leaves up to here"),
        sa.Column("sealed_at", postgresql.TIMESTAMP(timezone=True, precision=6), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="Ed25519 public key that signed it"),
        sa.Column(
            "checkpoint", sa.Text(), nullable=False, comment="signed note: origin, size, root, newest link, time"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_seal_blocks")),
        sa.UniqueConstraint("size", name=op.f("uq_ledger_seal_blocks_size")),
    )
    op.create_table(
        "ledger_sealer",
        sa.Column("single", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "log", sa.Text(collation="C"), nullable=False, comment="origin of the checkpoints; made at the first seal"
        ),
        sa.Column(
            "cluster",
            sa.Text(collation="C"),
            nullable=False,
            comment="of PostgreSQL: numbers of transactions are its own",
        ),
        sa.Column("committed_in", sa.BigInteger(), nullable=False, comment="with transfer: all up to here are sealed"),
        sa.Column("transfer", sa.BigInteger(), nullable=False),
        sa.Column("restored", sa.Boolean(), nullable=False, comment="it was sealed by another cluster before"),
        sa.CheckConstraint("single", name=op.f("ck_ledger_sealer_one_row")),
        sa.PrimaryKeyConstraint("single", name=op.f("pk_ledger_sealer")),
    )
