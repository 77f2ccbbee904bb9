"""Tables of membership: the ladder, what was decided about tiers, what check-ins gave, events to be sent.

Which tier a person has now stands in the profile's `person_tiers`; the days on which somebody checked in, and the rules
of it, in its `checkins` and `checkin_rules`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    ARRAY,
    DDL,
    BigInteger,
    Boolean,
    Column,
    Date,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    event,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

from siyu.store.metadata import metadata

TIME = TIMESTAMP(timezone=True, precision=3)
SORTED = Text(collation="C")

ladders = Table(
    "tier_ladders",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("ladder", Text, nullable=False, comment="ladder.Ladder as JSON"),
    Column("at", TIME, nullable=False),
    Column("by", Text, nullable=False),
    Column("built_at", TIME, comment="when everybody had been looked at with it"),
)
"""Every version there ever was; the highest one counts."""

tier_log = Table(
    "tier_log",
    metadata,
    Column("seq", BigInteger, Identity(), primary_key=True),
    Column("person", BigInteger, nullable=False, comment="the person then"),
    Column("members", ARRAY(BigInteger), nullable=False, comment="the identifiers it was decided for, sorted"),
    Column("at", TIME, nullable=False, comment="when it was decided"),
    Column("cause", Text, nullable=False, comment="standing.Cause"),
    Column("former", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("since", TIME),
    Column("until", TIME),
    Column("grace_until", TIME),
    Column("fixed_tier", Text),
    Column("fixed_until", TIME),
    Column("fixed_floor", Boolean, nullable=False),
    Column("ladder", Integer, nullable=False, comment="version"),
    Column("figures", Text, nullable=False, comment="JSON: the figures of the condition"),
    Column("event", Text, comment="JSON: the event that brought it"),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("ix_tier_log_members", "members", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
)
"""Append only: what was decided, why, and the whole standing after it."""

_APPEND_ONLY: Final = """
CREATE OR REPLACE FUNCTION tier_log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('siyu.erasing', true) = 'on' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'TIER_LOG_APPEND_ONLY: what was decided is never changed; decide anew'
    USING ERRCODE = 'integrity_constraint_violation';
END $$
"""
GUARDS: Final = (
    _APPEND_ONLY,
    "CREATE TRIGGER tier_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tier_log"
    " FOR EACH STATEMENT EXECUTE FUNCTION tier_log_append_only()",
    "REVOKE UPDATE, TRUNCATE ON tier_log FROM PUBLIC, CURRENT_USER",
)
"""Only the erasure of a person, which says so in its transaction, removes rows."""

for _statement in GUARDS:
    event.listen(tier_log, "after_create", DDL(_statement))  # type: ignore[no-untyped-call]  # SQLAlchemy has no types here

checkin_rewards = Table(
    "checkin_rewards",
    metadata,
    Column("anchor", BigInteger, nullable=False),
    Column("day", Date, nullable=False, comment="the check-in that brought it"),
    Column("item", SORTED, nullable=False, comment="daily, cycle/7, streak/30, month/2026-06/15"),
    Column("currency", SORTED, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("transfer", BigInteger, nullable=False),
    PrimaryKeyConstraint("anchor", "day", "item", "currency"),
)
"""What check-ins gave; the ledger has the units. An item that names a day (`streak/7/2026-06-07`) was owed for it."""
