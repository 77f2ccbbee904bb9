"""Funnels by trying every order of events of one instant and every entry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby, permutations, product
from statistics import mean, median
from typing import Any, NamedTuple

from siyu.rules import holds, parse_condition, text_of
from siyu.rules.condition import parse_field
from siyu.rules.evaluate import read_field
from tests.reference.world import Happening, as_event


class Seen(NamedTuple):
    """An event as a funnel sees it: the steps and exclusions it is, the text of the breakdown's property."""

    at_ms: int
    steps: frozenset[int]
    exclusions: frozenset[int]
    value: str


def matches(item: dict[str, Any], happening: Happening) -> bool:
    """Whether an event has the name and fulfils the condition."""
    if item.get("event") is not None and item["event"] != happening.name:
        return False
    where = item.get("where")
    return not where or holds(parse_condition(where), as_event(happening))


def value_of(question: dict[str, Any], happening: Happening) -> str:
    """The text of the breakdown's property."""
    breakdown = question.get("breakdown")
    return "" if breakdown is None else text_of(read_field(parse_field(breakdown["event_prop"]), as_event(happening)))


def _orders(events: Sequence[Seen]) -> Iterator[list[Seen]]:
    instants = [list(group) for _, group in groupby(sorted(events, key=lambda e: e.at_ms), key=lambda e: e.at_ms)]
    for chosen in product(*(permutations(instant) for instant in instants)):
        yield [event for instant in chosen for event in instant]


def _chain(order: Sequence[Seen], entry: int, steps: int, window_ms: int, *, strict: bool) -> list[int]:
    times = [order[entry].at_ms]
    for event in order[entry + 1 :]:
        if len(times) == steps or event.at_ms - times[0] > window_ms:
            break
        if len(times) in event.steps:
            times.append(event.at_ms)
        elif strict:
            break
    return times


def _excluded(times: Sequence[int], events: Sequence[Seen], question: dict[str, Any], window_ms: int) -> bool:
    for e, exclusion in enumerate(question.get("exclusions", [])):
        if len(times) <= exclusion["from"]:
            continue
        after = times[exclusion["from"]]
        for event in events:
            if e not in event.exclusions or event.at_ms <= after:
                continue
            if len(times) > exclusion["to"]:
                if event.at_ms < times[exclusion["to"]]:
                    return True
            elif event.at_ms <= times[0] + window_ms:
                return True
    return False


def _in_order(events: Sequence[Seen], question: dict[str, Any], window_ms: int) -> list[int] | None:
    best_of_entry: dict[int, list[int]] = {}
    steps = len(question["steps"])
    for order in _orders(events):
        for i, event in enumerate(order):
            if 0 in event.steps:
                times = _chain(order, i, steps, window_ms, strict=question["order"] == "strict")
                known = best_of_entry.get(event.at_ms, [])
                if (-len(times), times) < (-len(known), known):
                    best_of_entry[event.at_ms] = times
    survivors = [t for _, t in sorted(best_of_entry.items()) if not _excluded(t, events, question, window_ms)]
    if best_of_entry and not survivors:
        return None
    return max(survivors, key=len, default=[])


def _most_steps(events: Sequence[Seen], steps: int) -> int:
    """The most different steps that different events can be."""
    best = 0
    useful = [event for event in events if event.steps]

    def try_from(n: int, taken: frozenset[int]) -> None:
        nonlocal best
        best = max(best, len(taken))
        if n < len(useful) and best < steps:
            for step in useful[n].steps - taken:
                try_from(n + 1, taken | {step})
            try_from(n + 1, taken)

    try_from(0, frozenset())
    return best


def _unordered(events: Sequence[Seen], question: dict[str, Any], window_ms: int) -> list[int]:
    best: list[int] = []
    ordered = sorted(events, key=lambda e: e.at_ms)
    for entry in ordered:
        if not entry.steps:
            continue
        cuts = [e.at_ms for e in ordered if e.exclusions and e.at_ms > entry.at_ms]
        end = min([entry.at_ms + window_ms, *cuts])
        inside = [e for e in ordered if entry.at_ms <= e.at_ms <= end]
        times: list[int] = []
        for at in sorted({e.at_ms for e in inside}):
            found = _most_steps([e for e in inside if e.at_ms <= at], len(question["steps"]))
            times += [at] * (found - len(times))
        if len(times) > len(best):
            best = times
    return best


def _walk(events: Sequence[Seen], question: dict[str, Any], window_ms: int) -> list[int] | None:
    if question["order"] == "unordered":
        return _unordered(events, question, window_ms)
    return _in_order(events, question, window_ms)


def _units(events: Sequence[Seen], question: dict[str, Any]) -> Iterator[tuple[str, list[Seen]]]:
    """(value, events) of a person for the breakdown."""
    if "breakdown" not in question:
        yield "", list(events)
        return
    attribution = question["breakdown"].get("attribution", "first_touch")
    stepped = [e for e in events if e.steps]
    if attribution in ("first_touch", "last_touch"):
        valued = sorted((e.at_ms, e.value) for e in stepped if e.value != "")
        yield (valued[0 if attribution == "first_touch" else -1][1] if valued else ""), list(events)
    elif attribution == "all_events":
        for value in sorted({e.value for e in events}):
            yield value, [e for e in events if e.value == value]
    else:
        step = int(attribution.removeprefix("step:"))
        for value in sorted({e.value for e in stepped if step in e.steps}):
            yield (
                value,
                [e if e.value == value else e._replace(steps=e.steps - {step}) for e in events],
            )


def funnel(question: dict[str, Any], happenings: Sequence[Happening], span: tuple[int, int], window_ms: int) -> Any:
    """{group: (counts, averages, medians, persons of each step)}; the group is '' without a breakdown."""
    strict = question["order"] == "strict"
    events: dict[int, list[Seen]] = defaultdict(list)
    for h in happenings:
        steps = frozenset(i for i, item in enumerate(question["steps"]) if matches(item, h))
        excluded = frozenset(i for i, item in enumerate(question.get("exclusions", [])) if matches(item, h))
        if span[0] <= h.at_ms < span[1] and (steps or excluded or strict):
            events[h.person].append(Seen(h.at_ms, steps, excluded, value_of(question, h)))
    found: dict[str, list[tuple[int, list[int]]]] = defaultdict(list)
    for person, seen in events.items():
        for value, unit in _units(seen, question):
            times = _walk(unit, question, window_ms)
            if times:
                found[value].append((person, times))
    size = len(question["steps"])
    return {value: _figures(chains, size) for value, chains in found.items()}


def _figures(chains: Sequence[tuple[int, list[int]]], size: int) -> Any:
    counts, averages, medians, persons = [], [], [], []
    for k in range(size):
        reached = [(person, times) for person, times in chains if len(times) > k]
        counts.append(len(reached))
        persons.append(sorted(person for person, _ in reached))
        seconds = [(times[k] - times[k - 1]) / 1000 for _, times in reached] if k else []
        averages.append(mean(seconds) if seconds else None)
        medians.append(median(seconds) if seconds else None)
    return counts, averages, medians, persons
