"""The index of rules by what they cannot do without: a rule that is left out does not hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rule_world import CITIES, ENDS, NAMES, setting, trees, trigger_rules, world

from siyu.rules.index import RuleIndex, needs_of
from siyu.rules.judge import Facts, compile_rule
from siyu.rules.parse import parse_rule
from siyu.segments.words import WORDS

HERE = setting("Asia/Shanghai")
WORLD = world(3, 12)
EVENTS = {person: WORLD.events_of(person) for person in WORLD.persons}

equalities = st.one_of(
    st.builds(
        lambda v: {"person": "trait.city", "op": "eq", "value": v},
        st.sampled_from([c for c in CITIES if c is not None]),
    ),
    st.builds(
        lambda v: {"person": "trait.city", "op": "in", "value": v}, st.lists(st.sampled_from(["广州", 3, True, 2**60]))
    ),
    st.builds(lambda v: {"person": "dim.orders", "op": "eq", "value": v}, st.sampled_from([0, 1])),
    st.builds(
        lambda name, where: {"trigger": {"event": name} | where},
        st.sampled_from(NAMES) | st.lists(st.sampled_from(NAMES), min_size=1, max_size=2),
        st.sampled_from(
            [{}, {"end": "app"}, {"where": {"price": 3}}, {"where": {"price": "3", "sku": None}}, {"product": "milk"}]
        ),
    ),
)
indexed = st.recursive(equalities | trigger_rules, trees, max_leaves=6)


@settings(deadline=None, max_examples=300)
@given(
    asked=st.lists(indexed, min_size=1, max_size=6), person=st.sampled_from(WORLD.persons),
    city=st.sampled_from([*CITIES, "3.0", 2**60]), n=st.integers(0, 30),
)  # fmt: skip
def test_what_the_index_leaves_out_does_not_hold(asked: list[Any], person: int, city: Any, n: int) -> None:
    rules = {place: parse_rule(one, WORDS, trigger=True) for place, one in enumerate(asked)}
    events = EVENTS[person]
    facts = Facts({"trait.city": city, "dim.orders": 1, "lifecycle": "active"}, events, trigger=events[n % len(events)])
    candidates = RuleIndex(rules, WORDS).candidates(facts.trigger, facts.attributes)
    assert len(set(candidates)) == len(candidates)
    for place, rule in rules.items():
        if compile_rule(rule, WORDS)(facts, HERE):
            assert place in candidates


def test_the_index_leaves_out_what_it_can() -> None:
    rules = {
        (name, city): parse_rule(
            {
                "all": [
                    {"trigger": {"event": name, "where": {"@end": "app"}}},
                    {
                        "any": [
                            {"person": "trait.city", "op": "eq", "value": city},
                            {"person": "trait.city", "op": "in", "value": [f"{city}x"]},
                        ]
                    },
                    {"metric": "count", "event": "order.paid", "op": "gte", "value": 1},
                ]
            },
            WORDS,
            trigger=True,
        )
        for name in ("order.paid", "page.viewed")
        for city in ("a", "b")
    } | {("always", ""): parse_rule({"not": {"trigger": {"event": "page.viewed"}}}, WORDS, trigger=True)}
    index = RuleIndex(rules, WORDS)
    event = {"name": "Order Completed", "end": ENDS[0], "properties": {}, "context": {}}
    assert index.candidates(event, {"trait.city": "ax"}) == [("always", ""), ("order.paid", "a")]
    assert index.candidates(event | {"end": "web"}, {"trait.city": "a"}) == [("always", "")]
    assert index.candidates(event, {}) == [("always", "")]
    assert needs_of(rules["always", ""], WORDS) == {}
