"""docs/questions.md: every example is asked of the real engines, and every kind and field is documented."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from siyu.analytics import ask, parse_question, to_csv, to_table
from siyu.analytics.kinds import ANSWERS, KINDS
from siyu.analytics.segment_size import SegmentSize
from siyu.analytics.timeline import TimelineQuestion
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.reference.world import Happening, insert_events, register

PAGE = (Path(__file__).parents[2] / "docs" / "questions.md").read_text()
EXAMPLES: list[dict[str, Any]] = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
NOW = datetime(2025, 3, 31, 12, tzinfo=UTC)
DAY = 86_400_000
START = int(datetime(2025, 3, 10, 4, tzinfo=UTC).timestamp() * 1000)

HAPPENINGS = [
    Happening(
        person, name, int(START + day * DAY + person), {"channel": channel, "price": 30, "seconds": int(day)}, fen
    )
    for person, channel in ((1, "wechat"), (2, "ad"), (3, "wechat"))
    for day, name, fen in (
        (0, "product.viewed", 0),
        (1, "Product Added", 0),
        (1, "page.viewed", 0),
        (1 + 1 / 86_400, "product.viewed", 0),
        (2, "share.sent", 0),
        (3, "order.paid", 100 * person),
        (9, "Order Completed", 500),
    )
]


BUYERS = [
    Happening(1_000 + n, "order.paid", START - (n % 40 + week * (n % 7 + 2)) * DAY, {}, 1_000 + 10 * n)
    for n in range(80)
    for week in range(1 + n % 3)
]
"""Enough customers for a model of them."""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["kind"])
async def test_every_example_is_answered(example: dict[str, Any], db: Database, events: EventStore) -> None:
    await db.create_all()
    await events.create_all()
    await register(db, [1, 2, 3])
    await insert_events(events, HAPPENINGS + (BUYERS if example["kind"] == "clv" else []))
    answer = await ask(db, events, example, NOW, "Asia/Shanghai")
    assert isinstance(json.loads(msgspec.json.encode(answer)), dict)
    assert type(answer) in ANSWERS
    header, rows = to_table(answer)
    assert all(len(row) == len(header) for row in rows)
    assert to_csv(answer).splitlines()[0].split(",") == header
    assert rows or "cell" in example, "an example shows something"


def test_every_kind_has_an_example_and_every_field_is_named() -> None:
    kinds = {kind.__struct_config__.tag: kind for kind in (*KINDS, TimelineQuestion, SegmentSize)}
    assert {example["kind"] for example in EXAMPLES} == set(kinds)
    for kind in kinds.values():
        for field in msgspec.structs.fields(kind):
            assert re.search(rf"\b{field.encode_name}\b", PAGE), f"{kind.__name__}.{field.encode_name}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["kind"])
def test_an_unknown_field_is_refused(example: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="unknown field") as refused:
        parse_question(example | {"surprise": 1})
    assert getattr(refused.value, "code", "") == "INVALID_QUESTION"
