"""Tables of segments: definitions with their versions, uploaded lists, and what the keeper has still to do."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

from siyu.store.metadata import metadata

TIME = TIMESTAMP(timezone=True, precision=3)

segments = Table(
    "segments",
    metadata,
    Column("key", Text(collation="C"), primary_key=True),
    Column("label", Text, nullable=False),
    Column("rule", Text, nullable=False, comment="JSON, long form"),
    Column("listed", Boolean, nullable=False, comment="a list by upload: its rule is to be on it"),
    Column("announced", Boolean, nullable=False, comment="whether who enters or leaves makes an event"),
    Column("version", Integer, nullable=False),
    Column("built", Integer, nullable=False, comment="the version that the members are of; 0: none yet"),
    Column("size", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", TIME, nullable=False),
    Column("changed_at", TIME, nullable=False),
    Column("built_at", TIME),
    Column("problem", Text, comment="why its members wait: what could not be read; null: nothing"),
)

segment_versions = Table(
    "segment_versions",
    metadata,
    Column("key", Text(collation="C"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("label", Text, nullable=False),
    Column("rule", Text, comment="null: deleted"),
    Column("at", TIME, nullable=False),
    Column("by", Text, nullable=False),
    PrimaryKeyConstraint("key", "version"),
)
"""Append only; a key that is used again goes on counting."""

segment_lists = Table(
    "segment_lists",
    metadata,
    Column("key", Text(collation="C"), nullable=False),
    Column("anchor", BigInteger, nullable=False, comment="an uploaded identifier: whoever has it is on the list"),
    PrimaryKeyConstraint("key", "anchor"),
)

segment_touches = Table(
    "segment_touches",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("anchors", LargeBinary, nullable=False, comment="UInt32 each: identifiers of a batch that rules look at"),
)
"""Written with the batch, removed when their persons were looked at again."""

segment_moves = Table(
    "segment_moves",
    metadata,
    Column("seq", BigInteger, Identity(), primary_key=True),
    Column("key", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("person", BigInteger, nullable=False),
    Column("entered", Boolean, nullable=False),
    Column("at", TIME, nullable=False),
)
"""Who entered or left: written with the membership, removed when the event is in the stream."""

segment_progress = Table(
    "segment_progress",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("identity_seq", BigInteger, nullable=False, comment="changes of who is who up to this one were looked at"),
    Column("ticked_at", TIME, nullable=False, comment="what time alone changes was looked at up to here"),
)
"""One row, from the first start on."""
