"""Events of our own vocabulary that change a profile whatever dialect brings them: consent and manual tags. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from siyu.collect.event import Effects

CONSENT_UPDATED: Final = "consent.updated"
TAG_ADDED: Final = "tag.added"
TAG_REMOVED: Final = "tag.removed"
SEGMENT_ENTERED: Final = "segment.entered"
SEGMENT_LEFT: Final = "segment.left"
CHECKIN: Final = "checkin"
ORDER_VOIDED: Final = "order.voided"
TIER_CHANGED: Final = "tier.changed"
INVITE_SUCCEEDED: Final = "invite.succeeded"
ENROLLED: Final = "person.enrolled"
"""Somebody was given something and is known since: they were there, and have been seen then."""
OF_SEGMENTS: Final = (SEGMENT_ENTERED, SEGMENT_LEFT)
OWN: Final = frozenset((CONSENT_UPDATED, TAG_ADDED, TAG_REMOVED))


def apply(name: str, properties: Mapping[str, Any], effects: Effects) -> None:
    """Write into `effects` what the event `name` of our own asks for; nothing for every other name."""
    if name == CONSENT_UPDATED:
        effects.consent = consents(properties)
    elif name == TAG_ADDED:
        effects.tags_add = tags(properties)
    elif name == TAG_REMOVED:
        effects.tags_remove = tags(properties)


def consents(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`{"purpose","channel"?,"granted"}` in the properties themselves or in a list `consents`."""
    listed = properties.get("consents")
    found = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return found if found else [dict(properties)] if "purpose" in properties else []


def tags(properties: Mapping[str, Any]) -> list[str]:
    """The tag paths in `tag` or `tags`."""
    listed = properties.get("tags", properties.get("tag"))
    listed = listed if isinstance(listed, list) else [listed]
    return [item for item in listed if isinstance(item, str) and item.strip()]


def consent_of_context(consent: object) -> list[dict[str, Any]]:
    """Segment's `context.consent.categoryPreferences` as consents."""
    preferences = consent.get("categoryPreferences") if isinstance(consent, Mapping) else None
    if not isinstance(preferences, Mapping):
        return []
    return [
        {"purpose": str(purpose), "granted": granted}
        for purpose, granted in preferences.items()
        if isinstance(granted, bool)
    ]
