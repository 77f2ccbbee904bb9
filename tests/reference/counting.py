"""Retention, trends, lifecycle, stickiness, RFM and paths by plain loops over a list of events."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from siyu.rules import numeric, text_of
from siyu.rules.condition import parse_field
from siyu.rules.evaluate import read_field
from tests.reference.funnels import matches, value_of
from tests.reference.world import Happening, as_event


def local(at_ms: int, zone: ZoneInfo) -> datetime:
    """The wall clock of an instant."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)


def period_start(day: date, unit: str, week_start: str = "monday") -> date:
    """The first day of the period a day is in."""
    if unit == "week":
        while day.weekday() != (0 if week_start == "monday" else 6):
            day -= timedelta(days=1)
    return day.replace(day=1) if unit == "month" else day


def following(day: date, unit: str) -> date:
    """The first day of the next period."""
    step = {"day": 1, "week": 7, "month": 31}[unit]
    return (day + timedelta(days=step)).replace(day=1) if unit == "month" else day + timedelta(days=step)


def previous(day: date, unit: str) -> date:
    """The first day of the period before."""
    if unit == "month":
        return (day - timedelta(days=1)).replace(day=1)
    return day - timedelta(days=1 if unit == "day" else 7)


def periods_between(first: date, last: date, unit: str, week_start: str = "monday") -> list[date]:
    """The periods that touch the days from `first` to `last`."""
    found = [period_start(first, unit, week_start)]
    while following(found[-1], unit) <= last:
        found.append(following(found[-1], unit))
    return found


def bucket(at_ms: int, zone: ZoneInfo, question: dict[str, Any]) -> str:
    """The name of the interval an instant is in."""
    moment, unit = local(at_ms, zone), question["interval"]
    if unit == "hour":
        return moment.replace(minute=0, second=0, microsecond=0).isoformat(timespec="minutes")
    return period_start(moment.date(), unit, question.get("week_start", "monday")).isoformat()


def buckets(span: tuple[int, int], zone: ZoneInfo, question: dict[str, Any]) -> list[str]:
    """The names of all intervals, found by looking every quarter of an hour."""
    quarters = [*range(span[0], span[1], 900_000), span[1] - 1]
    return list(dict.fromkeys(bucket(ms, zone, question) for ms in quarters))


def retention(question: dict[str, Any], happenings: Sequence[Happening], zone: ZoneInfo, end: datetime) -> Any:
    """{group: triangle}; the group is '' without a breakdown."""
    unit, week_start = question["period"], question.get("week_start", "monday")
    starts = [period_start(end.astimezone(zone).date(), unit, week_start)]
    while len(starts) < question["intervals"]:
        starts.insert(0, previous(starts[0], unit))
    place = {start: i for i, start in enumerate(starts)}

    def where(h: Happening) -> int | None:
        return place.get(period_start(local(h.at_ms, zone).date(), unit, week_start))

    target = {"event": question.get("target"), "where": question.get("target_where")}
    returning = {"event": question.get("returning"), "where": question.get("returning_where")}
    cohorts: dict[tuple[int, str], set[int]] = defaultdict(set)
    returns: dict[tuple[int, str], set[int]] = defaultdict(set)
    last_end = following(starts[-1], unit)
    if question["type"] == "recurring":
        for h in happenings:
            if matches(target, h) and where(h) is not None:
                cohorts[h.person, value_of(question, h)].add(where(h))
    else:
        firsts: dict[int, tuple[int, str, int | None]] = {}
        for h in happenings:
            if matches(target, h) and local(h.at_ms, zone).date() < last_end:
                candidate = (h.at_ms, value_of(question, h), where(h))
                firsts[h.person] = min(firsts.get(h.person, candidate), candidate, key=lambda c: c[:2])
        for person, (_, value, period) in firsts.items():
            if period is not None:
                cohorts[person, value].add(period)
    for h in happenings:
        if matches(returning, h) and where(h) is not None:
            returns[h.person, value_of(question, h)].add(where(h))
    size = len(starts)
    answer: dict[str, list[list[int]]] = {}
    for (_, value), _ in cohorts.items():
        triangle = [[0] * (size - i) for i in range(size)]
        for key, entered in cohorts.items():
            if key[1] != value:
                continue
            for i in entered:
                triangle[i][0] += 1
                for j in returns[key]:
                    if j > i:
                        triangle[i][j - i] += 1
        answer[value] = triangle
    return answer


def number_of(name: str, happening: Happening) -> float | None:
    """A property as a number."""
    return numeric(text_of(read_field(parse_field(name), as_event(happening))))


def measure(series: dict[str, Any], happenings: Sequence[Happening]) -> float | int | None:
    """One point of a trend."""
    mine = [h for h in happenings if matches(series, h)]
    math = series.get("math", "count")
    persons = len({h.person for h in mine})
    if math in ("count", "persons"):
        return len(mine) if math == "count" else persons
    found = [number_of(series["property"], h) for h in mine] if series.get("property") else [1.0] * len(mine)
    numbers = sorted(n for n in found if n is not None)
    if math == "sum":
        return sum(numbers)
    if math == "per_person":
        return sum(numbers) / persons if persons else None
    if not numbers:
        return None
    if math == "avg":
        return sum(numbers) / len(numbers)
    if math == "percentile":
        return numbers[min(len(numbers) - 1, int(len(numbers) * (series.get("percentile", 50) / 100)))]
    return numbers[0] if math == "min" else numbers[-1]


def trend(question: dict[str, Any], happenings: Sequence[Happening], zone: ZoneInfo, span: tuple[int, int]) -> Any:
    """{group: [(values, total) per series]}."""
    inside = [h for h in happenings if span[0] <= h.at_ms < span[1]]
    useful = [h for h in inside if any(matches(series, h) for series in question["series"])]
    starts = buckets(span, zone, question)
    answer = {}
    group_of = limited(question, useful)
    groups = set(map(group_of, useful)) if "breakdown" in question else {""}
    for group in groups:
        mine = [h for h in useful if "breakdown" not in question or group_of(h) == group]
        parts: dict[str, list[Happening]] = defaultdict(list)
        for h in mine:
            parts[bucket(h.at_ms, zone, question)].append(h)
        per_period = [parts[start] for start in starts]
        answer[group] = [
            ([measure(series, part) for part in per_period], measure(series, mine)) for series in question["series"]
        ]
    return answer


def limited(question: dict[str, Any], happenings: Sequence[Happening]) -> Callable[[Happening], str]:
    """The group of an event: its value, or `$other` beyond the most frequent."""
    counts = Counter(value_of(question, h) for h in happenings) if "breakdown" in question else Counter[str]()
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    shown = set(ranked[: question["breakdown"]["limit"]]) if "breakdown" in question else set[str]()
    return lambda h: value if (value := value_of(question, h)) in shown else "$other"


def activity(question: dict[str, Any], happenings: Sequence[Happening], zone: ZoneInfo) -> dict[int, set[date]]:
    """Person → the periods in which it did the event, ever."""
    found: dict[int, set[date]] = defaultdict(set)
    for h in happenings:
        if matches(question, h):
            day = local(h.at_ms, zone).date()
            found[h.person].add(period_start(day, question["interval"], question.get("week_start", "monday")))
    return found


def lifecycle(question: dict[str, Any], happenings: Sequence[Happening], zone: ZoneInfo, span: tuple[int, int]) -> Any:
    """{state: [persons per period]}."""
    days = [local(ms, zone).date() for ms in (span[0], span[1] - 1)]
    starts = periods_between(days[0], days[1], question["interval"], question.get("week_start", "monday"))
    answer: dict[str, list[set[int]]] = {s: [] for s in ("new", "returning", "resurrecting", "dormant")}
    for start in starts:
        sets: dict[str, set[int]] = {state: set() for state in answer}
        before = previous(start, question["interval"])
        for person, active in activity(question, happenings, zone).items():
            if start in active and before in active:
                sets["returning"].add(person)
            elif start in active:
                sets["new" if min(active) == start else "resurrecting"].add(person)
            elif before in active:
                sets["dormant"].add(person)
        for state, persons in sets.items():
            answer[state].append(persons)
    return answer


def stickiness(question: dict[str, Any], happenings: Sequence[Happening], zone: ZoneInfo, span: tuple[int, int]) -> Any:
    """Active in exactly k periods: [persons for k = 1 …]."""
    active: dict[int, set[str]] = defaultdict(set)
    for h in happenings:
        if span[0] <= h.at_ms < span[1] and matches(question, h):
            active[h.person].add(bucket(h.at_ms, zone, question))
    found: list[set[int]] = [set() for _ in buckets(span, zone, question)]
    for person, intervals in active.items():
        found[len(intervals) - 1].add(person)
    return found


def rfm(happenings: Sequence[Happening], zone: ZoneInfo, event: str | None) -> dict[int, tuple[int, int, int]]:
    """Person → (days since the last purchase, purchase days, total fen)."""
    bought: dict[int, list[Happening]] = defaultdict(list)
    spent: Counter[int] = Counter()
    for h in happenings:
        if h.name == event if event else (h.value_fen != 0 or h.name == "order.paid"):
            spent[h.person] += h.value_fen
            if event or h.value_fen >= 0:
                bought[h.person].append(h)
    days = {person: {local(h.at_ms, zone).date() for h in list_} for person, list_ in bought.items()}
    if not days:
        return {}
    reference = max(day for set_ in days.values() for day in set_) + timedelta(days=1)
    return {person: ((reference - max(set_)).days, len(set_), spent[person]) for person, set_ in days.items()}


def fulfils(condition: dict[str, Any], mine: Sequence[Happening], now_ms: int) -> bool:
    """Whether a person who did these things is in the segment."""
    ((word, inner),) = condition.items()
    if word == "not":
        return not fulfils(inner, mine, now_ms)
    if word != "did":
        return (all if word == "all" else any)(fulfils(item, mine, now_ms) for item in inner)
    since, until = 0, now_ms + 1
    if "days" in inner:
        since = now_ms - inner["days"] * 86_400_000 + 1
    if "range" in inner:
        since, until = (int(datetime.fromisoformat(inner["range"][k]).timestamp() * 1000) for k in ("from", "to"))
    count = sum(since <= h.at_ms < until and matches(inner, h) for h in mine)
    return bool(inner.get("at_least", 1) <= count <= inner.get("at_most", count))


def value_score(figures: Sequence[int], figure: int, sign: int) -> int:
    """1 + how many of the four cut points lie below; a cut point is the smallest value with k/5 of all at or below."""
    signed = [f * sign for f in figures]
    score = 1
    for k in range(1, 5):
        cut = min(v for v in signed if sum(f <= v for f in signed) * 5 >= k * len(signed))
        score += cut < figure * sign
    return score


def paths(question: dict[str, Any], happenings: Sequence[Happening], span: tuple[int, int], gap_ms: int) -> Any:
    """(nodes, edges): Counters of (column, name) and (column, name, next), and the persons of each."""
    rows: dict[int, list[Happening]] = defaultdict(list)
    only, without = question.get("only", []), question.get("without", [])
    for h in happenings:
        if span[0] <= h.at_ms < span[1] and (not only or h.name in only) and h.name not in without:
            rows[h.person].append(h)
    nodes: dict[tuple[int, str], list[int]] = defaultdict(list)
    edges: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    limit = question.get("steps_max", 5)
    for person, mine in rows.items():
        mine.sort(key=lambda h: (h.at_ms, h.name))
        sessions: list[list[Happening]] = []
        for h in mine:
            if not sessions or h.at_ms - sessions[-1][-1].at_ms > gap_ms:
                sessions.append([])
            sessions[-1].append(h)
        for session in sessions:
            names = [h.name for h in session]
            if not question.get("repeats"):
                names = [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
            names, first = _cut(names, question.get("start"), question.get("end"), limit)
            for i, name in enumerate(names):
                nodes[first + i, name].append(person)
                if i + 1 < len(names):
                    edges[first + i, name, names[i + 1]].append(person)
    return nodes, edges


def _cut(names: list[str], start: str | None, end: str | None, limit: int) -> tuple[list[str], int]:
    if start is not None:
        names = names[names.index(start) :] if start in names else []
    if end is not None:
        names = names[: names.index(end) + 1] if end in names else []
    if end is not None and start is None:
        return names[-limit:], limit - len(names[-limit:])
    return names[:limit], 0
