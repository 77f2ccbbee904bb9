"""docs/rules.md: every example is a rule, every word of the language is on the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from siyu.rules.condition import OPERATORS
from siyu.rules.parse import _FORMS, parse_rule
from siyu.rules.rule import METRICS, TIME_OPERATORS
from siyu.rules.sentence import say
from siyu.rules.window import PERIODS, UNIT_MS
from siyu.segments.words import WORDS

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
DIMENSIONS = (Path(__file__).parents[2] / "docs" / "dimensions.md").read_text()


@pytest.mark.parametrize("block", re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
def test_every_example_is_a_rule(block: str) -> None:
    assert say(parse_rule(json.loads(block), WORDS, trigger=True), WORDS)


def test_every_word_is_documented() -> None:
    words = {*_FORMS, *OPERATORS, *TIME_OPERATORS, "crosses", "has_tag", *METRICS, *PERIODS, *UNIT_MS}
    assert [word for word in sorted(words) if not re.search(rf"\b{word}\b", PAGE)] == []
    assert [
        kind.name
        for kind in WORDS.attributes.values()
        if f"`{kind.name}" not in (DIMENSIONS if kind.name.startswith("dim.") else PAGE)
    ] == []


def test_the_sentences_shown_are_the_ones_written() -> None:
    rule = parse_rule(
        {
            "all": [
                {"did": {"event": "order.paid", "at_least": 3, "days": 30}},
                {"person": "trait.city", "op": "eq", "value": "广州"},
            ]
        },
        WORDS,
    )
    assert f"`{say(rule, WORDS, 'zh')}`" in PAGE
    assert f"`{say(rule, WORDS, 'en')}`" in PAGE
