"""Sessions and passwords of the console: nothing is worth anything without the installation's secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from hypothesis import given
from hypothesis import strategies as st

from siyu.console.http_login import local_path
from siyu.console.operator import (
    DECOY_HASH,
    PERMISSIONS,
    ROLES,
    Operator,
    WeakPassword,
    generate_password,
    hash_password,
    password_matches,
)
from siyu.console.session import LIFETIME, NUMBER_BYTES, Session, csrf_matches, csrf_token, seal, unseal
from siyu.errors import Forbidden

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
SECRET = b"installation secret"
SESSION = Session(bytes(range(NUMBER_BYTES)), NOW + LIFETIME)


def test_a_sealed_session_is_read_back() -> None:
    assert unseal(seal(SESSION, SECRET), SECRET, NOW) == SESSION


def test_a_session_ends_after_twelve_hours() -> None:
    cookie = seal(SESSION, SECRET)
    assert unseal(cookie, SECRET, NOW + LIFETIME - timedelta(seconds=1)) is not None
    assert unseal(cookie, SECRET, NOW + LIFETIME) is None


def test_another_secret_opens_nothing() -> None:
    assert unseal(seal(SESSION, SECRET), b"another", NOW) is None


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_breaks_the_seal(place: int, flip: int) -> None:
    cookie = bytearray(seal(SESSION, SECRET).encode())
    cookie[place % len(cookie)] ^= flip
    assert unseal(cookie.decode("latin-1"), SECRET, NOW) in (None, SESSION)
    # Base64 has spare bits: a change that decodes to the same bytes is the same cookie.


@given(st.text(max_size=200))
def test_garbage_is_no_session(text: str) -> None:
    assert unseal(text, SECRET, NOW) is None


def test_csrf_tokens_belong_to_one_session() -> None:
    token = csrf_token(SESSION.number, SECRET)
    assert csrf_matches(token, SESSION.number, SECRET)
    assert not csrf_matches(token, bytes(NUMBER_BYTES), SECRET)
    assert not csrf_matches("", SESSION.number, SECRET)
    assert not csrf_matches("口令", SESSION.number, SECRET)
    assert token not in seal(SESSION, SECRET)


def test_passwords() -> None:
    kept = hash_password("correct horse")
    assert kept.startswith("$argon2id$")
    assert password_matches("correct horse", kept)
    assert not password_matches("Correct horse", kept)
    assert not password_matches("anything", None)


def test_an_unknown_name_costs_the_work_of_a_known_one() -> None:
    assert extract_parameters(DECOY_HASH) == extract_parameters(hash_password("correct horse"))
    with pytest.raises(VerifyMismatchError):  # compared, not refused as malformed
        PasswordHasher().verify(DECOY_HASH, "correct horse")
    for wrong in ("short", "x" * 257):
        with pytest.raises(WeakPassword):
            hash_password(wrong)


def test_generated_passwords_differ_and_are_readable() -> None:
    made = {generate_password() for _ in range(50)}
    assert len(made) == 50
    assert all(len(one) == 19 and not set(one) & set("0O1lI5S8B") for one in made)


def test_roles() -> None:
    assert set(PERMISSIONS) == set(ROLES)
    assert Operator("a", "manager").may("erase")
    assert not Operator("a", "operator").may("erase")
    assert not Operator("a", "developer").may("persons")
    with pytest.raises(Forbidden):
        Operator("a", "operator").require("sources")


ELSEWHERE = """
//evil.example https://evil.example/console/ /console\\@evil /consoles /api/persons javascript:1 http:/console/x
"""


@pytest.mark.parametrize("path", [*ELSEWHERE.split(), "", "/console/\nx"])
def test_the_login_never_leads_to_another_site(path: str) -> None:
    assert local_path(path) == "/console"


@pytest.mark.parametrize("path", ["/console", "/console/persons?q=138", "/console/questions/funnel?q=abc"])
def test_the_login_leads_back(path: str) -> None:
    assert local_path(path) == path
