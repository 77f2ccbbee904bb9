"""One event, whatever dialect it came in (DESIGN 3)."""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, gc=False):
    """A behaviour as every door hands it on. Times are epoch milliseconds UTC."""

    event_id: str
    """The sender's message id, or a hash of the content where the dialect has none. Unique per source."""
    name: str
    occurred_ms: int
    """When it happened, corrected for the sender's clock."""
    anchor: str
    """`ids.identifier_key` of the strongest identifier carried."""
    others: str | None = None
    """The other identifiers carried, keys joined by `\\x1e`."""
    properties: str = "{}"
    """JSON object as text."""
    context: str = "{}"
    """JSON object as text."""
    value_fen: int = 0
    """Money of a purchase (positive) or refund (negative), in fen; 0 for everything else."""
    effects: Effects | None = None
    """What the event asks to change beside being stored. None for most events."""
    end: str = ""
    """mini_program, official_account, wecom, web, app, store, server …; empty = the write key's end."""


class Link(msgspec.Struct, gc=False, omit_defaults=True):
    """Evidence about identifiers stated by an event (beyond 'they were on one event', which needs no Link)."""

    rule: str
    """`bind` (these are one person's), `alias` (declared: the same person), `unbind` (no longer this person's)."""
    keys: list[str]
    """Identifier keys. For `alias`: [key named, key it is the same as]; a named value whose kind is not known is
    written with the kind `any` (`any\\x1fVALUE`): it binds whichever kinds of that value have evidence of their own.
    For `unbind`: [key removed, key of the owner where known]."""


class Effects(msgspec.Struct, gc=False, omit_defaults=True):
    """Changes of the profile and of identity that an event carries. Empty fields mean: no change."""

    set: dict[str, Any] = {}
    set_once: dict[str, Any] = {}
    increment: dict[str, float] = {}
    append: dict[str, list[Any]] = {}
    unset: list[str] = []
    delete: bool = False
    """Forget all traits set before this event."""
    links: list[Link] = []
    touch: dict[str, str] = {}
    """Where the person came from: utm_source, utm_medium, utm_campaign, utm_content, utm_term, scene, state (渠道活码),
    inviter, referrer, click_id."""
    consent: list[dict[str, Any]] = []
    """[{"purpose", "channel"?, "granted": bool}]"""
    tags_add: list[str] = []
    tags_remove: list[str] = []


class Rejected(msgspec.Struct, gc=False):
    """An event, or a whole body, that cannot be processed: kept as a dead letter with its reason."""

    code: str
    reason: str
    body: bytes
    """What was sent, as it came (cut at the event limit)."""
    event_id: str = ""
    dialect: str = ""
    """`segment`, `sensors`, `posthog`: which parser reads `body` on a replay."""
