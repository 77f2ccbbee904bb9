"""Signed notes and checkpoints: the published note of Go's sumdb, and what is not accepted."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.trust import Checkpoint, ProofInvalid, Signer, Verifier

KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PRIVATE = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    f"{TEXT}\n— PeterNeumann"
    " x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
LOG = "siyu-ledger/0011223344556677"
SIGNER = Signer.derived(LOG, b"secret")
HEAD = Checkpoint(LOG, 7, bytes(range(32)), bytes(range(32, 64)), 1_780_279_200_000_000)


def test_the_published_note_is_opened_and_written_byte_by_byte() -> None:
    verifier = Verifier.read(KEY)
    assert str(verifier) == KEY
    assert verifier.open(NOTE) == TEXT
    signer = Signer("PeterNeumann", base64.b64decode(PRIVATE)[1:])
    assert str(signer.verifier) == KEY
    assert signer.sign(TEXT) == NOTE


@pytest.mark.parametrize(
    "wrong",
    [
        KEY.replace("c74f20a3", "c74f20a4"),
        KEY.replace("Peter", "peter"),
        KEY[:-1],
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "",
        "++",
    ],
)
def test_a_mangled_key_is_refused(wrong: str) -> None:
    with pytest.raises(ProofInvalid):
        Verifier.read(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        NOTE.replace("answer", "Answer"),
        NOTE.replace("— ", "- "),
        NOTE.replace("x08go", "x08gp"),
        NOTE[:-1],
        TEXT,
        "\n\n",
        "",
        NOTE + "more\n",
        NOTE.replace("PeterNeumann", "EnochRoot"),
    ],
)
def test_a_changed_note_is_refused(wrong: str) -> None:
    with pytest.raises(ProofInvalid):
        Verifier.read(KEY).open(wrong)


def test_the_signatures_of_others_do_no_harm() -> None:
    other = Signer.derived("EnochRoot", b"other").sign(TEXT).rpartition("\n\n")[2]
    assert Verifier.read(KEY).open(NOTE + other) == TEXT


def test_a_checkpoint_is_what_was_signed() -> None:
    note = HEAD.signed(SIGNER)
    assert note.startswith(f"{LOG}\n7\n{base64.b64encode(HEAD.root).decode()}\nchain ")
    assert Checkpoint.opened(note, SIGNER.verifier) == HEAD


@given(st.integers(0), st.integers(0, 7))
def test_no_flipped_bit_of_a_checkpoint_goes_unnoticed(place: int, bit: int) -> None:
    blob = bytearray(HEAD.signed(SIGNER).encode())
    blob[place % len(blob)] ^= 1 << bit
    with pytest.raises(ProofInvalid):
        Checkpoint.opened(blob.decode(errors="replace"), SIGNER.verifier)


@pytest.mark.parametrize(
    "text",
    [
        "siyu-ledger/other\n" + HEAD.text().partition("\n")[2],
        HEAD.text().replace("\n7\n", "\n07\n"),
        HEAD.text().replace("\n7\n", "\n-7\n"),
        HEAD.text() + "more\n",
        HEAD.text().replace("chain ", "link "),
        "a\n1\nb\n",
    ],
)
def test_what_is_signed_and_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ProofInvalid):
        Checkpoint.opened(SIGNER.sign(text), SIGNER.verifier)


def test_a_key_follows_from_name_and_secret() -> None:
    assert str(Signer.derived(LOG, b"secret").verifier) == str(SIGNER.verifier)
    assert str(Signer.derived(LOG, b"other").verifier) != str(SIGNER.verifier)
    assert Signer.derived("other", b"secret").verifier.public != SIGNER.verifier.public
    with pytest.raises(ValueError, match="empty"):
        SIGNER.sign("a\n\nb\n")
