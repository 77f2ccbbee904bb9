"""Identity as a pure function: any order, no two single values, shared devices, recycled phones, aliases, unbinds."""

from __future__ import annotations

import random
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_world import POOL, Fact, Said, Seen, expected, links_of, named_spans, numbered
from siyu.identity.evidence import Identifier, is_single
from siyu.identity.resolution import person_at, resolve, tidy
from siyu.ids import identifier_key

times = st.integers(1, 30)
seen = st.builds(Seen, times, st.lists(st.sampled_from(POOL), min_size=2, max_size=4, unique=True).map(tuple))
alias = st.builds(Said, times, st.just("alias"), st.sampled_from([*POOL, "any=u1", "any=a1"]), st.sampled_from(POOL))
unbind = st.builds(Said, times, st.just("unbind"), st.sampled_from(POOL), st.none() | st.sampled_from(POOL))
facts_of_all_sorts = st.lists(st.one_of(seen, seen, seen, alias, unbind), min_size=1, max_size=25)


def persons(*facts: Fact) -> dict[str, tuple[tuple[int, str], ...]]:
    return expected(facts)[0]


def refusals(*facts: Fact) -> list[tuple[str, str]]:
    return sorted(expected(facts)[1].values())


@given(facts_of_all_sorts, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(facts: list[Fact], chooser: random.Random) -> None:
    arrival = [*facts, *chooser.sample(facts, len(facts) // 2)]
    chooser.shuffle(arrival)
    assert expected(arrival) == expected(facts)


@given(facts_of_all_sorts, st.randoms(use_true_random=False))
def test_numbers_of_identifiers_do_not_matter(facts: list[Fact], chooser: random.Random) -> None:
    numbers = numbered(facts)
    shuffled = dict(zip(numbers, chooser.sample(range(1, 10_000), len(numbers)), strict=True))
    identifiers = {n: Identifier(n, t.partition("=")[0], identifier_key(*t.split("="))) for t, n in shuffled.items()}
    links = [link for link, _ in links_of(facts, shuffled).values()]
    chooser.shuffle(links)
    names = {n: text for text, n in shuffled.items()}
    resolution = resolve(identifiers, links, 1000)
    assert {names[n]: named_spans(spans, names) for n, spans in resolution.spans.items()} == expected(facts)[0]


@pytest.mark.parametrize("turned", [False, True])
def test_a_value_of_unknown_kind_is_first_the_user_of_that_name(turned: bool) -> None:
    """Whichever of its kinds was told first: user u1 gets the unionid, the anonymous id u1 stays with u2."""
    facts = [
        Seen(1, ("user_id=u1", "device=d1")),
        Said(1, "alias", "anonymous_id=u1", "user_id=u2"),
        Said(2, "alias", "any=u1", "unionid=n1"),
    ]
    numbers = numbered(facts)
    identifiers = {n: Identifier(n, t.partition("=")[0], identifier_key(*t.split("="))) for t, n in numbers.items()}
    links = sorted((link for link, _ in links_of(facts, numbers).values()), key=lambda link: link.a, reverse=turned)
    spans = resolve(identifiers, links, 1000).spans
    assert spans[numbers["unionid=n1"]] == spans[numbers["user_id=u1"]]
    assert spans[numbers["anonymous_id=u1"]] == spans[numbers["user_id=u2"]] != spans[numbers["user_id=u1"]]


@given(st.lists(st.one_of(seen, seen, seen, alias), min_size=1, max_size=25))
def test_no_person_ever_holds_two_values_of_a_single_kind(facts: list[Fact]) -> None:
    held: dict[tuple[str, str], set[str]] = {}
    for text, spans in persons(*facts).items():
        kind = text.partition("=")[0]
        if is_single(kind):
            for _, person in spans:
                held.setdefault((person, kind), set()).add(text)
    declared = any(isinstance(fact, Said) for fact in facts)
    for (_, kind), values in held.items():
        assert len(values) == 1 or (declared and kind == "user_id")


@given(facts_of_all_sorts)
def test_strong_identifiers_change_hands_only_by_an_unbind(facts: list[Fact]) -> None:
    removed = {fact.first for fact in facts if isinstance(fact, Said) and fact.rule == "unbind"}
    for text, spans in persons(*facts).items():
        if text.startswith(("user_id", "unionid", "external_userid", "openid")) and text not in removed:
            assert len(spans) == 1


@given(st.lists(st.tuples(times, st.sampled_from(["user_id=a", "user_id=b", "user_id=c"])), min_size=1, max_size=20))
def test_a_shared_device_is_at_each_time_of_whom_it_was_last_seen_with(turns: list[tuple[int, str]]) -> None:
    """Against the obvious: the latest sighting at or before the time, else the first."""
    spans = persons(*(Seen(at, (user, "device=tablet")) for at, user in turns))["device=tablet"]
    names = sorted({person for _, person in spans})
    owned = tuple((since, names.index(person)) for since, person in spans)
    for at in range(32):
        before = [turn for turn in turns if turn[0] <= at]
        instant = max(before)[0] if before else min(turns)[0]
        assert names[person_at(owned, at)] in {user for when, user in turns if when == instant}


def test_login_on_a_shared_tablet_merges_nobody() -> None:
    found = persons(
        Seen(5, ("anonymous_id=tablet", "device=ipad")),
        Seen(10, ("user_id=a", "anonymous_id=tablet")),
        Seen(20, ("user_id=b", "anonymous_id=tablet")),
        Seen(30, ("user_id=a", "anonymous_id=tablet")),
    )
    assert found["anonymous_id=tablet"] == ((0, "user_id=a"), (20, "user_id=b"), (30, "user_id=a"))
    assert found["device=ipad"] == ((0, "user_id=a"),)
    assert found["user_id=a"] != found["user_id=b"]


def test_anonymous_ids_without_a_key_stay_apart_until_declared_one() -> None:
    apart = Seen(1, ("anonymous_id=x", "anonymous_id=y"))
    assert persons(apart)["anonymous_id=y"] == ((0, "anonymous_id=y"),)
    together = persons(
        apart, Said(2, "alias", "anonymous_id=y", "anonymous_id=x"), Seen(9, ("user_id=u", "anonymous_id=y"))
    )
    assert together["anonymous_id=x"] == together["anonymous_id=y"] == ((0, "user_id=u"),)


def test_a_phone_joins_what_nothing_forbids() -> None:
    found = persons(Seen(1, ("user_id=u", "phone=p")), Seen(2, ("openid:m=o", "phone=p")))
    assert set(found.values()) == {((0, "user_id=u"),)}


def test_a_recycled_phone_passes_on_and_back() -> None:
    found = persons(
        Seen(10, ("user_id=old", "phone=p")),
        Seen(20, ("user_id=new", "phone=p")),
        Seen(30, ("user_id=old", "phone=p")),
    )
    assert found["phone=p"] == ((0, "user_id=old"), (20, "user_id=new"), (30, "user_id=old"))


def test_who_moved_on_to_another_phone_is_not_joined_by_the_old_one() -> None:
    found = persons(
        Seen(10, ("user_id=u", "phone=p1")),
        Seen(20, ("user_id=u", "phone=p2")),
        Seen(30, ("openid:m=stranger", "phone=p1")),
    )
    assert found["openid:m=stranger"] == ((0, "openid:m=stranger"),)
    assert found["phone=p1"] == ((0, "user_id=u"), (30, "openid:m=stranger"))
    assert found["phone=p2"] == ((0, "user_id=u"),)


def test_a_veto_is_listed_with_the_kind() -> None:
    facts = [Seen(1, ("unionid=n1", "openid:m=o")), Seen(2, ("unionid=n2", "openid:m=o"))]
    assert persons(*facts)["openid:m=o"] == ((0, "unionid=n1"),)
    assert refusals(*facts) == [("CONFLICT", "unionid")]


def test_external_users_of_two_companies_may_be_one_person() -> None:
    found = persons(Seen(1, ("unionid=n", "external_userid:c=x")), Seen(2, ("unionid=n", "external_userid:d=y")))
    assert set(found.values()) == {((0, "unionid=n"),)}
    assert refusals(Seen(1, ("unionid=n", "external_userid:c=x")), Seen(2, ("unionid=n", "external_userid:c=y")))


def test_segment_identify_then_alias() -> None:
    found = persons(
        Seen(1, ("anonymous_id=anon",)),
        Seen(5, ("user_id=u1", "anonymous_id=anon")),
        Said(9, "alias", "any=u1", "user_id=u2"),
        Seen(9, ("user_id=u2",)),
    )
    assert set(found.values()) == {((0, "user_id=u1"),)}


def test_an_alias_of_a_value_nobody_has_joins_nobody() -> None:
    found = persons(
        Said(1, "alias", "any=ghost", "user_id=u1"),
        Said(2, "alias", "any=ghost", "user_id=u2"),
    )
    assert found == {"user_id=u1": ((0, "user_id=u1"),), "user_id=u2": ((0, "user_id=u2"),)}


def test_two_users_are_not_joined_through_one_browser_they_both_named() -> None:
    """Mixpanel-style alias(cookie, user) from a shared browser: only a user_id may stand for another user_id."""
    facts = [
        Seen(1, ("anonymous_id=cookie",)),
        Said(2, "alias", "any=cookie", "user_id=a"),
        Said(3, "alias", "any=cookie", "user_id=b"),
    ]
    assert persons(*facts)["anonymous_id=cookie"] == ((0, "user_id=a"),)
    assert persons(*facts)["user_id=b"] == ((0, "user_id=b"),)
    assert refusals(*facts) == [("CONFLICT", "user_id")]


def test_merge_dangerously_joins_users_never_unionids() -> None:
    facts = [
        Seen(1, ("user_id=a", "unionid=n1")),
        Seen(2, ("user_id=b", "unionid=n2")),
        Said(3, "alias", "any=b", "user_id=a"),
    ]
    found = persons(*facts)
    assert found["user_id=a"] == found["user_id=b"] == found["unionid=n1"]
    assert found["unionid=n2"] == ((0, "unionid=n2"),)
    assert refusals(*facts) == [("CONFLICT", "unionid")]


def test_sensors_unbind_and_a_later_bind() -> None:
    facts: list[Fact] = [
        Seen(10, ("user_id=a", "openid:m=o"), True),
        Said(20, "unbind", "openid:m=o", "user_id=a"),
    ]
    assert persons(*facts)["openid:m=o"] == ((0, "user_id=a"), (20, "openid:m=o"))
    facts.append(Seen(30, ("user_id=b", "openid:m=o"), True))
    assert persons(*facts)["openid:m=o"] == ((0, "user_id=a"), (20, "user_id=b"))
    assert not refusals(*facts)


def test_unbinding_a_phone_ends_its_time() -> None:
    facts: list[Fact] = [Seen(10, ("user_id=a", "phone=p")), Said(20, "unbind", "phone=p", "user_id=a")]
    assert persons(*facts)["phone=p"] == ((0, "user_id=a"), (20, "phone=p"))
    later = persons(*facts, Seen(25, ("openid:m=o", "phone=p")))
    assert later["phone=p"] == ((0, "user_id=a"), (20, "openid:m=o"))


def test_what_came_before_the_first_login_is_of_that_login_only() -> None:
    found = persons(
        Seen(10, ("user_id=a", "anonymous_id=x")),
        Said(15, "unbind", "anonymous_id=x"),
        Seen(20, ("user_id=b", "anonymous_id=x")),
    )
    assert found["anonymous_id=x"] == ((0, "user_id=a"), (15, "user_id=b"))


@pytest.mark.parametrize("hub", ["user_id=guest", "openid:m=broken", "phone=p", "device=kiosk", "anonymous_id=fixed"])
def test_a_hub_stays_linear_and_within_the_cap(hub: str) -> None:
    """A peer's merge job broke on 195,405 ids of one profile. Work is counted in calls, not in seconds."""
    small, large = calls_to_resolve(hub, 4_000), calls_to_resolve(hub, 32_000)
    assert large < 10 * small


def calls_to_resolve(hub: str, size: int) -> int:
    """How many functions `resolve` calls for a value seen with `size` others; checks that the cap holds."""
    spoke = "openid:m" if hub.startswith("user_id") else "user_id"
    facts = [Seen(n % 1000, (hub, f"{spoke}=s{n}")) for n in range(size)]
    numbers = numbered(facts)
    identifiers = {n: Identifier(n, t.partition("=")[0], t) for t, n in numbers.items()}
    links = [link for link, _ in links_of(facts, numbers).values()]
    calls = 0

    def count(frame: object, event: str, arg: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        resolution = resolve(identifiers, links, 1000)
    finally:
        sys.setprofile(None)
    sizes = Counter(person for spans in resolution.spans.values() for _, person in spans)
    assert max(sizes.values()) <= 1000
    return calls


def test_tidy_keeps_the_last_word_of_an_instant() -> None:
    assert tidy([(0, 1), (5, 2), (5, 1), (7, 3), (7, 3)]) == ((0, 1), (7, 3))
