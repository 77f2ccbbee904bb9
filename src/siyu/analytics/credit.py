"""Attribution models: how the credit of conversions is divided among the channels of their journeys. Pure.

Rules: first, last, last that is not direct, linear, position (40 % first, 40 % last, 20 % between; two touches half
each), time decay (2^(−days/7)). Markov, order 1: the journeys are a chain start → channels → conversion or nowhere
(repeats of a channel in a row count once); a channel's removal effect is the share of conversions lost when every visit
to it leads nowhere; credit is in proportion to the effects. Computed by absorbing-chain algebra, not by simulation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

_HALF_LIFE_DAYS: Final = 7.0
Credit = dict[str, tuple[float, float]]
"""Channel → conversions and value credited."""


class Journey(NamedTuple):
    """The touches before one conversion, oldest first."""

    channels: tuple[str, ...]
    ages_days: tuple[float, ...]
    """How long before the conversion each touch was."""
    value: float


def _weights(journey: Journey, model: str, direct: str) -> list[float]:
    """The share of each touch; the shares add up to 1."""
    size = len(journey.channels)
    chosen = {"first": 0, "last": size - 1}.get(model)
    if model == "last_non_direct":
        others = [i for i, channel in enumerate(journey.channels) if channel != direct]
        chosen = others[-1] if others else size - 1
    if chosen is not None:
        return [float(i == chosen) for i in range(size)]
    if model == "time_decay":
        # Relative to the newest touch: old journeys would otherwise underflow to nothing.
        raw = [2.0 ** (-(age - journey.ages_days[-1]) / _HALF_LIFE_DAYS) for age in journey.ages_days]
        return [weight / sum(raw) for weight in raw]
    if model == "position" and size > 2:
        return [0.4, *[0.2 / (size - 2)] * (size - 2), 0.4]
    return [1 / size] * size


def rule_credit(journeys: Sequence[Journey], model: str, *, direct: str = "direct") -> Credit:
    """Credit by one of the rules; `journeys` have at least one touch each."""
    conversions: dict[str, float] = defaultdict(float)
    value: dict[str, float] = defaultdict(float)
    for journey in journeys:
        for channel, weight in zip(journey.channels, _weights(journey, model, direct), strict=True):
            conversions[channel] += weight
            value[channel] += weight * journey.value
    return {channel: (conversions[channel], value[channel]) for channel in conversions}


def markov_credit(journeys: Sequence[Journey], lost: Sequence[tuple[str, ...]]) -> tuple[Credit, dict[str, float]]:
    """Credit by removal effects, and the effects. `lost`: journeys that led nowhere."""
    if not journeys:
        return {}, {}
    channels = sorted({c for journey in journeys for c in journey.channels} | {c for path in lost for c in path})
    moves = _moves(journeys, lost, channels)
    base = _reaching(moves, None)
    effects = {channel: 1 - _reaching(moves, i) / base for i, channel in enumerate(channels)}
    total = sum(effects.values())
    spent = sum(journey.value for journey in journeys)
    credit = {channel: (effect / total * len(journeys), effect / total * spent) for channel, effect in effects.items()}
    return credit, effects


def _moves(
    journeys: Sequence[Journey], lost: Sequence[tuple[str, ...]], channels: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Probabilities: rows start, channels; columns start, channels, conversion. What is missing to 1 leads nowhere."""
    place = {channel: i + 1 for i, channel in enumerate(channels)}
    end = len(channels) + 1
    counts: Counter[tuple[int, int]] = Counter()
    paths = [(journey.channels, True) for journey in journeys] + [(path, False) for path in lost]
    leaving: Counter[int] = Counter()
    for path, converted in paths:
        states = [0, *(place[channel] for channel, _ in groupby(path)), end if converted else -1]
        for here, there in pairwise(states):
            leaving[here] += 1
            if there >= 0:
                counts[here, there] += 1
    moves = np.zeros((end, end + 1))
    for (here, there), count in counts.items():
        moves[here, there] = count / leaving[here]
    return moves


def _reaching(moves: npt.NDArray[np.float64], removed: int | None) -> float:
    """The probability of a conversion from the start, with every visit to channel `removed` leading nowhere."""
    inner, out = moves[:, :-1].copy(), moves[:, -1].copy()
    if removed is not None:
        inner[removed + 1] = 0
        out[removed + 1] = 0
    return float(np.linalg.solve(np.eye(len(inner)) - inner, out)[0])
