"""Answers as pages show them: funnels as bars, triangles as heat maps, lines and flows as charts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from siyu.analytics.activity import LifecycleCounts, StickinessCounts
from siyu.analytics.attribution import AttributionAnswer
from siyu.analytics.clv import ClvAnswer
from siyu.analytics.funnel import FunnelFigures, FunnelGroups
from siyu.analytics.paths import PathGraph
from siyu.analytics.question import OTHER
from siyu.analytics.retention import RetentionGroups, RetentionMatrix
from siyu.analytics.rfm import CELLS, RfmCounts
from siyu.analytics.segment_size import SegmentCount
from siyu.analytics.trend import TrendGroups, TrendLines
from siyu.collect.catalogue import label
from siyu.console.i18n import mark as _
from siyu.console.result_trend import trend
from siyu.console.result_words import GROUPS_DRAWN_MAX, TONES, amount, channel_name, group_name, in_fen, step_name
from siyu.console.visit import Face

DEEP_SHARE: Final = 0.8
"""From this share on a cell of a heat map is dark enough for white figures."""

STATE_NAMES: Final = {
    "new": _("New"),
    "returning": _("Returning"),
    "resurrecting": _("Resurrected"),
    "dormant": _("Dormant"),
}
MODEL_NAMES: Final = {
    "first": _("First touch"),
    "last": _("Last touch"),
    "last_non_direct": _("Last not direct"),
    "linear": _("Linear"),
    "position": _("Position"),
    "time_decay": _("Time decay"),
    "markov": _("Markov chain"),
}


class FunnelStep(NamedTuple):
    """A bar of a funnel."""

    name: str
    persons: int
    of_first: float | None
    of_before: float | None
    average_s: float | None
    median_s: float | None


class FunnelBars(NamedTuple):
    """One funnel; `group` and `name` None without a breakdown."""

    group: str | None
    name: str | None
    steps: list[FunnelStep]


class HeatCell(NamedTuple):
    """A cell of a triangle."""

    persons: int
    share: float | None
    deep: bool
    open: bool
    """Its period is not over yet."""


class HeatRow(NamedTuple):
    """A cohort."""

    label: str
    size: int
    cells: list[HeatCell]


class Heat(NamedTuple):
    """A triangle, with the average of each column weighted by cohort size; `group` and `name` as of a funnel."""

    group: str | None
    name: str | None
    rows: list[HeatRow]
    averages: list[float | None]


def present(kind: str, question: Mapping[str, Any], result: Any, face: Face) -> dict[str, Any]:
    """What the template of the result needs."""
    if isinstance(result, FunnelFigures | FunnelGroups):
        return {"funnels": _funnels(question, result, face)}
    if isinstance(result, RetentionMatrix | RetentionGroups):
        return {"heats": _heats(question, result, face)}
    if isinstance(result, TrendLines | TrendGroups):
        return trend(question, result, face)
    if isinstance(result, LifecycleCounts):
        return _lifecycle(result, face)
    if isinstance(result, StickinessCounts):
        return _stickiness(result, face)
    if isinstance(result, PathGraph):
        return _paths(result, face)
    if isinstance(result, AttributionAnswer):
        return _attribution(question, result, face)
    if isinstance(result, ClvAnswer):
        return _clv(question, result, face)
    if isinstance(result, RfmCounts):
        return _rfm(result, face)
    if isinstance(result, SegmentCount):
        return {"count": result.count, "total": result.total}
    raise TypeError(f"There is no page for {kind}")


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _funnels(question: Mapping[str, Any], result: FunnelFigures | FunnelGroups, face: Face) -> list[FunnelBars]:
    groups = result.groups if isinstance(result, FunnelGroups) else {None: result}
    bars = []
    for group, figures in groups.items():
        steps = []
        for k, count in enumerate(figures.counts):
            before = figures.counts[k - 1] if k else count
            steps.append(
                FunnelStep(
                    step_name(question["steps"][k], face),
                    count,
                    _share(count, figures.counts[0]),
                    _share(count, before) if k else None,
                    figures.avg_conversion_s[k],
                    figures.median_conversion_s[k],
                )
            )
        bars.append(FunnelBars(group, group_name(question, group, face), steps))
    return bars


def _heats(question: Mapping[str, Any], result: RetentionMatrix | RetentionGroups, face: Face) -> list[Heat]:
    if isinstance(result, RetentionMatrix):
        return [Heat(None, None, *_triangle(result.cohorts, result.matrix, face))]
    return [
        Heat(group, group_name(question, group, face), *_triangle(result.cohorts, matrix, face))
        for group, matrix in result.groups.items()
    ]


def _triangle(
    cohorts: Sequence[str], matrix: Sequence[Sequence[int]], face: Face
) -> tuple[list[HeatRow], list[float | None]]:
    size = len(matrix)
    rows = []
    for i, counts in enumerate(matrix):
        cells = []
        for k, count in enumerate(counts[1:], 1):
            share = _share(count, counts[0])
            cells.append(HeatCell(count, share, (share or 0) >= DEEP_SHARE, i + k == size - 1))
        rows.append(HeatRow(_short_day(cohorts[i], face), counts[0], cells))
    averages: list[float | None] = []
    for k in range(1, size):
        # The last period is not over: it would pull every average down.
        known = [counts for i, counts in enumerate(matrix) if i + k < size - 1]
        averages.append(_share(sum(counts[k] for counts in known), sum(counts[0] for counts in known)))
    return rows, averages


def _short_day(text: str, face: Face) -> str:
    try:
        day = date.fromisoformat(text[:10])
    except ValueError:
        return text
    return f"{day.month}月{day.day}日" if face.locale.startswith("zh") else f"{day:%b} {day.day}"


def _lifecycle(result: LifecycleCounts, face: Face) -> dict[str, Any]:
    tones = {"new": "jade", "returning": "sky", "resurrecting": "gold", "dormant": "stone"}
    series, table = [], []
    for state, tone in tones.items():
        values = getattr(result, state)
        name = face.text(STATE_NAMES[state])
        cell = {"state": state}
        signed = [-value for value in values] if state == "dormant" else values
        series.append({"name": name, "values": signed, "tone": tone, "cell": cell, "stack": "persons"})
        table.append({"name": name, "values": values, "total": None, "cell": cell})
    labels = [text[:10] for text in result.labels]
    return {"chart": {"kind": "bars", "labels": labels, "series": series}, "table": table, "labels": labels,
            "totals": False, "index": "interval"}  # fmt: skip


def _stickiness(result: StickinessCounts, face: Face) -> dict[str, Any]:
    labels = [str(k) for k in range(1, len(result.exactly) + 1)]
    exactly, more = face.text(_("exactly so often")), face.text(_("at least so often"))
    series = [{"name": exactly, "values": result.exactly, "tone": "jade", "cell": {}, "from": 1}]
    table = [
        {"name": exactly, "values": result.exactly, "total": None, "cell": {}},
        {"name": more, "values": result.at_least, "total": None, "cell": {"at_least": True}},
    ]
    chart = {"kind": "bars", "labels": labels, "series": series, "index": "intervals", "first": 1}
    return {"chart": chart, "table": table, "labels": labels, "totals": False, "index": "intervals"}


def _paths(result: PathGraph, face: Face) -> dict[str, Any]:
    nodes = [
        {"id": f"{node.step}|{node.name}", "name": _path_name(node.name, face), "step": node.step, "raw": node.name,
         "count": node.count, "ended": node.ended}
        for node in result.nodes
    ]  # fmt: skip
    edges = [
        {"from": f"{edge.step}|{edge.from_}", "to": f"{edge.step + 1}|{edge.to}", "step": edge.step,
         "raw": [edge.from_, edge.to], "names": [_path_name(edge.from_, face), _path_name(edge.to, face)],
         "count": edge.count, "avg_s": edge.avg_s}
        for edge in result.edges
    ]  # fmt: skip
    return {
        "chart": {"kind": "flow", "nodes": nodes, "edges": edges},
        "nodes": nodes,
        "edges": sorted(edges, key=lambda edge: (edge["step"], -edge["count"])),
        "sessions": result.sessions,
        "persons": result.persons,
        "steps": 1 + max((node.step for node in result.nodes), default=0),
    }


def _path_name(name: str, face: Face) -> str:
    return face.text(_("All others")) if name == OTHER else label(name, face.locale)


class Credit(NamedTuple):
    """What one model gives to one channel."""

    model: str
    tone: str
    conversions: float
    share: float
    """Of what the model gives to all channels."""
    value: str | None


class ChannelCredits(NamedTuple):
    """A channel under every model."""

    channel: str
    name: str
    journeys: int
    credits: list[Credit]
    removal: float | None


def _attribution(question: Mapping[str, Any], result: AttributionAnswer, face: Face) -> dict[str, Any]:
    field, channels = question.get("value"), []
    attributed = (result.conversions - result.unattributed) or 1
    for line in result.channels:
        credits = [
            Credit(
                face.text(MODEL_NAMES[model]),
                TONES[n % len(TONES)],
                credit,
                credit / attributed,
                amount(line.value[model], field, face) if field else None,
            )
            for n, (model, credit) in enumerate(line.conversions.items())
        ]
        name = channel_name(question, line.channel, face)
        channels.append(
            ChannelCredits(line.channel, name, line.journeys, credits, result.removal_effect.get(line.channel))
        )
    return {
        "conversions": result.conversions,
        "unattributed": result.unattributed,
        "value": amount(result.value, field, face) if field else None,
        "channels": channels,
        "drawn": channels[:GROUPS_DRAWN_MAX],
        "removal": bool(result.removal_effect),
    }


def _clv(question: Mapping[str, Any], result: ClvAnswer, face: Face) -> dict[str, Any]:
    field = question.get("value", "@value_fen")
    scale = 100 if in_fen(field) else 1
    tenths = [
        {
            "tenth": tenth,
            "value": amount(tenth.expected_value, field, face),
            "each": amount(tenth.expected_value / tenth.persons, field, face) if tenth.persons else "–",
            "share": _share(tenth.expected_value, result.expected_value),
        }
        for tenth in result.deciles
    ]
    values = [round(tenth.expected_value / scale, 2) for tenth in result.deciles]
    name = face.text(_("Expected value")) + (" (¥)" if scale == 100 else "")
    series = {"name": name, "values": values, "tone": "jade", "cell": {}}
    labels = [str(tenth.decile) for tenth in result.deciles]
    return {
        "clv": result,
        "value": amount(result.expected_value, field, face),
        "each": amount(result.expected_value / result.persons, field, face),
        "tenths": tenths,
        "chart": {"kind": "bars", "labels": labels, "series": [series], "index": "decile", "first": 1},
    }


def _rfm(result: RfmCounts, face: Face) -> dict[str, Any]:
    grid = result.by_recency_and_frequency
    most = max((count for row in grid for count in row), default=0) or 1
    english = {
        "important_value": _("Important, keep close"),
        "important_develop": _("Important, develop"),
        "important_keep": _("Important, hold"),
        "important_win_back": _("Important, win back"),
        "general_value": _("Regular, faithful"),
        "general_develop": _("Regular, develop"),
        "general_keep": _("Regular, hold"),
        "general_win_back": _("Regular, win back"),
    }
    assert len(english) == len(CELLS)
    return {
        "rfm": result,
        "grid": [
            [{"r": r, "f": f, "count": grid[r - 1][f - 1], "share": grid[r - 1][f - 1] / most} for f in range(1, 6)]
            for r in range(5, 0, -1)
        ],
        "segments": [(segment, face.text(english[segment.name])) for segment in result.segments],
    }
