"""Consent (授权同意): what a person allows, per purpose and channel, as a fold over decisions.

A decision without a channel is about all channels of its purpose. The newest decision by event time counts; at one
instant a withdrawal wins. A channel's own decision stands against an older or newer grant for all channels, but a
newer withdrawal for all channels ends it: what a person refused is never widened by a general yes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

ALL_CHANNELS: Final = "*"
PURPOSE_CHARS_MAX: Final = 50


class Decision(NamedTuple):
    """One decision of a person."""

    at_ms: int
    event_id: str
    withdrawn: bool
    purpose: str
    channel: str
    """sms, email, push, wecom …, or `*`."""
    source: str
    text_version: str
    """Which wording the person agreed to; empty where the sender did not say."""

    @property
    def granted(self) -> bool:
        """Whether the person said yes."""
        return not self.withdrawn


Consents = Mapping[str, Mapping[str, Decision]]
"""purpose → channel (or `*`) → the decision that counts."""


def fold_consent(decisions: Iterable[Decision]) -> dict[str, dict[str, Decision]]:
    """The newest decision per purpose and channel. Pure: order and duplicates of `decisions` do not matter."""
    newest: dict[tuple[str, str], Decision] = {}
    for decision in decisions:
        place = decision.purpose, decision.channel
        # Tuples compare by (time, event id, withdrawn): but a withdrawal must win before the event id is looked at.
        if (other := newest.get(place)) is None or _weight(decision) > _weight(other):
            newest[place] = decision
    folded: dict[str, dict[str, Decision]] = {}
    for purpose, channel in sorted(newest):
        folded.setdefault(purpose, {})[channel] = newest[purpose, channel]
    return folded


def _weight(decision: Decision) -> tuple[object, ...]:
    return decision.at_ms, decision.withdrawn, decision


def allows(consents: Consents, purpose: str, channel: str) -> bool | None:
    """Whether a message for `purpose` may go over `channel`; None when the person never decided."""
    by_channel = consents.get(purpose, {})
    general = by_channel.get(ALL_CHANNELS)
    own = by_channel.get(channel)
    if own is None:
        return None if general is None else general.granted
    if own.granted and general is not None and general.withdrawn and general.at_ms >= own.at_ms:
        return False
    return own.granted
