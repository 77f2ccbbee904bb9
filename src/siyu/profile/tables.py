"""Tables of the profile: append-only logs per identifier (anchor), and the little that is configured.

`key` is the 64-bit hash of (source, event id): with anchor and time it makes every write idempotent.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID
from sqlalchemy.schema import SchemaItem

from siyu.store.metadata import metadata

TIME = TIMESTAMP(timezone=True, precision=3)
SORTED = Text(collation="C")
"""Compared by code point, as Python does."""


def _trait_columns() -> list[SchemaItem]:
    return [
        Column("anchor", BigInteger, nullable=False),
        Column("at", TIME, nullable=False),
        Column("key", BigInteger, nullable=False),
        Column("event_id", SORTED, nullable=False),
        Column("source", SORTED, nullable=False),
        Column("label", SORTED, comment="the person's name in lower case, where the event sets one"),
        Column("ops", Text, nullable=False, comment="trait.TraitEffects as JSON"),
        PrimaryKeyConstraint("anchor", "at", "key"),
    ]


trait_changes = Table(
    "trait_changes",
    metadata,
    *_trait_columns(),
    Index("ix_trait_changes_label", "label", postgresql_where=text("label IS NOT NULL")),
)
"""The log of trait operations: what a fold needs."""

superseded_traits = Table("superseded_traits", metadata, *_trait_columns())
"""The rest of the log: events that cannot matter to a fold any more, kept for the history."""

declared_traits = Table(
    "declared_traits",
    metadata,
    Column("name", SORTED, primary_key=True),
    Column("type", Text, nullable=False, comment="catalogue.TraitType"),
    Column("label_zh", Text, nullable=False),
    Column("label_en", Text, nullable=False),
)

tags = Table(
    "tags",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("parent", BigInteger, ForeignKey("tags.id"), index=True),
    Column("name", SORTED, nullable=False),
    Column("path", SORTED, nullable=False, unique=True, comment="names from the root down, joined by /"),
    Column("created_at", TIME, nullable=False),
)

tag_paths = Table(
    "tag_paths",
    metadata,
    Column("path", SORTED, primary_key=True, comment="a path the tag has or once had"),
    Column("tag", BigInteger, ForeignKey("tags.id", ondelete="CASCADE"), nullable=False, index=True),
)

tag_ops = Table(
    "tag_ops",
    metadata,
    Column("anchor", BigInteger, nullable=False),
    Column("tag", BigInteger, ForeignKey("tags.id"), nullable=False),
    Column("at", TIME, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("change", SmallInteger, nullable=False, comment="tag.TagChange"),
    Column("event_id", SORTED, nullable=False),
    Column("origin", Text, nullable=False, comment="manual, rule, import or event"),
    Column("by", Text, nullable=False),
    PrimaryKeyConstraint("anchor", "tag", "at", "key", "change"),
    Index("ix_tag_ops_tag_anchor", "tag", "anchor"),
)

consent_ops = Table(
    "consent_ops",
    metadata,
    Column("anchor", BigInteger, nullable=False),
    Column("purpose", SORTED, nullable=False),
    Column("channel", SORTED, nullable=False, comment="* = all"),
    Column("at", TIME, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Column("event_id", SORTED, nullable=False),
    Column("source", SORTED, nullable=False),
    Column("text_version", Text, nullable=False),
    PrimaryKeyConstraint("anchor", "purpose", "channel", "at", "key", "withdrawn"),
)

touches = Table(
    "touches",
    metadata,
    Column("anchor", BigInteger, nullable=False),
    Column("at", TIME, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("event_id", SORTED, nullable=False),
    Column("source", SORTED, nullable=False),
    Column("end", Text, nullable=False),
    Column("fields", Text, nullable=False, comment="JSON object of texts"),
    PrimaryKeyConstraint("anchor", "at", "key"),
)

purchases = Table(
    "purchases",
    metadata,
    Column("anchor", BigInteger, nullable=False),
    Column("at", TIME, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("value_fen", BigInteger, nullable=False, comment="negative: a refund"),
    PrimaryKeyConstraint("anchor", "at", "key", postgresql_include=["value_fen"]),
)
"""Money of events, one row each: a day's sum could not be split where a shared identifier changed its person."""

person_segments = Table(
    "person_segments",
    metadata,
    Column("person", BigInteger, primary_key=True, autoincrement=False),
    Column("segments", ARRAY(SORTED), nullable=False, comment="their keys, sorted"),
)
"""Which segments a person is in. The room of segments writes it; a portrait reads it."""

person_tiers = Table(
    "person_tiers",
    metadata,
    Column("person", BigInteger, primary_key=True, autoincrement=False),
    Column("tier", Text, nullable=False, comment="its name"),
    Column("since", TIME, comment="null: from the beginning"),
    Column("former", Text, nullable=False, comment="the tier before `since`"),
    Column("until", TIME, comment="it is kept until then, whatever the figures say"),
    Column("grace_until", TIME, comment="the figures fell; it is taken then"),
    Column("reached", Text, nullable=False, comment="what the figures say"),
    Column("fixed_tier", Text, comment="set by hand"),
    Column("fixed_until", TIME),
    Column("fixed_floor", Boolean, nullable=False, server_default=text("false"), comment="by hand: at least this one"),
    Column("due_at", TIME, comment="when time alone may change it"),
    Column("members", ARRAY(BigInteger), nullable=False, comment="the identifiers it is of, sorted"),
    Index("ix_person_tiers_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("ix_person_tiers_tier", "tier"),
)
"""Which tier a person has. The room of membership writes it; a portrait, rules and points read it."""

checkin_rules = Table(
    "checkin_rules",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("rules", Text, nullable=False, comment="checkin.Rules as JSON"),
    Column("at", TIME, nullable=False),
    Column("by", Text, nullable=False),
)
"""Every version of the rules of check-in. The room of membership writes it."""

checkins = Table(
    "checkins",
    metadata,
    Column("anchor", BigInteger, nullable=False),
    Column("day", Date, nullable=False, comment="local day"),
    Column("at", TIME, nullable=False),
    Column("end", Text, nullable=False),
    Column("how", Text, nullable=False, comment="call, event or make_up"),
    PrimaryKeyConstraint("anchor", "day"),
)
"""One per local day and identifier under which a person earns. The room of membership writes it; rules read it."""

profile_figures = Table(
    "profile_figures",
    metadata,
    Column(
        "name",
        Text,
        primary_key=True,
        comment="lifecycle: thresholds; rfm: cut points; first_tier: where the ladder begins",
    ),
    Column("value", Text, nullable=False, comment="JSON"),
    Column("changed_at", TIME, nullable=False),
)

exports = Table(
    "exports",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("person_id", UUID(as_uuid=True), nullable=False, index=True),
    Column("at", TIME, nullable=False),
    Column("by", Text, nullable=False),
    Column("path", Text, comment="the file on this machine; null when it was sent to the caller"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("at", TIME, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rows", Text, nullable=False, comment="JSON: rows removed per store"),
)

erased_ids = Table(
    "erased_ids",
    metadata,
    Column("person_id", UUID(as_uuid=True), primary_key=True, comment="keyed hash of an erased identifier"),
    Column("erasure", UUID(as_uuid=True), ForeignKey("erasures.id"), primary_key=True),
)
"""Every id under which an erased person was known: none of them leads anywhere any more."""
