"""The rule language over HTTP: its schema, and its two forms."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from litestar import get, post

from siyu.rules.possible import asked_rule, asked_sentence
from siyu.rules.rule import Rule
from siyu.rules.schema import rule_schema
from siyu.rules.sentence import say
from siyu.rules.write import rule_json
from siyu.segments.words import WORDS


class RuleToSay(msgspec.Struct, forbid_unknown_fields=True):
    """A rule as JSON. `trigger`: there is a triggering event."""

    rule: dict[str, Any]
    trigger: bool = False


class SentenceToRead(msgspec.Struct, forbid_unknown_fields=True):
    """A rule as a sentence."""

    text: str
    lang: Literal["zh", "en"] = "zh"
    trigger: bool = False


class SaidRule(msgspec.Struct):
    """A rule in its long form and as sentences."""

    rule: dict[str, Any]
    zh: str
    en: str


def said(rule: Rule) -> SaidRule:
    """All forms of a rule."""
    return SaidRule(rule_json(rule), say(rule, WORDS, "zh"), say(rule, WORDS, "en"))


@get("/api/rules/schema", summary="JSON Schema of rules")
async def schema() -> dict[str, Any]:
    """The JSON Schema of rules, with the attributes of persons that this installation knows."""
    return rule_schema(WORDS)


@post("/api/rules/say", status_code=200, summary="A rule as a sentence")
async def say_rule(data: RuleToSay) -> SaidRule:
    """The rule checked, in its long form and as a Chinese and an English sentence. Raises INVALID_RULE."""
    return said(asked_rule(data.rule, WORDS, trigger=data.trigger))


@post("/api/rules/read", status_code=200, summary="A sentence as a rule")
async def read_rule(data: SentenceToRead) -> SaidRule:
    """The rule that a sentence says. Raises INVALID_RULE with `at`, the place in the text."""
    return said(asked_sentence(data.text, WORDS, data.lang, trigger=data.trigger))


routes: list[Any] = [schema, say_rule, read_rule]
