"""What events ask to change of profiles, as rows for the logs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final, NamedTuple, TypeGuard

import msgspec

from siyu.collect.event import Effects
from siyu.collect.frame import dedupe_hash
from siyu.profile.consent import ALL_CHANNELS, PURPOSE_CHARS_MAX
from siyu.profile.tag import TagChange, WrongTag, tag_path
from siyu.profile.touch import clean_fields
from siyu.profile.trait import NAME_CHARS_MAX, NO_TRAITS, VALUE_BYTES_MAX, TraitEffects

_encode: Final = msgspec.json.Encoder().encode
_SIGN: Final = 1 << 63
LABELS: Final = ("name", "$name", "nickname", "username")
"""Traits that name a person, the first one present counts."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ProfileChange(NamedTuple):
    """One event that changes profiles."""

    anchor: int
    at_ms: int
    event_id: str
    source: str
    """The write key's id."""
    end: str
    effects: Effects


class Problem(NamedTuple):
    """A part of an event that could not be taken into the profile."""

    anchor: int
    event_id: str
    source: str
    code: str
    reason: str


class TraitRow(NamedTuple):
    """A row of trait_changes: all trait operations of one event."""

    anchor: int
    at: datetime
    key: int
    event_id: str
    source: str
    label: str | None
    """The person's name, when the event sets one: what the console searches."""
    ops: str
    """`trait.TraitEffects` as JSON."""


class TagRow(NamedTuple):
    """A row of tag_ops, its tag still named by path."""

    anchor: int
    path: str
    at: datetime
    key: int
    change: int
    event_id: str
    origin: str
    by: str


class ConsentRow(NamedTuple):
    """A row of consent_ops."""

    anchor: int
    purpose: str
    channel: str
    at: datetime
    key: int
    withdrawn: bool
    event_id: str
    source: str
    text_version: str


class TouchRow(NamedTuple):
    """A row of touches."""

    anchor: int
    at: datetime
    key: int
    event_id: str
    source: str
    end: str
    fields: str


class _Placed(NamedTuple):
    anchor: int
    at: datetime
    key: int
    event_id: str
    source: str
    end: str
    effects: Effects


class Rows(NamedTuple):
    """What a batch of changes writes."""

    traits: list[TraitRow]
    tags: list[TagRow]
    consents: list[ConsentRow]
    touches: list[TouchRow]
    problems: list[Problem]


def instant(ms: int) -> datetime:
    """Epoch milliseconds as aware UTC. Raises OverflowError outside the calendar (years 1 to 9999)."""
    return EPOCH + timedelta(milliseconds=ms)


def event_key(source: str, event_id: str) -> int:
    """The 64 bits of (source, event id) as a signed number, as PostgreSQL keeps them."""
    number = dedupe_hash(source, event_id)
    return number - (1 << 64) if number >= _SIGN else number


def rows_of(changes: Iterable[ProfileChange]) -> Rows:
    """The rows of `changes`; what does not fit becomes a Problem and harms nothing else."""
    rows = Rows([], [], [], [], [])
    for sent in changes:
        effects = sent.effects
        key = event_key(sent.source, sent.event_id)
        try:
            at = instant(sent.at_ms)
        except OverflowError:
            rows.problems.append(_problem(sent, "IMPOSSIBLE_TIME", "The time of the event is outside the calendar."))
            continue
        # PostgreSQL text has no NUL; an id with one must not cost the batch.
        change = _Placed(sent.anchor, at, key, sent.event_id.replace("\x00", ""), sent.source, sent.end, effects)
        _traits(rows, change)
        if effects.tags_add or effects.tags_remove:
            _tags(rows, change)
        if effects.consent:
            _consents(rows, change)
        if effects.touch and (fields := clean_fields(effects.touch)):
            rows.touches.append(
                TouchRow(
                    change.anchor,
                    change.at,
                    change.key,
                    change.event_id,
                    change.source,
                    change.end,
                    _encode(fields).decode(),
                )
            )
    return rows


def _traits(rows: Rows, change: _Placed) -> None:
    effects = change.effects
    asked = TraitEffects(
        set=effects.set,
        set_once=effects.set_once,
        append=effects.append,
        increment=effects.increment,
        unset=effects.unset,
        delete=effects.delete,
    )
    if asked == NO_TRAITS:
        return
    if effects.increment and not all(map(isfinite, effects.increment.values())):
        endless = {name for name, number in effects.increment.items() if not isfinite(number)}
        rows.problems.extend(_problem(change, "NOT_A_NUMBER", f"{name!r} cannot grow for ever.") for name in endless)
        asked = asked.without(endless)
    text = _encode(asked)
    if len(text) > VALUE_BYTES_MAX or any(len(name) > NAME_CHARS_MAX or not name for name in asked.names()):
        asked = _within_limits(rows, change, asked)
        if asked == NO_TRAITS:
            return
        text = _encode(asked)
    label = next((value for name in LABELS if isinstance(value := effects.set.get(name), str)), None)
    if label is not None:
        label = label.replace("\x00", "")[:NAME_CHARS_MAX].lower()
    rows.traits.append(
        TraitRow(change.anchor, change.at, change.key, change.event_id, change.source, label, text.decode())
    )


def _within_limits(rows: Rows, change: _Placed, asked: TraitEffects) -> TraitEffects:
    """`asked` without the names and values over their limits, each of which becomes a Problem."""
    wrong: set[str] = set()
    for name, value in asked.items():
        if not 0 < len(name) <= NAME_CHARS_MAX:
            code, why = "WRONG_TRAIT_NAME", f"has not 1 to {NAME_CHARS_MAX} characters"
        elif len(_encode(value)) > VALUE_BYTES_MAX:
            code, why = "TRAIT_TOO_LARGE", f"has a value over {VALUE_BYTES_MAX} bytes"
        else:
            continue
        wrong.add(name)
        rows.problems.append(_problem(change, code, f"The trait {name[:NAME_CHARS_MAX]!r} {why}."))
    return asked.without(wrong)


def _tags(rows: Rows, change: _Placed) -> None:
    for kind, texts in ((TagChange.ADD, change.effects.tags_add), (TagChange.REMOVE, change.effects.tags_remove)):
        for text in texts:
            try:
                path = tag_path(text)
            except WrongTag as error:
                rows.problems.append(_problem(change, error.code, str(error)))
                continue
            rows.tags.append(
                TagRow(change.anchor, path, change.at, change.key, kind, change.event_id, "event", change.source)
            )


def _consents(rows: Rows, change: _Placed) -> None:
    for item in change.effects.consent:
        purpose, channel, granted = item.get("purpose"), item.get("channel") or ALL_CHANNELS, item.get("granted")
        if not _word(purpose) or not _word(channel) or not isinstance(granted, bool):
            rows.problems.append(
                _problem(
                    change, "WRONG_CONSENT", "A consent needs a purpose, granted true or false, and perhaps a channel."
                )
            )
            continue
        version = item.get("text_version", "")
        version = str(version).replace("\x00", "")[:NAME_CHARS_MAX] if isinstance(version, str | int) else ""
        rows.consents.append(
            ConsentRow(
                change.anchor,
                purpose,
                channel,
                change.at,
                change.key,
                not granted,
                change.event_id,
                change.source,
                version,
            )
        )


def _word(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and 0 < len(text) <= PURPOSE_CHARS_MAX and text.isprintable()


def _problem(change: ProfileChange | _Placed, code: str, reason: str) -> Problem:
    return Problem(change.anchor, change.event_id, change.source, code, reason)


def distinct_paths(rows: Sequence[TagRow]) -> list[str]:
    """The tag paths that `rows` name."""
    return sorted({row.path for row in rows})
