"""Tables of coupons. Points and budgets are accounts of the ledger; here is what is not counted but owned."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from siyu.store.metadata import metadata

TIME = TIMESTAMP(timezone=True, precision=6)
SORTED = Text(collation="C")

templates = Table(
    "coupon_templates",
    metadata,
    Column("id", SORTED, nullable=False),
    Column("version", Integer, nullable=False),
    Column("template", Text, nullable=False, comment="template.Template as JSON"),
    Column("at", TIME, nullable=False),
    PrimaryKeyConstraint("id", "version"),
)
"""Every version there ever was; the highest one of an id counts for what is given from now on."""

totals = Table(
    "coupon_totals",
    metadata,
    Column("template", SORTED, primary_key=True),
    Column("total", BigInteger, comment="null: no limit"),
    Column("issued", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("issued >= 0 AND (total IS NULL OR issued <= total)", name="within_total"),
)

price_rules = Table(
    "price_rules",
    metadata,
    Column("id", SORTED, nullable=False),
    Column("version", Integer, nullable=False),
    Column("rule", Text, nullable=False, comment="template.PriceRule as JSON"),
    Column("at", TIME, nullable=False),
    PrimaryKeyConstraint("id", "version"),
)

holders = Table(
    "coupon_holders",
    metadata,
    Column("anchor", BigInteger, primary_key=True, autoincrement=False),
)
"""One row for each identifier that ever asked for something: locked in the order of numbers, so that what is counted of
a person stays true until the commit. A row that is not there could not be locked."""

pools = Table(
    "coupon_pools",
    metadata,
    Column("id", SORTED, primary_key=True),
    Column("template", SORTED, nullable=False),
    Column("codes", BigInteger, nullable=False),
    Column("imported", BigInteger, nullable=False, comment="of them brought, not made here"),
    Column("at", TIME, nullable=False),
)

coupons = Table(
    "coupons",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("code", UUID(as_uuid=True), nullable=False, unique=True, comment="the code encrypted, or its keyed hash"),
    Column("sealed", LargeBinary, nullable=False, comment="a code from outside, sealed; empty: of ours"),
    Column("template", SORTED, nullable=False),
    Column("version", Integer, nullable=False, comment="of the template; 0: in a pool, nobody's yet"),
    Column("pool", SORTED),
    Column("state", Text, nullable=False, comment="pooled, given, locked, redeemed, expired, revoked"),
    Column("anchor", BigInteger, comment="the identifier that got it"),
    Column("holder", SORTED, comment="the wallet it is in (loyalty.wallet)"),
    Column("nth", Integer, comment="of this template and holder"),
    Column("given_at", TIME),
    Column("given_on", Date, comment="local day"),
    Column("valid_from", TIME),
    Column("valid_until", TIME, comment="null: for ever"),
    Column("lock", UUID(as_uuid=True), comment="that holds or used it"),
    Column("locked_until", TIME),
    Column("redeemed_at", TIME),
    CheckConstraint("(state = 'pooled') = (holder IS NULL)", name="owned"),
    CheckConstraint("(state = 'locked') = (locked_until IS NOT NULL)", name="locked"),
    CheckConstraint("(state = 'redeemed') = (redeemed_at IS NOT NULL)", name="redeemed"),
    Index("ix_coupons_anchor", "anchor", postgresql_where=text("anchor IS NOT NULL")),
    Index("uq_coupons_nth", "template", "holder", "nth", unique=True, postgresql_where=text("holder IS NOT NULL")),
    Index("ix_coupons_pooled", "template", "id", postgresql_where=text("state = 'pooled'")),
    Index("ix_coupons_valid_until", "valid_until", postgresql_where=text("state = 'given'")),
)

locks = Table(
    "coupon_locks",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("anchor", BigInteger, comment="null: nobody was named"),
    Column("holder", SORTED),
    Column("order_id", SORTED),
    Column("end", Text, nullable=False),
    Column("state", Text, nullable=False, comment="held, committed, released, expired, rolled_back"),
    Column("points", BigInteger, nullable=False),
    Column("points_transfer", BigInteger, comment="of the ledger"),
    Column("points_back", BigInteger, nullable=False, server_default=text("0")),
    Column("at", TIME, nullable=False),
    Column("ends_at", TIME, nullable=False),
    Column("decided_at", TIME),
    CheckConstraint("state IN ('held', 'committed', 'released', 'expired', 'rolled_back')", name="state"),
    CheckConstraint("(state = 'held') = (decided_at IS NULL)", name="decided"),
    CheckConstraint("points_back BETWEEN 0 AND points", name="points_back"),
    Index("ix_coupon_locks_anchor", "anchor", postgresql_where=text("anchor IS NOT NULL")),
    Index("ix_coupon_locks_ends_at", "ends_at", postgresql_where=text("state = 'held'")),
    Index("ix_coupon_locks_order_id", "order_id", postgresql_where=text("order_id IS NOT NULL")),
)

lock_parts = Table(
    "coupon_lock_parts",
    metadata,
    Column("lock", UUID(as_uuid=True), nullable=False),
    Column("place", SmallInteger, nullable=False),
    Column("source", SORTED, nullable=False, comment="coupon/TEMPLATE or price_rule/ID"),
    Column("coupon", BigInteger),
    Column("off_fen", BigInteger, nullable=False),
    Column("transfer", BigInteger, comment="of the budget, in the ledger"),
    Column("back", Boolean, nullable=False, server_default=text("false"), comment="given back after it was used"),
    PrimaryKeyConstraint("lock", "place"),
)

entitlements = Table(
    "price_rule_entitlements",
    metadata,
    Column("rule", SORTED, nullable=False),
    Column("holder", SORTED, nullable=False, comment="every wallet of the person has a row"),
    Column("lock", UUID(as_uuid=True), nullable=False),
    PrimaryKeyConstraint("rule", "holder"),
    Index("ix_price_rule_entitlements_lock", "lock"),
)
"""What a person may have once, and the order that has it."""
