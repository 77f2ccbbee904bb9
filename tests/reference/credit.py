"""Attribution by plain loops: journeys, the share of every touch, and the Markov chain walked step by step."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

from siyu.rules import numeric, text_of
from siyu.rules.condition import parse_field
from siyu.rules.evaluate import read_field
from tests.reference.funnels import matches
from tests.reference.world import Happening, as_event

DAY_MS = 86_400_000
Journey = tuple[list[tuple[int, str]], int, float]
"""Touches (time, channel), the time of the conversion, its value."""


def _read(name: str, happening: Happening) -> str:
    return text_of(read_field(parse_field(name), as_event(happening)))


def journeys(
    question: dict[str, Any], happenings: Sequence[Happening], span: tuple[int, int], window_ms: int
) -> tuple[list[tuple[int, Journey]], list[list[str]]]:
    """(person, journey) of every conversion, and the touches that led nowhere."""
    rows: dict[int, list[tuple[int, int, str, float]]] = defaultdict(list)
    for h in happenings:
        channel = _read(question["channel"], h)
        touch = span[0] - window_ms <= h.at_ms < span[1] and matches(question.get("touch", {}), h) and channel != ""
        conversion = span[0] <= h.at_ms < span[1] and matches(question["conversion"], h)
        value = numeric(_read(question["value"], h)) if conversion and "value" in question else None
        if touch or conversion:
            rows[h.person].append((h.at_ms, touch + 2 * conversion, channel if touch else "", value or 0.0))
    made: list[tuple[int, Journey]] = []
    lost: list[list[str]] = []
    for person, mine in rows.items():
        open_: list[tuple[int, str]] = []
        for at, kind, channel, value in sorted(mine):
            if kind != 2:
                open_.append((at, channel))
            if kind != 1:
                made.append((person, ([one for one in open_ if at - one[0] <= window_ms], at, value)))
                open_ = []
        if open_:
            lost.append([channel for _, channel in open_])
    return made, lost


def shares(journey: Journey, model: str) -> list[float]:
    """The share of each touch of a journey that has some."""
    touches, at, _ = journey
    size = len(touches)
    last = size - 1
    if model == "last_non_direct":
        last = max((i for i, (_, channel) in enumerate(touches) if channel != "direct"), default=last)
    if model in ("first", "last", "last_non_direct"):
        return [float(i == (0 if model == "first" else last)) for i in range(size)]
    if model == "time_decay":
        weights = [2 ** (-(at - moment) / DAY_MS / 7) for moment, _ in touches]
    elif model == "position" and size > 2:
        weights = [0.4 if i in (0, size - 1) else 0.2 / (size - 2) for i in range(size)]
    else:
        weights = [1.0] * size
    return [weight / sum(weights) for weight in weights]


def removal_effects(made: Sequence[list[str]], lost: Sequence[list[str]]) -> dict[str, float]:
    """The share of conversions lost without each channel, by walking the chain until nobody is left under way."""
    moves: Counter[tuple[str, str]] = Counter()
    for path, end in [*((path, "*won") for path in made), *((path, "*lost") for path in lost)]:
        states = ["*start", *(channel for channel, _ in groupby(path)), end]
        moves.update(pairwise(states))
    leaving: Counter[str] = Counter()
    for (here, _), count in moves.items():
        leaving[here] += count

    def won(removed: str | None) -> float:
        under_way, arrived = {"*start": 1.0}, 0.0
        for _ in range(3000):
            after: dict[str, float] = defaultdict(float)
            for (here, there), count in moves.items():
                if here != removed and here in under_way:
                    after[there] += under_way[here] * count / leaving[here]
            arrived += after.pop("*won", 0.0)
            after.pop("*lost", None)
            under_way = after
            if sum(under_way.values()) < 1e-15:
                break
        return arrived

    channels = {channel for path in [*made, *lost] for channel in path}
    return {channel: 1 - won(channel) / won(None) for channel in channels}


def credit(made: Sequence[Journey], model: str) -> dict[str, tuple[float, float]]:
    """Channel → conversions and value credited by a rule."""
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for journey in made:
        for (_, channel), share in zip(journey[0], shares(journey, model), strict=True):
            found[channel][0] += share
            found[channel][1] += share * journey[2]
    return {channel: (conversions, value) for channel, (conversions, value) in found.items()}
