"""The first house: every table of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand; forward only."""
    op.execute("CREATE SEQUENCE anchor_numbers MAXVALUE 4294967295")
    op.execute("CREATE SEQUENCE tombstone_numbers")
    op.execute("CREATE SEQUENCE identity_change_numbers")
    op.create_table(
        "access_keys",
        sa.Column("id", sa.Text(), nullable=False, comment="names the source on every event; never the secret itself"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("end", sa.Text(), nullable=False, comment="the end of a write key's events that name none"),
        sa.Column("secret", sa.Text(), nullable=True, comment="write keys only: every browser carries them anyway"),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the key or token"),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(kind = 'write') = (secret IS NOT NULL)", name=op.f("ck_access_keys_only_write_keys_in_clear")
        ),
        sa.CheckConstraint("kind IN ('write', 'api')", name=op.f("ck_access_keys_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_keys")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_access_keys_secret_hash")),
    )
    op.create_index("ix_access_keys_created_at", "access_keys", ["created_at"], unique=False)
    op.create_table(
        "consent_ops",
        sa.Column("anchor", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.Text(collation="C"), nullable=False),
        sa.Column("channel", sa.Text(collation="C"), nullable=False, comment="* = all"),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("text_version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("anchor", "purpose", "channel", "at", "key", "withdrawn", name=op.f("pk_consent_ops")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False, comment="place inside the batch that ended at this offset"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("replayed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint("partition", "offset", "ordinal", name=op.f("uq_dead_letters_partition_offset_ordinal")),
    )
    op.create_index("ix_dead_letters_received_at", "dead_letters", ["received_at"], unique=False)
    op.create_table(
        "declared_traits",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text(), nullable=False, comment="catalogue.TraitType"),
        sa.Column("label_zh", sa.Text(), nullable=False),
        sa.Column("label_en", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_declared_traits")),
    )
    op.create_table(
        "demo_loads",
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("persons", sa.Integer(), nullable=False),
        sa.Column(
            "now",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="the demo's present: its period ends here",
        ),
        sa.Column(
            "keys",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="end → write key that its requests carry",
        ),
        sa.Column("requests_done", sa.Integer(), nullable=False, comment="all requests before this one were answered"),
        sa.Column("events", sa.BigInteger(), nullable=False, comment="events in those requests"),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("seed", name=op.f("pk_demo_loads")),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rows", sa.Text(), nullable=False, comment="JSON: rows removed per store"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    op.create_table(
        "exports",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("person_id", sa.UUID(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column(
            "path", sa.Text(), nullable=True, comment="the file on this machine; null when it was sent to the caller"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
    )
    op.create_index(op.f("ix_exports_person_id"), "exports", ["person_id"], unique=False)
    op.create_table(
        "identifiers",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("first_seen", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column(
            "last_seen",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            nullable=False,
            comment="precise to a day: raised only when a later day is seen",
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="write key that brought the earliest event"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identifiers")),
        sa.UniqueConstraint("uid", name=op.f("uq_identifiers_uid")),
    )
    op.create_index(
        "ix_identifiers_named", "identifiers", ["value"], unique=False, postgresql_where=sa.text("kind = 'any'")
    )
    op.create_index("ix_identifiers_value", "identifiers", ["value"], unique=False)
    op.create_table(
        "identity_changes",
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("writer", sa.UUID(), nullable=False, comment="the process that knows of it already"),
        sa.Column("moved", sa.ARRAY(sa.BigInteger()), nullable=False, comment="anchors whose memberships changed"),
        sa.Column(
            "touched",
            sa.ARRAY(sa.BigInteger()),
            nullable=False,
            comment="further anchors whose links changed their state",
        ),
        sa.Column(
            "handed",
            sa.ARRAY(sa.BigInteger()),
            nullable=False,
            comment="of moved: those with several persons, before or now",
        ),
        sa.Column(
            "changed_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_identity_changes")),
    )
    op.create_table(
        "identity_mirror",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="changes up to this one are in ClickHouse"),
        sa.Column("dropped", sa.BigInteger(), nullable=False, comment="changes up to this one are no longer kept"),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_identity_mirror")),
    )
    op.create_table(
        "import_runs",
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="SHA-256 of the file"),
        sa.Column("mapping", sa.Text(), nullable=False, comment="id of the mapping"),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("rows_done", sa.BigInteger(), nullable=False, comment="rows read whose events are in the stream"),
        sa.Column("events", sa.BigInteger(), nullable=False, comment="events appended to the stream"),
        sa.Column("rejected", sa.BigInteger(), nullable=False, comment="rows that could not be used"),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("fingerprint", "mapping", name=op.f("pk_import_runs")),
    )
    op.create_table(
        "links",
        sa.Column("link_id", sa.UUID(), nullable=False, comment="evidence.link_id of the two and the rule"),
        sa.Column(
            "a", sa.BigInteger(), nullable=False, comment="identifier, the stronger; of an unbind the one removed"
        ),
        sa.Column(
            "b", sa.BigInteger(), nullable=False, comment="identifier; of an unbind the owner where known, else a"
        ),
        sa.Column("rule", sa.Text(), nullable=False, comment="seen, bind, alias, named, unbind"),
        sa.Column(
            "weight",
            sa.SmallInteger(),
            nullable=False,
            comment="resolution.weight: the first part of the weighing order",
        ),
        sa.Column("first_ms", sa.BigInteger(), nullable=False, comment="earliest event time, epoch milliseconds"),
        sa.Column("event_id", sa.Text(), nullable=False, comment="the earliest event"),
        sa.Column("source", sa.Text(), nullable=False, comment="write key of that event, or `operator`"),
        sa.Column(
            "exact",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="every sighting's time matters",
        ),
        sa.Column(
            "capped",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="one too many of its identifier",
        ),
        sa.Column("refused", sa.Text(), nullable=True, comment="CONFLICT or CAP; null = it counts"),
        sa.Column(
            "clash", sa.Text(), nullable=True, comment="of a conflict: the single kind of which there would be two"
        ),
        sa.Column(
            "passed",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="passed on instead of joining",
        ),
        sa.Column("retracted_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=True),
        sa.Column("retracted_because", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("link_id", name=op.f("pk_links")),
    )
    op.create_index("ix_links_a", "links", ["a", "capped", "weight"], unique=False)
    op.create_index("ix_links_b", "links", ["b", "capped", "weight"], unique=False)
    op.create_index(
        "ix_links_refused",
        "links",
        ["first_ms", "link_id"],
        unique=False,
        postgresql_where=sa.text("refused IS NOT NULL"),
    )
    op.create_table(
        "login_failures",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_failures")),
    )
    op.create_index("ix_login_failures_at", "login_failures", ["at"], unique=False)
    op.create_table(
        "memberships",
        sa.Column("anchor", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "since",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            nullable=False,
            comment="the first span of an anchor begins at 1970-01-01",
        ),
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("anchor", "since", name=op.f("pk_memberships")),
    )
    op.create_index("ix_memberships_person", "memberships", ["person"], unique=False)
    op.create_table(
        "operators",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False, comment="argon2id"),
        sa.Column("role", sa.Text(), nullable=False, comment="manager, operator or developer"),
        sa.Column("locale", sa.Text(), nullable=True, comment="null: the installation's"),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_operators")),
    )
    op.create_table(
        "profile_figures",
        sa.Column("name", sa.Text(), nullable=False, comment="lifecycle: thresholds; rfm: cut points"),
        sa.Column("value", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_profile_figures")),
    )
    op.create_table(
        "purchases",
        sa.Column("anchor", sa.BigInteger(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("value_fen", sa.BigInteger(), nullable=False, comment="negative: a refund"),
        sa.PrimaryKeyConstraint("anchor", "at", "key", name=op.f("pk_purchases")),
    )
    op.create_table(
        "saved_questions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False, comment="the question's JSON as it was sent"),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("updated_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_questions")),
    )
    op.create_table(
        "stream_frames",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "accepted_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("partition", "offset", name=op.f("pk_stream_frames")),
    )
    op.create_table(
        "stream_partitions",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column(
            "last_offset", sa.BigInteger(), nullable=False, comment="PostgreSQL stream: offset of the newest frame"
        ),
        sa.Column("accepted", sa.BigInteger(), nullable=False, comment="events made durable since the beginning"),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_stream_partitions")),
    )
    op.create_table(
        "stream_positions",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("done_offset", sa.BigInteger(), nullable=False, comment="frames up to here are processed"),
        sa.Column(
            "planned_offset",
            sa.BigInteger(),
            nullable=True,
            comment="end of the batch being processed; repeated exactly after a crash",
        ),
        sa.Column(
            "owner",
            sa.Text(),
            nullable=True,
            comment="processor that planned it: another one that took over fences it out",
        ),
        sa.Column("processed", sa.BigInteger(), nullable=False, comment="events fully processed since the beginning"),
        sa.Column("processed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_stream_positions")),
    )
    op.create_table(
        "superseded_traits",
        sa.Column("anchor", sa.BigInteger(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "label",
            sa.Text(collation="C"),
            nullable=True,
            comment="the person's name in lower case, where the event sets one",
        ),
        sa.Column("ops", sa.Text(), nullable=False, comment="trait.TraitEffects as JSON"),
        sa.PrimaryKeyConstraint("anchor", "at", "key", name=op.f("pk_superseded_traits")),
    )
    op.create_table(
        "tags",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("parent", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("path", sa.Text(collation="C"), nullable=False, comment="names from the root down, joined by /"),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.ForeignKeyConstraint(["parent"], ["tags.id"], name=op.f("fk_tags_parent_tags")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tags")),
        sa.UniqueConstraint("path", name=op.f("uq_tags_path")),
    )
    op.create_index(op.f("ix_tags_parent"), "tags", ["parent"], unique=False)
    op.create_table(
        "tombstones",
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("uid", sa.UUID(), nullable=False, comment="keyed hash of the erased identifier"),
        sa.Column("anchor", sa.BigInteger(), nullable=False, comment="the number it had; never given again"),
        sa.Column(
            "erased_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            nullable=False,
            comment="what happened before this instant never comes back",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_tombstones")),
        sa.UniqueConstraint("uid", name=op.f("uq_tombstones_uid")),
    )
    op.create_table(
        "touches",
        sa.Column("anchor", sa.BigInteger(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("end", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False, comment="JSON object of texts"),
        sa.PrimaryKeyConstraint("anchor", "at", "key", name=op.f("pk_touches")),
    )
    op.create_table(
        "trait_changes",
        sa.Column("anchor", sa.BigInteger(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "label",
            sa.Text(collation="C"),
            nullable=True,
            comment="the person's name in lower case, where the event sets one",
        ),
        sa.Column("ops", sa.Text(), nullable=False, comment="trait.TraitEffects as JSON"),
        sa.PrimaryKeyConstraint("anchor", "at", "key", name=op.f("pk_trait_changes")),
    )
    op.create_index(
        "ix_trait_changes_label",
        "trait_changes",
        ["label"],
        unique=False,
        postgresql_where=sa.text("label IS NOT NULL"),
    )
    op.create_table(
        "erased_ids",
        sa.Column("person_id", sa.UUID(), nullable=False, comment="keyed hash of an erased identifier"),
        sa.Column("erasure", sa.UUID(), nullable=False),
        sa.ForeignKeyConstraint(["erasure"], ["erasures.id"], name=op.f("fk_erased_ids_erasure_erasures")),
        sa.PrimaryKeyConstraint("person_id", "erasure", name=op.f("pk_erased_ids")),
    )
    op.create_table(
        "operator_sessions",
        sa.Column(
            "token_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the session number in the cookie"
        ),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator"], ["operators.name"], name=op.f("fk_operator_sessions_operator_operators"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_operator_sessions")),
    )
    op.create_index("ix_operator_sessions_operator", "operator_sessions", ["operator"], unique=False)
    op.create_table(
        "tag_ops",
        sa.Column("anchor", sa.BigInteger(), nullable=False),
        sa.Column("tag", sa.BigInteger(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("change", sa.SmallInteger(), nullable=False, comment="tag.TagChange"),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False, comment="manual, rule, import or event"),
        sa.Column("by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tag"], ["tags.id"], name=op.f("fk_tag_ops_tag_tags")),
        sa.PrimaryKeyConstraint("anchor", "tag", "at", "key", "change", name=op.f("pk_tag_ops")),
    )
    op.create_index("ix_tag_ops_tag_anchor", "tag_ops", ["tag", "anchor"], unique=False)
    op.create_table(
        "tag_paths",
        sa.Column("path", sa.Text(collation="C"), nullable=False, comment="a path the tag has or once had"),
        sa.Column("tag", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tag"], ["tags.id"], name=op.f("fk_tag_paths_tag_tags"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_tag_paths")),
    )
    op.create_index(op.f("ix_tag_paths_tag"), "tag_paths", ["tag"], unique=False)
    # Frames are lz4 inside already: spare the server a second, useless compression.
    op.execute("ALTER TABLE stream_frames ALTER COLUMN body SET STORAGE EXTERNAL")
