"""Why a rule does not hold: exactly the outermost conditions that are false, said so that they can be read back."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rule_world import CITIES, TAGS, leaves, rules, setting, world

from siyu.rules.explain import parts_held, unmet
from siyu.rules.judge import Facts, compile_rule
from siyu.rules.parse import parse_rule
from siyu.rules.read import read_sentence
from siyu.rules.rule import Group, Rule
from siyu.rules.sentence import say
from siyu.rules.vocabulary import Lang
from siyu.rules.write import rule_json
from siyu.segments.words import WORDS

HERE = setting("Asia/Shanghai")
WORLD = world(1, 200)
some_facts = st.builds(
    lambda person, city, tags: Facts({"trait.city": city, "tags": tags}, WORLD.events_of(person)),
    st.sampled_from(WORLD.persons), st.sampled_from(CITIES), st.lists(st.sampled_from(TAGS), unique=True),
)  # fmt: skip


def outermost(rule: Rule) -> list[Rule]:
    """The conditions that must all hold."""
    if isinstance(rule, Group) and rule.word == "all":
        return [one for part in rule.parts for one in outermost(part)]
    return [rule]


def holds(rule: Rule, facts: Facts) -> bool:
    return compile_rule(rule, WORDS)(facts, HERE)


@settings(max_examples=300, deadline=None)
@given(rules, some_facts)
def test_what_is_unmet_is_false_and_nothing_else_is_to_blame(data: Any, facts: Facts) -> None:
    rule = parse_rule(data, WORDS)
    reasons = unmet(rule, facts, HERE, WORDS)
    assert (reasons == ()) is holds(rule, facts), "no reason if and only if it holds"
    blamed = [part for part in outermost(rule) if not holds(part, facts)]
    for lang in ("zh", "en"):
        language: Lang = lang  # type: ignore[assignment]  # mypy widens the literals
        assert [getattr(one, lang) for one in reasons] == [say(part, WORDS, language) for part in blamed]
        assert not any(holds(read_sentence(getattr(one, lang), WORDS, language), facts) for one in reasons)


@settings(max_examples=300, deadline=None)
@given(st.lists(leaves, min_size=1, max_size=6), some_facts)
def test_the_rule_holds_as_soon_as_what_is_unmet_is_turned(parts: list[Any], facts: Facts) -> None:
    rule = parse_rule({"all": parts}, WORDS)
    tree = [rule_json(part) for part in outermost(rule)]
    false = [place for place, part in enumerate(outermost(rule)) if not holds(part, facts)]
    assert len(unmet(rule, facts, HERE, WORDS)) == len(false)
    turned = [{"not": one} if place in false else one for place, one in enumerate(tree)]
    assert holds(parse_rule({"all": turned}, WORDS), facts), "turning all of them makes it hold"
    for left in false:
        but_one = [tree[left] if place == left else one for place, one in enumerate(turned)]
        reasons = unmet(parse_rule({"all": but_one}, WORDS), facts, HERE, WORDS)
        assert [one.zh for one in reasons] == [say(outermost(rule)[left], WORDS, "zh")], "each of them counts"


@settings(max_examples=200, deadline=None)
@given(rules, some_facts)
def test_parts_say_what_they_say_alone(data: Any, facts: Facts) -> None:
    rule = parse_rule(data, WORDS)
    for part in parts_held(rule, facts, HERE, WORDS):
        assert part.held is holds(part.rule, facts)
