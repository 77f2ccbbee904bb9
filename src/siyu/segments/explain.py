"""Why a rule holds of a person at an instant or does not: each condition with the value that was seen."""

from __future__ import annotations

import msgspec

from siyu.rules.explain import Seen, parts_held
from siyu.rules.sentence import say
from siyu.rules.window import Setting
from siyu.segments.one import Asking, Question, facts_of


class Judged(msgspec.Struct, frozen=True):
    """A condition of a rule, and whether it held."""

    held: bool
    zh: str
    en: str
    seen: Seen = None
    """Money in fen, times as ISO texts; null where nothing is there, and for groups."""
    depth: int = 0
    """Parts of a group stand one deeper, after it."""
    seen_zh: str | None = None
    """What people call the value that was seen, where it is one of a few."""
    seen_en: str | None = None


async def judged(asking: Asking, question: Question) -> list[Judged]:
    """The conditions of all rules of a question. Raises EngineUnavailable, QueryTooExpensive."""
    (facts,) = await facts_of(asking, [question])
    setting, words = Setting(question.at, asking.zone), asking.words
    return [
        Judged(
            one.held,
            say(one.rule, words, "zh"),
            say(one.rule, words, "en"),
            one.seen,
            one.depth,
            one.called(words, "zh"),
            one.called(words, "en"),
        )
        for rule in question.rules.values()
        for one in parts_held(rule, facts, setting, words)
    ]
