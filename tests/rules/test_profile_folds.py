"""Tags, consent, touches, lifecycle, RFM, cursors and mentions: pure rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.errors import MalformedRequest
from siyu.profile.consent import ALL_CHANNELS, Decision, allows, fold_consent
from siyu.profile.lifecycle import Figures, Thresholds, lifecycle
from siyu.profile.mention import Wanted
from siyu.profile.rfm import Cuts, rfm
from siyu.profile.scenes import CHOICES
from siyu.profile.tag import DEPTH_MAX, TagChange, TagOp, WrongTag, fold_tags, lineage, tag_path
from siyu.profile.timeline import Cursor, cursor_text, parse_cursor
from siyu.profile.touch import Touch, clean_fields, first_and_last

TAG_OPS = st.builds(
    TagOp,
    at_ms=st.integers(0, 3),
    event_id=st.sampled_from("abc"),
    change=st.sampled_from(TagChange),
    path=st.sampled_from(["x", "y/z"]),
    origin=st.just("event"),
    by=st.just("wk"),
)
DECISIONS = st.builds(
    Decision,
    at_ms=st.integers(0, 3),
    event_id=st.sampled_from("abc"),
    withdrawn=st.booleans(),
    purpose=st.sampled_from(["marketing", "service"]),
    channel=st.sampled_from(["*", "sms"]),
    source=st.just("wk"),
    text_version=st.just(""),
)


@given(st.lists(TAG_OPS), st.randoms(use_true_random=False))
def test_tags_do_not_depend_on_order_or_repetition(ops: list[TagOp], random: Any) -> None:
    again = ops * 2
    random.shuffle(again)
    assert fold_tags(again) == fold_tags(ops)
    for path in {op.path for op in ops}:
        newest = max(op[:3] for op in ops if op.path == path)
        assert (path in fold_tags(ops)) == (newest[2] is TagChange.ADD)


@given(st.lists(DECISIONS), st.randoms(use_true_random=False))
def test_consent_does_not_depend_on_order_and_a_withdrawal_wins_a_tie(decisions: list[Decision], random: Any) -> None:
    again = decisions * 2
    random.shuffle(again)
    folded = fold_consent(again)
    assert folded == fold_consent(decisions)
    for one in decisions:
        newest = max(other.at_ms for other in decisions if other[3:5] == one[3:5])
        said_no = any(other.withdrawn for other in decisions if other[3:5] == one[3:5] and other.at_ms == newest)
        assert folded[one.purpose][one.channel].withdrawn == said_no


def test_a_general_yes_never_widens_a_particular_no() -> None:
    def decided(*said: tuple[int, bool, str]) -> Any:
        return fold_consent(Decision(at, f"e{at}", not yes, "m", channel, "wk", "") for at, yes, channel in said)

    assert allows(decided(), "m", "sms") is None
    assert allows(decided((1, True, ALL_CHANNELS)), "m", "sms") is True
    assert allows(decided((1, False, "sms"), (2, True, ALL_CHANNELS)), "m", "sms") is False
    assert allows(decided((1, False, "sms"), (2, True, ALL_CHANNELS)), "m", "push") is True
    assert allows(decided((1, True, "sms"), (2, False, ALL_CHANNELS)), "m", "sms") is False
    assert allows(decided((1, False, ALL_CHANNELS), (2, True, "sms")), "m", "sms") is True
    assert allows(decided((1, True, ALL_CHANNELS)), "other", "sms") is None


def test_paths_of_tags() -> None:
    assert tag_path(" 广州 / 广州天河店 ") == "广州/广州天河店"
    assert lineage("a/b/c") == ["a", "a/b", "a/b/c"]
    for wrong in ("", "a//b", "/a", "a/", "x" * 51, "a\x00b", "/".join("a" * (DEPTH_MAX + 1))):
        with pytest.raises(WrongTag):
            tag_path(wrong)


def touch(at: int, event_id: str) -> Touch:
    return Touch(at, event_id, "wk", "web", "user_id", "u", {"utm_source": event_id})


@given(st.lists(st.builds(touch, st.integers(0, 3), st.sampled_from("abcd"))), st.randoms(use_true_random=False))
def test_first_and_last_touch_are_the_ends_of_the_order(touches: list[Touch], random: Any) -> None:
    again = touches * 2
    random.shuffle(again)
    first, last = first_and_last(again)
    assert (first, last) == first_and_last(touches)
    if touches:
        assert first == min(touches, key=lambda one: one[:2]) and last == max(touches, key=lambda one: one[:2])


def test_only_known_fields_of_a_touch_are_kept() -> None:
    sent: dict[str, Any] = {"utm_source": " wx ", "utm_medium": "", "secret": "x", "scene": 1089, "state": "a\x00b"}
    assert clean_fields(sent) == {"utm_source": "wx", "state": "ab"}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("wx-1047", "1047"),
        ("1047", "1047"),
        (" wx-1007 ", "1007"),
        ("ali-1000", "ali-1000"),
        ("wx-", "wx-"),
        ("wx-a", "wx-a"),
    ],
)
def test_a_scene_is_the_same_whichever_sdk_tells_it(sent: str, kept: str) -> None:
    assert clean_fields({"scene": sent}) == {"scene": kept}


def test_every_scene_has_a_name_of_its_own() -> None:
    for names in ([one.zh for one in CHOICES], [one.en for one in CHOICES]):
        assert len(set(names)) == len(names)


NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("known_days", "quiet_days", "spend_fen", "orders", "stage"),
    [
        (0, 0, 0, 0, "new"),
        (29, 0, 0, 0, "new"),
        (30, 0, 0, 0, "active"),
        (400, 59, 0, 0, "active"),
        (400, 60, 0, 0, "sleeping"),
        (400, 60, 1_000_000, 99, "sleeping"),
        (400, 180, 1_000_000, 99, "lost"),
        (400, 59, 100_000, 1, "vip"),
        (5, 0, 0, 10, "vip"),
        (400, 0, 99_999, 9, "active"),
    ],
)
def test_stages_of_the_lifecycle(known_days: int, quiet_days: int, spend_fen: int, orders: int, stage: str) -> None:
    figures = Figures(NOW - timedelta(days=known_days), NOW - timedelta(days=quiet_days), spend_fen, orders)
    assert lifecycle(figures, NOW) == stage


def test_thresholds_are_data() -> None:
    figures = Figures(NOW - timedelta(days=9), NOW - timedelta(days=8), 0, 0)
    assert lifecycle(figures, NOW, Thresholds(sleeping_days=7)) == "sleeping"
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"lost_day": 3}', type=Thresholds)


def test_rfm_scores_go_by_value_and_age_with_the_calendar() -> None:
    cuts = Cuts((5, 4, 3, 2), (1, 1, 2, 5), (100, 200, 300, 400), date(2026, 11, 1))
    today = date(2026, 11, 1)
    scores = [rfm(today - timedelta(days=n), 1, 100, today, cuts).r for n in range(1, 6)]
    assert scores == [5, 4, 3, 2, 1]
    assert [rfm(today, n, 0, today, cuts).f for n in (1, 2, 3, 6)] == [1, 3, 4, 5]
    assert [rfm(today, 1, fen, today, cuts).m for fen in (100, 101, 400, 401)] == [1, 2, 4, 5]
    later = today + timedelta(days=10)
    assert rfm(today - timedelta(days=3), 1, 1, later, cuts).r == rfm(today - timedelta(days=3), 1, 1, today, cuts).r
    assert rfm(None, 0, 0, today, cuts) == (None, 0, 0, None, None, None)
    assert rfm(today + timedelta(days=1), 1, 1, today).recency_days == 0


@given(st.integers(-2_000_000_000_000, 4_000_000_000_000), st.integers(0, 999))
def test_cursors_survive_their_text(at_ms: int, place: int) -> None:
    cursor = Cursor(at_ms, place)
    assert parse_cursor(cursor_text(cursor)) == cursor
    assert parse_cursor(cursor_text(cursor).replace("Z", "+00:00").replace("+", " ")) == cursor


@pytest.mark.parametrize("wrong", ["", "yesterday", "2026-13-01", "9999-12-31T23:59:59-23:59", "\x00"])
def test_wrong_cursors_are_refused(wrong: str) -> None:
    with pytest.raises(MalformedRequest):
        parse_cursor(wrong)


def test_bodies_that_speak_of_a_person_are_found() -> None:
    wanted = Wanted([("user_id", "7"), ("phone", "+8613800138000"), ("email", "a@b.cn"), ("openid:wx1", "oABCDEFG")])
    for body in (
        b'{"userId": "7"}',
        b'{"batch":[{"userId": 7}]}',
        b'{"properties": {"to": "138 0013 8000"}}',
        b'{"note": "call 13800138000 now"}',
        b'{"traits": {"email": "A@B.CN"}}',
        b'broken {"openid": "oABCDEFG"',
        '{"备注": "oABCDEFG"}'.encode(),
    ):
        assert wanted.in_body(body), body
    for body in (b'{"price": 7}', b'{"userId": "77"}', b'{"note": "138001380001"}', b"", b"\xff\xfe7", b"[7]"):
        assert not wanted.in_body(body), body
