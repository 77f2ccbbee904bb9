"""What the doors count for /metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from prometheus_client import Counter
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

# Outside of the library's own registry: doors may be spread over processes, and /metrics tells the sum.
EVENTS = Counter(
    "siyu_door_events", "Events that came in, by dialect and outcome", ["dialect", "outcome"], registry=None
)
ANSWERS = Counter(
    "siyu_door_answers", "Answers of the doors, by door and HTTP status", ["door", "status"], registry=None
)

Counts: TypeAlias = dict[str, list[tuple[list[str], float]]]
"""Name of a counter → (values of its labels in their order, count)."""


def counts() -> Counts:
    """What this process has counted."""
    found: Counts = {}
    for counter in (EVENTS, ANSWERS):
        for family in counter.collect():
            totals = [sample for sample in family.samples if sample.name.endswith("_total")]
            found[family.name] = [(list(sample.labels.values()), sample.value) for sample in totals]
    return found


class Sums(Collector):
    """The counts of several processes, added up, for a registry."""

    def __init__(self, parts: Iterable[Counts]) -> None:
        self._parts = list(parts)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """One family per counter."""
        for counter in (EVENTS, ANSWERS):
            described = next(iter(counter.describe()))
            sums: dict[tuple[str, ...], float] = {}
            for part in self._parts:
                for labels, value in part.get(described.name, ()):
                    sums[tuple(labels)] = sums.get(tuple(labels), 0.0) + value
            family = CounterMetricFamily(described.name, described.documentation, labels=counter._labelnames)
            for label_values, value in sums.items():
                family.add_metric(label_values, value)
            yield family
