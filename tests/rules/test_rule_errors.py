"""Every sentence that refuses a rule or a condition is there in Chinese."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import siyu.console
import siyu.rules
from siyu.rules.chinese import in_chinese

ROOMS = sorted(Path(siyu.rules.__path__[0]).glob("*.py")) + sorted(Path(siyu.console.__path__[0]).glob("rule_*.py"))


def sentences() -> Iterator[str]:
    """The first argument of everything that refuses, with 7 where something is filled in."""
    for path in ROOMS:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            if node.func.id in ("refuse", "InvalidRule", "InvalidCondition"):
                yield from variants(node.args[0])


def variants(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.IfExp):
        yield from variants(node.body)
        yield from variants(node.orelse)
    elif isinstance(node, ast.BinOp):
        yield from (left + right for left in variants(node.left) for right in variants(node.right))
    elif isinstance(node, ast.FormattedValue):
        yield from variants(node.value) if isinstance(node.value, ast.IfExp) else ("7",)
    elif isinstance(node, ast.JoinedStr):
        found = [""]
        for part in node.values:
            found = [text + more for text in found for more in variants(part)]
        yield from found


ALL = sorted(set(sentences()) - {"7"})  # a message passed on is no sentence of its own


def test_they_are_found() -> None:
    assert len(ALL) > 50


@pytest.mark.parametrize("sentence", ALL)
def test_it_is_there_in_chinese(sentence: str) -> None:
    chinese = in_chinese(sentence)
    assert chinese is not None
    assert any("\u4e00" <= character <= "\u9fff" for character in chinese)
    assert sentence.count("7") == chinese.count("7"), "what is filled in stands in both"


def test_any_other_sentence_is_none() -> None:
    assert in_chinese("Something went wrong on our side.") is None
