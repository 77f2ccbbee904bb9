"""What judging the live rules costs per event, with 1 to 1,000 rules: `python -m bench.rules`.

Rules as brands write them: an event that triggers them, a few equal attributes, a metric that was counted already. Each
event is judged by the closures of all rules; a closure stops at the first condition that decides. The floor is a loop
over the names that the rules listen to, the least anybody would have to do. Times are of the processor.
"""

from __future__ import annotations

import random
import statistics
import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from siyu.collect.catalogue import CATALOGUE
from siyu.rules.judge import Facts, compile_rule
from siyu.rules.parse import parse_rule
from siyu.rules.rule import Metric, Rule, metrics_of
from siyu.rules.window import Setting
from siyu.segments.words import WORDS

SIZES = (1, 10, 100, 1_000)
EVENTS = 4_000
CITIES = ("广州", "深圳", "上海", "北京", "成都", "杭州", "武汉", "西安", "南京", "重庆")
NAMES = [entry.name for entry in CATALOGUE if entry.behaviour]
STAGES = ("new", "active", "vip", "sleeping", "lost")


def rule_of(chance: random.Random) -> Rule:
    """One campaign's condition."""
    names = chance.sample(NAMES, chance.choice((1, 1, 2)))
    metric = {"metric": "count", "event": chance.choice(NAMES), "window": {"last": 30, "unit": "day"}}
    parts: list[dict[str, Any]] = [
        {"trigger": {"event": names}},
        metric | {"op": "gte", "value": chance.randrange(1, 6)},
    ]
    if chance.random() < 0.4:
        parts.append({"person": "trait.city", "op": "in", "value": chance.sample(CITIES, 3)})
    if chance.random() < 0.4:
        parts.append({"person": "lifecycle", "op": "eq", "value": chance.choice(STAGES)})
    if chance.random() < 0.4:
        parts.append(
            {"any": [{"has_tag": chance.choice(CITIES)}, {"person": "dim.spend_fen", "op": "gte", "value": 10_000}]}
        )
    if chance.random() < 0.1:
        parts = parts[1:]  # whatever the event
        parts.append({"not": {"person": "lifecycle", "op": "eq", "value": "lost"}})
    return parse_rule({"all": parts}, WORDS, trigger=True)


def facts_of(chance: random.Random, metrics: list[Metric]) -> Facts:
    """An event, and what is known of who did it."""
    event = {"name": chance.choice(NAMES), "end": "app", "source": "s", "value_fen": 0, "properties": {}, "context": {}}
    attributes = {
        "trait.city": chance.choice(CITIES), "lifecycle": chance.choice(STAGES),
        "tags": chance.sample(CITIES, 2), "dim.spend_fen": chance.randrange(30_000),
    }  # fmt: skip
    return Facts(attributes, (), {metric: chance.randrange(5) for metric in metrics}, {}, event)


def measured(size: int) -> dict[str, float]:
    """p50 and p99 in milliseconds, and how many rules held."""
    chance = random.Random(size)
    rules = {n: rule_of(chance) for n in range(size)}
    judges = [compile_rule(rule, WORDS) for rule in rules.values()]
    names = {n: {leaf for leaf in NAMES if leaf in repr(rule)} for n, rule in rules.items()}
    setting = Setting(datetime(2026, 6, 1, tzinfo=UTC), ZoneInfo("Asia/Shanghai"))
    metrics = sorted({metric for rule in rules.values() for metric in metrics_of(rule)}, key=repr)
    known = [facts_of(chance, metrics) for _ in range(min(EVENTS, 400_000 // max(1, len(metrics))))]
    spent, floor, held = [], [], 0
    for facts in known:
        began = time.thread_time_ns()
        held += sum(judge(facts, setting) for judge in judges)
        spent.append((time.thread_time_ns() - began) / 1e6)
        began = time.thread_time_ns()
        assert facts.trigger is not None
        name = facts.trigger["name"]
        sum(name in one for one in names.values())
        floor.append((time.thread_time_ns() - began) / 1e6)
    quantiles, least = statistics.quantiles(spent, n=100), statistics.quantiles(floor, n=100)
    return {
        "p50": quantiles[49], "p99": quantiles[98],
        "held": held / len(known), "floor": least[98],
    }  # fmt: skip


def main() -> None:
    """Print a line for each number of rules."""
    print("rules   p50 ms   p99 ms   goal   held an event   p99 ÷ p99 of a loop over names")
    for size in SIZES:
        found = measured(size)
        goal = {100: "< 5", 1_000: "< 20"}.get(size, "")
        print(
            f"{size:5}   {found['p50']:6.3f}   {found['p99']:6.3f}   {goal:4}   {found['held']:13.2f}"
            f"   {found['p99'] / found['floor']:6.1f}"
        )


if __name__ == "__main__":
    main()
