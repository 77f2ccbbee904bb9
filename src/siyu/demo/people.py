"""The customers of the demo brand: who they are, which ends they use, what identifiers they leave there."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from siyu.demo import brand
from siyu.demo.season import DAYS, Floats

RECYCLED_PHONES: Final = 16 / 20_000
"""Numbers, per person, that the operator gave to a second person of the brand."""
SHARED_TABLETS: Final = 150 / 20_000
"""Devices, per person, on which two people log in by turns."""
BORROWED_LOGINS: Final = 24 / 20_000
"""How many of all people log in to somebody else's account inside their own WeChat: evidence that must be refused."""

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

CHANNELS: Final = ("search", "share", "code", "article", "organic", "campaign", "app_store", "counter")
_CHANNEL_PARTS: Final = (0.17, 0.15, 0.16, 0.10, 0.11, 0.20, 0.06, 0.05)
SHARE, CODE, ARTICLE, CAMPAIGN, COUNTER = 1, 2, 3, 5, 7
_ENDS_OF_CHANNEL: Final = {
    # mini_program, web, app, official_account, wecom, store
    "search": (1.0, 0.10, 0.06, 0.25, 0.10, 0.04),
    "share": (1.0, 0.06, 0.06, 0.22, 0.16, 0.03),
    "code": (0.86, 0.08, 0.06, 0.30, 1.0, 0.16),
    "article": (0.72, 0.12, 0.05, 1.0, 0.14, 0.03),
    "organic": (0.28, 1.0, 0.10, 0.12, 0.05, 0.02),
    "campaign": (0.30, 1.0, 0.09, 0.10, 0.06, 0.01),
    "app_store": (0.30, 0.20, 1.0, 0.12, 0.06, 0.02),
    "counter": (0.55, 0.05, 0.05, 0.25, 0.42, 1.0),
}
ENDS: Final = ("mini_program", "web", "app", "official_account", "wecom", "store")
MP, WEB, APP, OA, WECOM, STORE = range(6)


class People(NamedTuple):
    """One array per attribute, one place per person."""

    arrival: Floats
    """Days after the start of the period, with fraction."""
    channel: Ints
    campaign: Ints
    code: Ints
    inviter: Ints
    """Place of the person who shared; −1 without."""
    ends: Flags
    """[person, end]"""
    interest: Ints
    """0 tea, 1 cat, 2 dog."""
    tier: Ints
    """0 once, 1 casual, 2 regular, 3 loyal."""
    appetite: Floats
    """Multiplies the chance to put something into the cart."""
    registers: Flags
    cycles: Flags
    """Comes back when the bag is empty."""
    city: Ints
    second_device: Flags
    unionid_known: Flags
    phone: list[str]
    name: list[str]
    pet: list[str]
    tablet: Ints
    """Number of a shared tablet, −1 without."""
    borrows: Ints
    """Place of the person whose account was used once, −1 without."""
    salt: list[str]
    """16 hexadecimal digits from which the person's ids are made."""


def populate(rng: np.random.Generator, weights: Floats, persons: int) -> People:
    """Draw everybody. `weights`: how busy the days are."""
    n = persons
    channel = rng.choice(len(CHANNELS), n, p=_CHANNEL_PARTS)
    campaign = rng.choice(len(brand.CAMPAIGNS), n, p=[item.share for item in brand.CAMPAIGNS])
    arrival = _arrivals(rng, weights, channel, campaign)
    tier = rng.choice(4, n, p=(0.34, 0.36, 0.22, 0.08))
    through = channel == CAMPAIGN
    stay = np.where(through, np.array([item.stay for item in brand.CAMPAIGNS])[campaign], 1.0)
    tier = np.where((stay < 0.5) & (rng.random(n) < 0.8), 0, tier)
    tier = np.where((stay > 1.3) & (rng.random(n) < 0.4), np.minimum(tier + 1, 3), tier)
    appetite = rng.gamma(3.0, 1 / 3.0, n)
    appetite *= np.where(through, np.array([item.interest for item in brand.CAMPAIGNS])[campaign], 1.0)
    registers = rng.random(n) < np.array((0.42, 0.74, 0.93, 0.99))[tier] * np.where(stay < 0.5, 0.45, 1.0)
    registers |= channel == COUNTER
    interest = rng.choice(3, n, p=(0.40, 0.38, 0.22))
    # What is odd about them shows only in those who come again.
    recycled, tablets, borrowed = _oddities(rng, arrival, registers & (tier >= 1))
    names = [
        brand.SURNAMES[first] + brand.GIVEN[second]
        for first, second in zip(
            rng.integers(0, len(brand.SURNAMES), n).tolist(), rng.integers(0, len(brand.GIVEN), n).tolist(), strict=True
        )
    ]
    ends = _ends(rng, channel)
    ends[tablets >= 0, APP] = True
    ends[borrowed >= 0, MP] = True
    return People(
        arrival=arrival,
        channel=channel,
        campaign=campaign,
        code=rng.choice(len(brand.CODES), n, p=[item.share for item in brand.CODES]),
        inviter=_inviters(rng, arrival, channel, tier),
        ends=ends,
        interest=interest,
        tier=tier,
        appetite=appetite,
        registers=registers,
        cycles=registers & (rng.random(n) < np.array((0.05, 0.22, 0.5, 0.75))[tier] * np.minimum(appetite, 1.4)),
        city=rng.choice(len(brand.CITIES), n, p=[part for _, _, part in brand.CITIES]),
        second_device=rng.random(n) < 0.18,
        unionid_known=rng.random(n) < 0.88,
        phone=_phones(rng, n, recycled),
        name=names,
        pet=[brand.PETS[place] for place in rng.integers(0, len(brand.PETS), n).tolist()],
        tablet=tablets,
        borrows=borrowed,
        salt=[f"{value:016x}" for value in rng.integers(0, 1 << 63, n).tolist()],
    )


def _arrivals(rng: np.random.Generator, weights: Floats, channel: Ints, campaign: Ints) -> Floats:
    """A quarter were customers before; the others come with growth, sales and campaigns."""
    n = len(channel)
    growth = weights * np.linspace(0.8, 1.35, DAYS)
    day = rng.choice(DAYS, n, p=growth / growth.sum()).astype(np.float64)
    known = rng.random(n) < 0.25
    day = np.where(known, rng.integers(0, 24, n), day)
    starts = np.array([item.window[0] for item in brand.CAMPAIGNS])[campaign] * DAYS
    ends = np.array([item.window[1] for item in brand.CAMPAIGNS])[campaign] * DAYS
    through = channel == CAMPAIGN
    day = np.where(through, np.floor(starts + (ends - starts) * rng.random(n)), day)
    return np.minimum(day, DAYS - 1) + 0.3


def _ends(rng: np.random.Generator, channel: Ints) -> Flags:
    chances = np.array([_ENDS_OF_CHANNEL[name] for name in CHANNELS])[channel]
    return rng.random(chances.shape) < chances


def _inviters(rng: np.random.Generator, arrival: Floats, channel: Ints, tier: Ints) -> Ints:
    """Who shared with whom: loyal people who were there before; some invite many."""
    order = np.argsort(arrival, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    seeds = order[tier[order] >= 2]
    seed_ranks = rank[seeds]
    before = np.searchsorted(seed_ranks, rank)
    # A square makes a few early ones invite many.
    picked = (rng.random(len(order)) ** 2 * before).astype(np.int64)
    return np.where((channel == SHARE) & (before > 0), seeds[np.minimum(picked, len(seeds) - 1)], -1)


def _oddities(rng: np.random.Generator, arrival: Floats, registers: Flags) -> tuple[list[tuple[int, int]], Ints, Ints]:
    """Recycled phones as (earlier, later) pairs; shared tablets; borrowed logins. Nobody is in two of them."""
    persons = len(arrival)
    early = np.flatnonzero(registers & (arrival < 30))
    late = np.flatnonzero(registers & (arrival > 120))
    rng.shuffle(early)
    rng.shuffle(late)
    phones = round(persons * RECYCLED_PHONES)
    recycled = list(zip(early[:phones].tolist(), late[:phones].tolist(), strict=True))
    rest = early[phones:]
    tablets, borrowed = np.full(persons, -1, np.int64), np.full(persons, -1, np.int64)
    for number in range(round(persons * SHARED_TABLETS)):
        tablets[rest[:2]] = number
        rest = rest[2:]
    for _ in range(round(persons * BORROWED_LOGINS)):
        borrowed[rest[0]] = rest[1]
        rest = rest[2:]
    return recycled, tablets, borrowed


def _phones(rng: np.random.Generator, persons: int, recycled: list[tuple[int, int]]) -> list[str]:
    """Made-up mobile numbers; the later person of a recycled pair has the earlier one's."""
    numbers = rng.choice(1_000_000, persons, replace=False)
    phones = [f"16600{number:06d}" for number in numbers.tolist()]
    for earlier, later in recycled:
        phones[later] = phones[earlier]
    return phones
