"""The one SQLAlchemy MetaData on which every room declares its tables.

Names of constraints are derived from a convention, so that a later migration can name what it changes.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import MetaData

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Shared by every `tables.py`. A CHECK needs a name of its own (`ck_<table>_<name>`)."""
