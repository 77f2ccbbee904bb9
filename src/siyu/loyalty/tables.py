"""Tables of membership: what is not value itself (the ledger has that) but decides about it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from siyu.store.metadata import metadata

TIME = TIMESTAMP(timezone=True, precision=6)
SORTED = Text(collation="C")

adjustments = Table(
    "point_adjustments",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("key", UUID(as_uuid=True), nullable=False, unique=True, comment="idempotency key, hashed"),
    Column("request", UUID(as_uuid=True), nullable=False, comment="hash of what was asked"),
    Column("anchor", BigInteger, nullable=False, comment="the identifier by which the person was named"),
    Column("currency", SORTED, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", TIME, nullable=False),
    Column("state", Text, nullable=False, comment="waiting, approved or rejected"),
    Column("decided_by", Text),
    Column("decided_at", TIME),
    CheckConstraint("state IN ('waiting', 'approved', 'rejected')", name="state"),
    CheckConstraint("(state = 'waiting') = (decided_by IS NULL)", name="decided"),
    CheckConstraint("decided_by <> asked_by", name="second_person"),
    Index("ix_point_adjustments_waiting", "asked_at", postgresql_where=text("state = 'waiting'")),
    Index("ix_point_adjustments_anchor", "anchor"),
)
"""Adjustments above the limit: booked when a second person approves."""

order_money = Table(
    "point_order_money",
    metadata,
    Column("key", UUID(as_uuid=True), primary_key=True, comment="the event that brought it, hashed"),
    Column("subject", SORTED, nullable=False, comment="order/…"),
    Column("anchor", BigInteger, nullable=False),
    Column("fen", BigInteger, nullable=False, comment="paid; refunded: negative"),
    Column("rule", SORTED, nullable=False, server_default=text("'order'"), comment="the earn rule it counts for"),
    Column("percent", Integer, nullable=False, server_default=text("100"), comment="paid: what the tier gave then"),
    Column("shop", Text, nullable=False, server_default=text("''"), comment="of a foreign order whose event names one"),
    Index("ix_point_order_money_subject", "subject"),
    Index("ix_point_order_money_anchor", "anchor"),
)
"""What was paid for an order and given back: the points for it follow from the sum, in whatever order events come."""

benefits = Table(
    "tier_benefits",
    metadata,
    Column("tier", Text, primary_key=True),
    Column("percent", Integer, nullable=False, comment="of what earn rules give"),
    Column("free_shipping", Boolean, nullable=False),
    CheckConstraint("percent BETWEEN 0 AND 10000", name="percent"),
)
"""What tiers give beside their name, for those who price and earn; a tier that is not here gives nothing."""

earn_rules = Table(
    "earn_rules",
    metadata,
    Column("id", SORTED, nullable=False),
    Column("version", Integer, nullable=False),
    Column("rule", Text, nullable=False, comment="earning.EarnRule as JSON"),
    Column("created_at", TIME, nullable=False),
    PrimaryKeyConstraint("id", "version"),
)
"""Every version there ever was; the highest one of an id counts."""
