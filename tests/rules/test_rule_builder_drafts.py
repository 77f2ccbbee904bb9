"""The fields of the rule builder say what the rule says, and an error's path leads to the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from tests.rule_world import trigger_rules

from siyu.console.rule_draft import EMPTY, draft_of, rule_of
from siyu.console.rule_form import Editor, editor_of, rule_from
from siyu.rules.parse import parse_rule
from siyu.rules.rule import Group, InvalidRule, Negation, Rule
from siyu.rules.write import rule_json
from siyu.segments.words import WORDS


def plain(rule: Rule) -> Rule:
    """Without groups of one."""
    if isinstance(rule, Group):
        parts = tuple(plain(part) for part in rule.parts)
        return parts[0] if len(parts) == 1 and rule.word != "n_of_m" else rule._replace(parts=parts)
    return Negation(plain(rule.part)) if isinstance(rule, Negation) else rule


def kinds(draft: Any) -> list[str]:
    """The kinds of all nodes."""
    return [draft["kind"], *(kind for part in draft.get("parts", ()) for kind in kinds(part))]


KEPT: list[bool] = []


@settings(deadline=None, max_examples=200)
@given(trigger_rules)
def test_a_rule_comes_back_from_its_fields(given_rule: Any) -> None:
    rule = parse_rule(given_rule, WORDS, trigger=True)
    draft = draft_of(rule_json(rule), WORDS)
    made = rule_of(draft, WORDS)
    assert made.rule is not None
    assert plain(parse_rule(made.rule, WORDS, trigger=True)) == plain(rule)
    KEPT.extend(kind == "kept" for kind in kinds(draft) if kind != "group")
    # Every node of the rule that may be wrong is found in the draft.
    for path, place in made.places.items():
        node = draft
        for n in place.split(".") if place else ():
            node = node["parts"][int(n)]
        assert made.place(path + ".value") == (place, path)


def test_the_builder_has_fields_for_nearly_everything() -> None:
    assert sum(KEPT) < len(KEPT) / 10


def person(**fields: Any) -> dict[str, Any]:
    return {"kind": "person", "name": "dim.orders", "op": "gte", "value": "2"} | fields


def test_an_error_names_its_field() -> None:
    hidden: dict[str, Any] = {**EMPTY, "parts": []}
    wrong = {**EMPTY, "word": "any", "parts": [person(), person(value="many")]}
    draft = {**EMPTY, "parts": [hidden, wrong, person()]}
    made = rule_of(draft, WORDS)
    ordered = {"kind": "person", "name": "trait.n", "op": "is_multiple_of", "value": "x"}
    bad = rule_of({**EMPTY, "parts": [hidden, {**EMPTY, "word": "any", "parts": [person(), ordered]}]}, WORDS)
    assert made.rule is not None and len(made.rule["all"]) == 2
    with pytest.raises(InvalidRule) as refused:
        try:
            parse_rule(bad.rule, WORDS)
        except InvalidRule:
            raise
        except Exception as error:
            raise InvalidRule(str(error), path=error.details["path"]) from error  # type: ignore[attr-defined]  # a condition's
    assert bad.place(refused.value.details["path"])[0] == "1.1"


@pytest.mark.parametrize("draft", [None, [], {"kind": "group"}, {"kind": "what"}, {"kind": "group", "parts": [3]}])
def test_what_is_no_draft_is_refused(draft: Any) -> None:
    with pytest.raises(InvalidRule):
        rule_of(draft, WORDS)


def test_a_form_says_its_rule_in_either_way() -> None:
    sentence = "订单数 至少 2"
    rule = {"person": "dim.orders", "op": "gte", "value": 2}
    draft = json.dumps({**EMPTY, "parts": [person()]})
    assert rule_from({"text": sentence}, "rule", "zh") == rule
    assert rule_from({"rule": draft, "rule_by": "builder", "rule_text": "nonsense"}, "rule", "zh") == rule
    assert rule_from({"rule": "{}", "rule_by": "text", "rule_text": sentence}, "rule", "zh") == rule
    assert rule_from({"rule": json.dumps(EMPTY), "rule_text": ""}, "rule", "zh") is None
    assert rule_from({}, "rule", "zh") is None
    editor = editor_of(rule, "zh")
    assert (editor.text, editor.label("dim.orders"), editor.label("trait.city")) == (sentence, "订单数", "属性: city")


@pytest.mark.parametrize(
    ("node", "op", "kind"),
    [
        ({"kind": "person", "name": "dim.orders", "op": ""}, "gte", "number"),
        ({"kind": "person", "name": "lifecycle", "op": ""}, "eq", "choice"),
        ({"kind": "person", "name": "lifecycle", "op": "in", "value": "lost"}, "in", "choices"),
        ({"kind": "person", "name": "first_touch.scene", "op": ""}, "eq", "text"),
        ({"kind": "person", "name": "last_seen", "op": "eq"}, "within", "duration"),
        ({"kind": "person", "name": "tags", "op": ""}, "has_tag", "tag"),
        ({"kind": "person", "name": "trait.city", "op": "is_null"}, "is_null", "none"),
        ({"kind": "metric", "measure": "first", "op": "gte", "filters": []}, "gte", "time"),
        ({"kind": "metric", "measure": "first", "op": "eq", "filters": []}, "within", "duration"),
    ],
)
def test_a_node_gets_the_operator_and_the_field_that_fit(node: dict[str, Any], op: str, kind: str) -> None:
    editor = Editor({}, "", "zh", False)
    settled = editor.settled(node)
    assert (settled["op"], editor.value_kind(settled)) == (op, kind)
    assert op in dict(editor.operators(settled))
