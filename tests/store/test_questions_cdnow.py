"""Real purchases: the CDNOW sample of Fader and Hardie (brucehardie.com; packaged in Lifetimes 0.11.3), with its
published figures. 2,357 customers, 6,919 rows, 244,091.94 dollars, 1997-01-01 to 1998-06-30."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from siyu.analytics.actions import ask
from siyu.analytics.buying import Buying, Customers, expected_purchases, fit_spending, probability_alive
from siyu.identity.spans import Span
from siyu.profile import absorb_purchases
from siyu.profile.actions import portraits
from siyu.profile.jobs import refresh_rfm
from siyu.profile.portrait import Moment
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.reference.world import Happening, insert_events, register, uid_of

SAMPLE = Path(__file__).parents[1] / "cases" / "CDNOW_sample.txt.gz"
NOW = datetime(1998, 7, 1, tzinfo=UTC)
PUBLISHED = Buying(0.243, 4.414, 0.793, 2.426, -9582.4)


def purchases() -> list[Happening]:
    """One event a row, at noon; dollars as if they were yuan."""
    rows = []
    for line in gzip.decompress(SAMPLE.read_bytes()).decode().splitlines():
        customer, _, day, _, dollars = line.split()
        at = datetime.strptime(day + "12+0000", "%Y%m%d%H%z")
        rows.append(Happening(int(customer), "order.paid", int(at.timestamp() * 1000), {}, round(float(dollars) * 100)))
    return rows


@pytest.fixture
async def cdnow(db: Database, events: EventStore) -> tuple[Database, EventStore]:
    """Both engines with the sample."""
    await db.create_all()
    await events.create_all()
    await insert_events(events, purchases())
    return db, events


async def answer_of(engines: tuple[Database, EventStore], question: dict[str, Any]) -> Any:
    """The answer as plain data, in UTC."""
    return msgspec.to_builtins(await ask(*engines, question, NOW, "UTC"))


async def test_rfm_of_the_sample(cdnow: tuple[Database, EventStore]) -> None:
    question = {"kind": "rfm"}
    answer = await answer_of(cdnow, question)
    assert answer["persons"] == 2_357
    assert answer["value"] == 24_409_194
    assert answer["reference_day"] == "1998-07-01"
    # More than half bought on one day only: the 20 % and 40 % points coincide and score 2 is empty. Nobody is split.
    assert answer["cuts"]["f"][:2] == [1, 1]
    frequencies = {group["f"] for group in answer["groups"]}
    assert 2 not in frequencies
    assert answer["tied"] == {"r": 0, "f": 0, "m": 0}
    assert sum(map(sum, answer["by_recency_and_frequency"])) == 2_357
    assert sum(segment["persons"] for segment in answer["segments"]) == 2_357


async def test_the_profile_and_the_question_say_the_same_of_every_buyer(cdnow: tuple[Database, EventStore]) -> None:
    """With orders that share a day (in Shanghai, not in UTC, and the other way round), refunds, and free orders."""
    db, events = cdnow
    rows = purchases()
    refunds = [Happening(row.person, "order.refunded", row.at_ms + 86_400_000, {}, -100) for row in rows[::350]]
    evenings = [Happening(row.person, "order.paid", row.at_ms + 5 * 3_600_000, {}, 500) for row in rows[::100]]
    await insert_events(events, refunds + evenings)
    happened = rows + refunds + evenings
    assert any(row.value_fen == 0 for row in rows)
    persons = sorted({row.person for row in rows})
    await register(db, persons)
    async with db.begin() as connection:
        money = [(row.person, row.at_ms, f"e{n}", row.value_fen) for n, row in enumerate(happened)]
        await absorb_purchases(connection, money)
    zone = ZoneInfo("Asia/Shanghai")
    await refresh_rfm(db, NOW, zone)
    async with db.driver() as driver:
        found = await portraits(driver, [Span(person, person) for person in persons], Moment(NOW, zone))
    profile = {person: one.rfm for person, one in found}
    orders = Counter(row.person for row in happened if row.value_fen >= 0)
    assert sum(orders.values()) > sum(one.frequency for one in profile.values())

    question = {"kind": "rfm", "reference": NOW.astimezone(zone).date().isoformat(), "timezone": zone.key}
    answer = await answer_of(cdnow, question)
    assert answer["persons"] == len(profile) == 2_357
    assert answer["value"] == sum(one.monetary_fen for one in profile.values())
    scores = Counter((one.r, one.f, one.m) for one in profile.values())
    assert {(g["r"], g["f"], g["m"]): g["persons"] for g in answer["groups"]} == scores
    for f in {one.f for one in profile.values()}:
        page = await answer_of(cdnow, question | {"cell": {"f": f}, "limit": 10_000})
        assert page["persons"] == [str(uid_of(person)) for person in persons if profile[person].f == f]


async def test_rank_cuts_are_equal_groups_and_say_who_was_split(cdnow: tuple[Database, EventStore]) -> None:
    answer = await answer_of(cdnow, {"kind": "rfm", "cuts": "rank"})
    sizes = [sum(g["persons"] for g in answer["groups"] if g["f"] == score) for score in range(1, 6)]
    assert max(sizes) - min(sizes) <= 1
    assert answer["tied"]["f"] > 500


async def test_the_published_fit(cdnow: tuple[Database, EventStore]) -> None:
    """Calibration in the first 39 weeks, as in the papers."""
    question = {
        "kind": "clv",
        "range": {"from": "1997-01-01", "to": "1997-10-01"},
        "horizon": {"n": 39, "unit": "week"},
    }
    answer = await answer_of(cdnow, question)
    assert answer["persons"] == 2_357
    assert answer["repeat_buyers"] == 946
    for name, expected in zip(("r", "alpha", "a", "b"), PUBLISHED[:4], strict=True):
        assert answer["buying"][name] == pytest.approx(expected, abs=0.0006)
    assert answer["buying"]["log_likelihood"] == pytest.approx(-9582.4, abs=0.05)
    assert answer["spending"]["p"] == pytest.approx(6.25, abs=0.006)
    assert answer["spending"]["q"] == pytest.approx(3.74, abs=0.006)
    assert answer["spending"]["gamma"] == pytest.approx(1544, abs=1)
    assert sum(d["persons"] for d in answer["deciles"]) == 2_357
    values = [d["expected_value"] for d in answer["deciles"]]
    assert values == sorted(values, reverse=True)
    await register(cdnow[0], range(1, 24_000))
    page = await answer_of(cdnow, question | {"cell": {"decile": 1}})
    assert page["count"] == answer["deciles"][0]["persons"] == len(page["persons"])
    assert str(uid_of(0)) not in page["persons"]


def test_the_published_expectation() -> None:
    """x = 2, t_x = 30.43, T = 38.86, t = 39 gives 1.226 in the paper."""
    customer = Customers(*(np.array([value]) for value in (2.0, 30.43, 38.86, 0.0)))
    assert expected_purchases(PUBLISHED, customer, 39)[0] == pytest.approx(1.226, abs=0.0005)
    never = Customers(*(np.array([value]) for value in (0.0, 0.0, 38.86, 0.0)))
    assert probability_alive(PUBLISHED, never)[0] == 1


def test_spending_does_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(4)
    repeats = rng.integers(1, 9, 400).astype(float)
    spend = rng.gamma(6, 5, 400)
    yuan = fit_spending(Customers(repeats, repeats, repeats, spend))
    fen = fit_spending(Customers(repeats, repeats, repeats, spend * 100))
    assert fen.p == pytest.approx(yuan.p, rel=1e-4)
    assert fen.gamma == pytest.approx(yuan.gamma * 100, rel=1e-4)
