"""How often and for how much customers will buy again: BG/NBD and gamma-gamma, fitted by maximum likelihood. Pure.

BG/NBD (Fader, Hardie, Lee 2005): while alive a customer buys at a rate that differs by a gamma(r, alpha); after each
purchase it is lost with a chance that differs by a beta(a, b). A customer is x repeat purchases, the last t_x after the
first, observed for T. Gamma-gamma: spend per purchase, independent of how often. Time is in weeks.
"""

from __future__ import annotations

from collections.abc import Callable
from math import lgamma
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
_STEPS_MAX: Final = 2_000
_TERMS_MAX: Final = 20_000
_TOLERANCE: Final = 1e-9


class Customers(NamedTuple):
    """Columns: repeat purchases, weeks from the first to the last, weeks observed, mean spend of a repeat purchase."""

    repeats: Floats
    recency: Floats
    age: Floats
    spend: Floats


class Buying(NamedTuple):
    """Fitted BG/NBD."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float


class Spending(NamedTuple):
    """Fitted gamma-gamma."""

    p: float
    q: float
    gamma: float
    log_likelihood: float


def _lgamma_of(base: float, whole: Floats) -> Floats:
    """log Γ(base + n) for a column of few different numbers n."""
    different, place = np.unique(whole, return_inverse=True)
    return np.array([lgamma(base + n) for n in different.tolist()])[place]


def minimise(function: Callable[[Floats], float], start: Floats, size: float = 0.5) -> Floats:
    """Nelder and Mead's simplex, until the corners agree to about nine digits."""
    corners = [start, *(start + size * np.eye(len(start))[i] for i in range(len(start)))]
    points = sorted(((function(corner), corner) for corner in corners), key=lambda point: point[0])
    for _ in range(_STEPS_MAX):
        spread = max(float(np.abs(corner - points[0][1]).max()) for _, corner in points)
        if points[-1][0] - points[0][0] < _TOLERANCE * (1 + abs(points[0][0])) and spread < 1e-6:
            break
        center = np.mean([corner for _, corner in points[:-1]], axis=0)
        worst = points[-1][1]

        def at(factor: float, center: Floats = center, worst: Floats = worst) -> tuple[float, Floats]:
            corner = center + factor * (center - worst)
            return function(corner), corner

        tried = at(1.0)
        if tried[0] < points[0][0]:
            tried = min(tried, at(2.0), key=lambda point: point[0])
        elif tried[0] >= points[-2][0]:
            tried = min(tried, at(0.5 if tried[0] < points[-1][0] else -0.5), key=lambda point: point[0])
        if tried[0] < points[-1][0]:
            points[-1] = tried
        else:
            best = points[0][1]
            points[1:] = [(function(c), c) for c in (best + 0.5 * (corner - best) for _, corner in points[1:])]
        points.sort(key=lambda point: point[0])
    best_corner: Floats = points[0][1]
    return best_corner


def fit_buying(customers: Customers) -> Buying:
    """The BG/NBD that makes these customers most likely. Equal customers are computed once."""
    columns = np.stack([customers.repeats, customers.recency, customers.age], axis=1)
    (x, t_x, t), count = _counted(columns)

    def minus(logs: Floats) -> float:
        return -_buying_likelihood(np.exp(np.clip(logs, -12, 12)), (x, t_x, t), count)

    found = np.exp(np.clip(minimise(minus, np.zeros(4)), -12, 12))
    r, alpha, a, b = found.tolist()
    return Buying(r, alpha, a, b, _buying_likelihood(found, (x, t_x, t), count))


def _counted(columns: Floats) -> tuple[Floats, Floats]:
    different, count = np.unique(columns, axis=0, return_counts=True)
    return different.T, count.astype(np.float64)


def _buying_likelihood(parameters: Floats, customer: tuple[Floats, Floats, Floats] | Floats, count: Floats) -> float:
    (r, alpha, a, b), (x, t_x, t) = parameters.tolist(), customer
    shape = _lgamma_of(r, x) - lgamma(r) + r * np.log(alpha)
    shape += lgamma(a + b) + _lgamma_of(b, x) - lgamma(b) - _lgamma_of(a + b, x)
    alive = -(r + x) * np.log(alpha + t)
    with np.errstate(divide="ignore", invalid="ignore"):
        gone = np.log(a) - np.log(b + x - 1) - (r + x) * np.log(alpha + t_x)
    gone = np.where(x > 0, gone, -np.inf)
    return float(((shape + np.logaddexp(alive, gone)) * count).sum())


def fit_spending(customers: Customers) -> Spending:
    """The gamma-gamma that makes the repeat buyers' mean spends most likely. Customers need repeats and spend > 0."""
    x, m = customers.repeats, customers.spend
    scale = float(m.mean())  # fitted in units of the mean spend: the search then starts near the answer

    def minus(logs: Floats) -> float:
        return -_spending_likelihood(np.exp(np.clip(logs, -12, 12)), x, m / scale)

    p, q, gamma = np.exp(np.clip(minimise(minus, np.zeros(3)), -12, 12)).tolist()
    return Spending(p, q, gamma * scale, _spending_likelihood(np.array([p, q, gamma * scale]), x, m))


def _spending_likelihood(parameters: Floats, x: Floats, m: Floats) -> float:
    p, q, gamma = parameters.tolist()
    terms = _lgamma_of(q, p * x) - _lgamma_of(0.0, p * x) - lgamma(q) + q * np.log(gamma)
    terms += (p * x - 1) * np.log(m) + p * x * np.log(x) - (p * x + q) * np.log(gamma + m * x)
    return float(terms.sum())


def probability_alive(model: Buying, customers: Customers) -> Floats:
    """The chance that each customer still buys."""
    x = customers.repeats
    ratio = (model.alpha + customers.age) / (model.alpha + customers.recency)
    gone = model.a / np.where(x > 0, model.b + x - 1, 1) * ratio ** (model.r + x)
    return np.where(x > 0, 1 / (1 + gone), 1.0)


def expected_purchases(model: Buying, customers: Customers, weeks: float) -> Floats:
    """The purchases each customer is expected to make in the next `weeks`."""
    x, (r, alpha, a, b, _) = customers.repeats, model
    if abs(a - 1) < 1e-9:
        a = 1 + 1e-9
    whole = alpha + customers.age + weeks
    series = _hypergeometric(r + x, b + x, a + b + x - 1, weeks / whole)
    still = 1 - ((alpha + customers.age) / whole) ** (r + x) * series
    return (a + b + x - 1) / (a - 1) * still * probability_alive(model, customers)


def _hypergeometric(a: Floats, b: Floats, c: Floats, z: Floats) -> Floats:
    """Gauss's 2F1 by its series, 0 ≤ z < 1."""
    term = np.ones(np.broadcast(a, z).shape)
    total = term.copy()
    for n in range(_TERMS_MAX):
        term = term * (a + n) * (b + n) / ((c + n) * (n + 1)) * z
        total += term
        if float(np.abs(term).max(initial=0)) < 1e-13 * float(np.abs(total).max(initial=1)):
            break
    return total


def expected_spend(model: Spending, customers: Customers) -> Floats:
    """The mean spend of a purchase each customer will come to; that of the population for those without repeats."""
    x = customers.repeats
    return model.p * (model.gamma + customers.spend * x) / (model.p * x + model.q - 1)
