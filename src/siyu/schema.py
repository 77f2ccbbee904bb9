"""All PostgreSQL tables of all rooms, on one metadata: what migrations and a fresh database start from."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from sqlalchemy import MetaData

from siyu.store.metadata import metadata

ROOMS: Final = (
    "store",
    "stream",
    "ledger",
    "calendar",
    "collect",
    "identity",
    "profile",
    "segments",
    "analytics",
    "loyalty",
    "coupons",
    "shop",
    "membership",
    "processor",
    "connectors.miniprogram",
    "connectors.shop",
    "importer",
    "demo",
    "console",
)
"""Rooms that own tables, lowest first."""


def complete_metadata() -> MetaData:
    """The metadata with every room's tables on it."""
    for room in ROOMS:
        import_module(f"siyu.{room}.tables")
    return metadata
