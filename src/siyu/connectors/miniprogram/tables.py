"""Mini-programs whose login codes we may exchange."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from siyu.store.metadata import metadata

SORTED = Text(collation="C")

mini_programs = Table(
    "mini_programs",
    metadata,
    Column("appid", SORTED, primary_key=True),
    Column("label", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False, comment="AppSecret, sealed with the installation's secret"),
    Column("active", Boolean, nullable=False),
    Column("changed_at", TIMESTAMP(timezone=True, precision=3), nullable=False),
    Column("used_at", TIMESTAMP(timezone=True, precision=3), comment="of the last login, to the minute"),
    Column("problem", Text, nullable=False, comment="what WeChat said against appid or secret last; empty: nothing"),
    Column("problem_at", TIMESTAMP(timezone=True, precision=3)),
)
