"""Who has to be looked at because time passed: the due list, derived from the events themselves.

An event at t leaves "the last d" at t + d, and an event of the future begins to count at t. So whoever is due between
two looks is whoever has an event in that stretch of time, d ago: no list has to be kept, and a late event, a merge or
an erasure cannot make one wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from siyu.rules.clickhouse import Params
from siyu.rules.measure import names_of
from siyu.rules.metric_sql import Compiling, during_sql, named_sql
from siyu.rules.rule import Leaf, Measured, Person, Rule, leaves
from siyu.rules.window import Duration, Interval, Setting, epoch_ms
from siyu.segments.population import Source

_UTC = ZoneInfo("UTC")


async def faded(source: Source, rules: Iterable[Rule], ticked: datetime, now: datetime) -> set[int]:
    """The identifiers of events that time alone began or ceased to count in (ticked, now], for any of these rules.

    Raises EngineUnavailable, QueryTooExpensive."""
    compiling = Compiling(Params(), Setting(now, _UTC), source.words)
    passed = Interval(epoch_ms(ticked) + 1, epoch_ms(now) + 1)
    parts = [f"({during_sql(passed, compiling.params)} AND occurred_at > received_at)"]
    for length, names in sorted(_rolling(rules, source).items(), key=repr):
        shifted = Interval(passed.start - length, passed.end - length)
        named = named_sql(sorted(names), compiling) if names is not None else "1"
        parts.append(f"({during_sql(shifted, compiling.params)} AND {named})")
    table = await source.fetch(
        f"SELECT DISTINCT anchor FROM events WHERE {' OR '.join(parts)}", compiling.params.values
    )
    return set(table["anchor"].to_pylist())


def _rolling(rules: Iterable[Rule], source: Source) -> dict[int, set[str] | None]:
    """Length of a rolling window in milliseconds → the names counted in it; None: all."""
    found: dict[int, set[str] | None] = defaultdict(set)
    for rule in rules:
        for leaf in leaves(rule):
            for length, names in _fading(leaf, source):
                known = found[length]
                found[length] = known | set(names) if names and known is not None else None
    return found


def _fading(leaf: Leaf, source: Source) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Lengths of rolling windows, and the stored names counted in them; none: any behaviour."""
    if isinstance(leaf, Person):
        for length, metric in source.dimensions.fades(leaf.name):
            yield length, names_of(metric, source.words)
    elif isinstance(leaf, Measured):
        for rolling in (leaf.metric.window.fades_ms, leaf.value.ms if isinstance(leaf.value, Duration) else None):
            if rolling is not None:
                yield rolling, names_of(leaf.metric, source.words)
