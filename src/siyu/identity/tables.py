"""Tables of identity: the registry of identifiers, the evidence between them, and who is who."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Sequence,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from siyu.store.metadata import metadata

TIME = TIMESTAMP(timezone=True, precision=3)

anchor_numbers = Sequence("anchor_numbers", metadata=metadata, maxvalue=2**32 - 1)
"""Dense numbers of identifiers: ClickHouse stores them as UInt32."""

identifiers = Table(
    "identifiers",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("uid", UUID(as_uuid=True), nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("first_seen", TIME, nullable=False),
    Column("last_seen", TIME, nullable=False, comment="precise to a day: raised only when a later day is seen"),
    Column("source", Text, nullable=False, comment="write key that brought the earliest event"),
    Index("ix_identifiers_value", "value"),
    Index("ix_identifiers_named", "value", postgresql_where=text("kind = 'any'")),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("seq", BigInteger, Sequence("tombstone_numbers", metadata=metadata), primary_key=True),
    Column("uid", UUID(as_uuid=True), nullable=False, unique=True, comment="keyed hash of the erased identifier"),
    Column("anchor", BigInteger, nullable=False, comment="the number it had; never given again"),
    Column("erased_at", TIME, nullable=False, comment="what happened before this instant never comes back"),
)

links = Table(
    "links",
    metadata,
    Column("link_id", UUID(as_uuid=True), primary_key=True, comment="evidence.link_id of the two and the rule"),
    Column("a", BigInteger, nullable=False, comment="identifier, the stronger; of an unbind the one removed"),
    Column("b", BigInteger, nullable=False, comment="identifier; of an unbind the owner where known, else a"),
    Column("rule", Text, nullable=False, comment="seen, bind, alias, named, unbind"),
    Column("weight", SmallInteger, nullable=False, comment="resolution.weight: the first part of the weighing order"),
    Column("first_ms", BigInteger, nullable=False, comment="earliest event time, epoch milliseconds"),
    Column("event_id", Text, nullable=False, comment="the earliest event"),
    Column("source", Text, nullable=False, comment="write key of that event, or `operator`"),
    Column("exact", Boolean, nullable=False, server_default=text("false"), comment="every sighting's time matters"),
    Column("capped", Boolean, nullable=False, server_default=text("false"), comment="one too many of its identifier"),
    Column("refused", Text, comment="CONFLICT or CAP; null = it counts"),
    Column("clash", Text, comment="of a conflict: the single kind of which there would be two"),
    Column("passed", Boolean, nullable=False, server_default=text("false"), comment="passed on instead of joining"),
    Column("retracted_at", TIME),
    Column("retracted_because", Text),
    Index("ix_links_a", "a", "capped", "weight"),
    Index("ix_links_b", "b", "capped", "weight"),
    Index("ix_links_refused", "first_ms", "link_id", postgresql_where=text("refused IS NOT NULL")),
)
"""Evidence. Rows are added and marked, and removed by an erasure only."""

memberships = Table(
    "memberships",
    metadata,
    Column("anchor", BigInteger, primary_key=True, autoincrement=False),
    Column("since", TIME, primary_key=True, comment="the first span of an anchor begins at 1970-01-01"),
    Column("person", BigInteger, nullable=False),
    Index("ix_memberships_person", "person"),
)
"""Whose an identifier is, when. Computed from `links`; an identifier without a row is its own person."""

identity_changes = Table(
    "identity_changes",
    metadata,
    Column("seq", BigInteger, Sequence("identity_change_numbers", metadata=metadata), primary_key=True),
    Column("writer", UUID(as_uuid=True), nullable=False, comment="the process that knows of it already"),
    Column("moved", ARRAY(BigInteger), nullable=False, comment="anchors whose memberships changed"),
    Column("touched", ARRAY(BigInteger), nullable=False, comment="further anchors whose links changed their state"),
    Column("handed", ARRAY(BigInteger), nullable=False, comment="of moved: those with several persons, before or now"),
    Column("changed_at", TIME, nullable=False, server_default=text("now()")),
)
"""What the mirror copies next, and what other processes must forget. Committed in the order of `seq`."""

identity_mirror = Table(
    "identity_mirror",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("seq", BigInteger, nullable=False, comment="changes up to this one are in ClickHouse"),
    Column("dropped", BigInteger, nullable=False, comment="changes up to this one are no longer kept"),
)
"""One row: how far the copy of who is who in ClickHouse is."""

told_events = Table(
    "told_events",
    metadata,
    Column("seq", BigInteger, Identity(), primary_key=True),
    Column("event_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("at", TIME, nullable=False),
    Column("properties", Text, nullable=False, comment="JSON"),
    Column("anchor", BigInteger, comment="whom it is about"),
    Column("key", Text, comment="an identifier that is nobody's yet: ids.identifier_key"),
    Column("other", Text, comment="another identifier that it carries: ids.identifier_key"),
    Column("end", Text, nullable=False),
    Column("source", Text, nullable=False, comment="who says so"),
    CheckConstraint("(anchor IS NULL) <> (key IS NULL)", name="who"),
)
"""Events of ours: written with what they tell of, removed when they are in the stream."""
