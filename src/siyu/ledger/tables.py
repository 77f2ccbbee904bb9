"""Tables of the ledger. Entries, transfers, movements of lots and their seals are only ever added: triggers, and no
right to change.

There are no foreign keys between accounts, transfers and entries: checking one locks the row it points to, on hot
accounts too. `ledger.check` looks for what they would forbid.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from siyu.store.metadata import metadata

TIME = TIMESTAMP(timezone=True, precision=6)
SORTED = Text(collation="C")

transfer_numbers = Sequence("ledger_transfer_numbers", metadata=metadata)

currencies = Table(
    "ledger_currencies",
    metadata,
    Column("code", SORTED, primary_key=True),
    Column("unit_zh", Text, nullable=False),
    Column("unit_en", Text, nullable=False),
    Column("lots", Boolean, nullable=False),
    Column("keep_months", SmallInteger, comment="a lot ends so many months after it became available; null = never"),
    Column("rounding", Text, nullable=False, comment="currency.Rounding"),
)

accounts = Table(
    "ledger_accounts",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("currency", SORTED, ForeignKey("ledger_currencies.code"), nullable=False),
    Column("holder", SORTED, nullable=False, comment="means nothing to the ledger"),
    Column("role", SORTED, nullable=False, comment="account.Role"),
    Column("sign", SmallInteger, nullable=False, comment="+1: never below zero, -1: never above, 0: either"),
    Column("balance", BigInteger, nullable=False, server_default=text("0")),
    Column("version", BigInteger, nullable=False, server_default=text("0"), comment="number of its newest entry"),
    UniqueConstraint("holder", "currency", "role"),
    CheckConstraint("balance * sign >= 0", name="side_of_zero"),
)

transfers = Table(
    "ledger_transfers",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", UUID(as_uuid=True), nullable=False, unique=True, comment="idempotency key, hashed"),
    Column("request", UUID(as_uuid=True), nullable=False, comment="hash of what was asked"),
    Column("kind", Text, nullable=False),
    Column("at", TIME, nullable=False, comment="when it was booked"),
    Column("occurred_at", TIME, nullable=False, comment="when what it stands for happened"),
    Column("reason", Text, nullable=False),
    Column("cause", SORTED, comment="order/…, event/…, campaign/…"),
    Column("by", Text, nullable=False),
    Column("corrects", BigInteger, comment="the transfer it corrects or ends"),
    Column("refused", Text, comment="code of a refusal; then it has no entries"),
    Column("answer", Text, nullable=False, comment="JSON: balances after it, or why it was refused"),
    Column(
        "committed_in",
        BigInteger,
        nullable=False,
        server_default=text("(pg_current_xact_id()::text)::bigint"),
        comment="transaction; (committed_in, id) below the oldest running one is a sequence that only grows",
    ),
    Index("ix_ledger_transfers_cause", "cause", postgresql_where=text("cause IS NOT NULL")),
    Index("ix_ledger_transfers_corrects", "corrects", postgresql_where=text("corrects IS NOT NULL")),
    Index("ix_ledger_transfers_committed_in_id", "committed_in", "id"),
)

entries = Table(
    "ledger_entries",
    metadata,
    Column("account", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, comment="1, 2, 3 … of the account"),
    Column("transfer", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("balance_after", BigInteger, nullable=False),
    Column("at", TIME, nullable=False),
    PrimaryKeyConstraint("account", "version"),
    Index("ix_ledger_entries_transfer", "transfer"),
)

lots = Table(
    "ledger_lots",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="transfer × 1024 + place"),
    Column("account", BigInteger, nullable=False),
    Column("earned_at", TIME, nullable=False),
    Column("expires_at", TIME, comment="null = never"),
    Column("amount", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    CheckConstraint("remaining BETWEEN 0 AND amount", name="remaining"),
    Index("ix_ledger_lots_account", "account", postgresql_where=text("remaining > 0")),
    Index("ix_ledger_lots_expires_at", "expires_at", postgresql_where=text("remaining > 0")),
)

lot_moves = Table(
    "ledger_lot_moves",
    metadata,
    Column("transfer", BigInteger, nullable=False),
    Column("lot", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="positive: put in"),
    PrimaryKeyConstraint("transfer", "lot"),
    Index("ix_ledger_lot_moves_lot", "lot"),
)

legs = Table(
    "ledger_legs",
    metadata,
    Column("transfer", BigInteger, nullable=False),
    Column("place", SmallInteger, nullable=False),
    Column("source", BigInteger, nullable=False, comment="account"),
    Column("held", BigInteger, comment="account; null = it went at once"),
    Column("target", BigInteger, nullable=False, comment="account"),
    Column("amount", BigInteger, nullable=False),
    Column("posted", BigInteger, nullable=False),
    Column("returned", BigInteger, nullable=False),
    Column("reversed", BigInteger, nullable=False, comment="taken back after it was posted"),
    Column("state", Text, nullable=False, comment="command.State"),
    Column("ends_at", TIME),
    Column("at_end", Text, nullable=False, comment="command.AtEnd"),
    Column("lot_expires_at", TIME, comment="of the lot that arises; null = as the currency says"),
    PrimaryKeyConstraint("transfer", "place"),
    CheckConstraint("posted >= 0 AND returned >= 0 AND posted + returned <= amount", name="parts"),
    CheckConstraint("state = 'pending' OR posted + returned = amount", name="decided_whole"),
    CheckConstraint("reversed BETWEEN 0 AND posted", name="reversed"),
    Index("ix_ledger_legs_ends_at", "ends_at", postgresql_where=text("state = 'pending'")),
    Index("ix_ledger_legs_held", "held", postgresql_where=text("state = 'pending'")),
)

seals = Table(
    "ledger_seals",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="0, 1, 2 …: its leaf in the tree"),
    Column("transfer", BigInteger, nullable=False, unique=True),
    Column("salt", LargeBinary, nullable=False, comment="16 random bytes, from which those of the leaf's parts follow"),
    Column("leaf", LargeBinary, nullable=False, comment="hash of seal.leaf_text"),
    Column("chain", LargeBinary, nullable=False, comment="SHA-256(chain before it ‖ leaf)"),
)

seal_tiles = Table(
    "ledger_seal_tiles",
    metadata,
    Column("level", SmallInteger, nullable=False, comment="1, 2 …: 256^level leaves"),
    Column("place", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False, comment="of the complete subtree"),
    PrimaryKeyConstraint("level", "place"),
)

seal_blocks = Table(
    "ledger_seal_blocks",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3 …"),
    Column("size", BigInteger, nullable=False, unique=True, comment="leaves up to here"),
    Column("sealed_at", TIME, nullable=False),
    Column("key", LargeBinary, nullable=False, comment="Ed25519 public key that signed it"),
    Column("checkpoint", Text, nullable=False, comment="signed note: origin, size, root, newest link, time"),
)

sealer = Table(
    "ledger_sealer",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    Column("log", SORTED, nullable=False, comment="origin of the checkpoints; made at the first seal"),
    Column("cluster", SORTED, nullable=False, comment="of PostgreSQL: numbers of transactions are its own"),
    Column("committed_in", BigInteger, nullable=False, comment="with transfer: all up to here are sealed"),
    Column("transfer", BigInteger, nullable=False),
    Column("restored", Boolean, nullable=False, comment="it was sealed by another cluster before"),
    CheckConstraint("single", name="one_row"),
)
"""Where the sealer is, and by its lock who seals. No evidence: what it says follows from the seals."""

_BALANCED: Final = """
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
_APPEND_ONLY: Final = """
CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'LEDGER_APPEND_ONLY: % is never changed; book a correction', TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END $$
"""
APPEND_ONLY: Final = (transfers, entries, lot_moves, seals, seal_tiles, seal_blocks)


def _append_only(table: str) -> tuple[str, ...]:
    return (
        _APPEND_ONLY,
        f"CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()",
        f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM PUBLIC, CURRENT_USER",
    )


GUARDS: Final = {
    **{table: _append_only(table.name) for table in APPEND_ONLY},
    entries: (
        *_append_only(entries.name),
        _BALANCED,
        "CREATE TRIGGER ledger_balanced AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS added"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_balanced()",
    ),
    # An account's row is written anew with every transfer: room on its page keeps the indexes out of it.
    accounts: ("ALTER TABLE ledger_accounts SET (fillfactor = 60)",),
}
"""What SQLAlchemy has no words for, after each table."""

for _table, _statements in GUARDS.items():
    for _statement in _statements:
        _ddl = DDL(_statement.replace("%", "%%"))  # type: ignore[no-untyped-call]  # SQLAlchemy declares no types here
        event.listen(_table, "after_create", _ddl)
