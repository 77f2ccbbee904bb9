"""The format as docs/trust.md describes it: a verifier written from that page alone, and leaves pinned byte by byte."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from siyu.ledger.seal import (
    EntryFacts,
    Facts,
    Sealable,
    entry_text,
    leaf_text,
    microseconds,
    opened_parts,
    parts_of,
)
from siyu.trust import Checkpoint, Proof, ProofInvalid, Signer, Verifier
from siyu.trust.chain import START, link
from siyu.trust.merkle import hashes_of, inclusion_ranges, leaf_hash, root_of
from siyu.trust.proof import FORMAT, read_proof

AT = datetime(2026, 6, 1, 2, 0, 0, 123456, tzinfo=UTC)
LOG = "siyu-ledger/0011223344556677"
SIGNER = Signer.derived(LOG, b"secret")
SALT = bytes(range(16))
DOC = Path(__file__).parents[2] / "docs" / "trust.md"


def transfer(number: int = 17, reason: str = "") -> Sealable:
    key, request = UUID(int=1), UUID(int=2)
    facts = Facts(
        number, key, request, "transfer", AT, AT - timedelta(days=1), reason, "order/7", "api", 3, None, "{}", 99
    )
    entries = (
        EntryFacts(number, 4, "1", "points", "available", 9, -5, 95, AT),
        EntryFacts(number, 8, "2@170", "points", "available", 1, 5, 5, AT),
    )
    return Sealable(facts, entries, ((1024, -5), (17408, 5)))


def proof_of(one: Sealable, index: int, size: int, holders: frozenset[str] | None = None) -> Proof:
    """Among leaves of other transfers."""
    leaves = [leaf_text(transfer(1000 + n), SALT) for n in range(size)]
    leaves[index] = leaf_text(one, SALT)
    hashes = [leaf_hash(leaf.encode()) for leaf in leaves]
    chain = START
    for leaf in hashes:
        chain = link(chain, leaf)
    path = hashes_of(
        inclusion_ranges(index, size), lambda at: root_of(hashes[at.place << at.height : (at.place + 1) << at.height])
    )
    note = Checkpoint(LOG, size, root_of(hashes), chain, microseconds(AT)).signed(SIGNER)
    return Proof(
        FORMAT,
        one.facts.id,
        leaves[index],
        index,
        size,
        [node.hex() for node in path],
        note,
        str(SIGNER.verifier),
        opened_parts(one, SALT, holders),
    )


def verify_by_the_page(document: dict[str, Any], public_key: str) -> bool:
    """docs/trust.md, section Proof, steps 1 to 4, with hashlib and an Ed25519 of a library."""

    def digest(*parts: bytes) -> bytes:
        return hashlib.sha256(b"".join(parts)).digest()

    name, key_id, key = public_key.split("+", 2)
    public = base64.b64decode(key)[1:]
    text, _, signatures = document["checkpoint"].rpartition("\n\n")
    text += "\n"
    blob = base64.b64decode(signatures.removeprefix(f"— {name} "))
    assert blob[:4].hex() == key_id == digest(name.encode(), b"\n\x01", public)[:4].hex()
    Ed25519PublicKey.from_public_bytes(public).verify(blob[4:], text.encode())
    lines = text.split("\n")
    f, s, r = document["index"], document["size"] - 1, digest(b"\0", document["leaf"].encode())
    for p in map(bytes.fromhex, document["path"]):
        if f % 2 or f == s:
            r = digest(b"\1", p, r)
            while f and f % 2 == 0:
                f, s = f // 2, s // 2
        else:
            r = digest(b"\1", r, p)
        f, s = f // 2, s // 2
    leaf = json.loads(document["leaf"])
    held = {"why": leaf["why"], "record": leaf["record"], "lots": leaf["lots"]}
    held |= {f"entries/{n}": one for n, one in enumerate(leaf["entries"])}
    return (
        lines[1] == str(document["size"])
        and s == 0
        and r == base64.b64decode(lines[2])
        and leaf["transfer"] == document["transfer_id"]
        and all(
            digest(bytes.fromhex(o["salt"]), o["text"].encode()).hex() == held[o["part"]] for o in document["opened"]
        )
    )


@pytest.mark.parametrize(("index", "size"), [(0, 1), (2, 3), (4, 7), (11, 12), (0, 64), (63, 64), (64, 65)])
def test_a_proof_is_verified_from_the_page_alone(index: int, size: int) -> None:
    proof = proof_of(transfer(), index, size)
    document = json.loads(msgspec.json.encode(proof))
    assert verify_by_the_page(document, str(SIGNER.verifier))
    assert read_proof(msgspec.json.encode(proof)).verified(SIGNER.verifier).size == size
    assert not verify_by_the_page(document | {"leaf": document["leaf"].replace("17", "18")}, str(SIGNER.verifier))


def test_the_page_names_what_the_format_says() -> None:
    page = DOC.read_text("utf-8")
    leaf = json.loads(leaf_text(transfer(), SALT))
    place = -1
    for member in leaf:
        place = page.index(f'"{member}":', place + 1)
    for name in (*Proof.__struct_fields__, "siyu-transfer/1", FORMAT, "checkpoint key"):
        assert f"`{name}`" in page or f'"{name}"' in page, name
    for member in (*json.loads(entry_text(transfer().entries[0])), *json.loads(parts_of(transfer())["record"])):
        assert f'"{member}":…' in page, member


def test_a_leaf_never_changes() -> None:
    one = transfer(reason='7 折 "限时"\n')
    assert entry_text(one.entries[0]) == (
        '{"account":4,"holder":"1","currency":"points","role":"available","version":9,"amount":-5,"balance_after":95,'
        '"at":1780279200123456}'
    )
    assert parts_of(one)["why"] == '{"reason":"7 折 \\"限时\\"\\n","cause":"order/7"}'
    assert parts_of(one)["lots"] == "[[1024,-5],[17408,5]]"
    why = hashlib.sha256(hashlib.sha256(SALT + b"why").digest()[:16] + parts_of(one)["why"].encode()).hexdigest()
    assert leaf_text(one, SALT).startswith(
        '{"format":"siyu-transfer/1","transfer":17,"kind":"transfer","at":1780279200123456,'
        f'"occurred_at":1780192800123456,"corrects":3,"refused":null,"why":"{why}","record":"'
    )
    pinned = "046a076f9822c48bced2fd3eda81b1854d1e409ff36cd21a07a7ac809713063f"
    assert leaf_hash(leaf_text(one, SALT).encode()).hex() == pinned


def test_a_payee_sees_their_own_part_only() -> None:
    one = transfer(reason="thanks")
    mine = opened_parts(one, SALT, frozenset({"1"}))
    assert [part.part for part in mine] == ["why", "entries/0"]
    shown = msgspec.json.encode(proof_of(one, 0, 1, frozenset({"1"}))).decode()
    for hidden in ("2@170", '\\"balance_after\\":5,', str(UUID(int=1)), "api"):
        assert hidden not in shown
    everything = [part.part for part in opened_parts(one, SALT, None)]
    assert everything == ["why", "record", "lots", "entries/0", "entries/1"]


BROKEN: dict[str, Any] = {
    "format": "siyu-proof/2",
    "transfer_id": 18,
    "leaf": leaf_text(transfer(18), SALT),
    "index": 4,
    "size": 8,
    "path": [],
    "checkpoint": "nothing",
    "opened": [{"part": "why", "salt": "00" * 16, "text": "{}"}],
}


@pytest.mark.parametrize("member", BROKEN)
def test_a_changed_proof_does_not_hold(member: str) -> None:
    document = json.loads(msgspec.json.encode(proof_of(transfer(), 3, 7)))
    with pytest.raises(ProofInvalid):
        read_proof(json.dumps(document | {member: BROKEN[member]}).encode()).verified(SIGNER.verifier)


@pytest.mark.parametrize("part", ["", "when", "entries", "entries/2", "entries/-1", "entries/x", "transfer", "why/0"])
def test_a_part_that_is_not_in_the_leaf_is_refused(part: str) -> None:
    document = json.loads(msgspec.json.encode(proof_of(transfer(), 3, 7)))
    document["opened"][0]["part"] = part
    with pytest.raises(ProofInvalid, match="part"):
        read_proof(json.dumps(document).encode()).verified(SIGNER.verifier)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"format": 1}'])
def test_what_is_no_proof_is_refused(body: bytes) -> None:
    with pytest.raises(ProofInvalid):
        read_proof(body)


def test_another_key_proves_nothing() -> None:
    other = Signer.derived(LOG, b"another secret").verifier
    with pytest.raises(ProofInvalid, match="not signed"):
        proof_of(transfer(), 0, 1).verified(other)
    named = Verifier("another-log", SIGNER.verifier.public)
    with pytest.raises(ProofInvalid, match="not signed"):
        proof_of(transfer(), 0, 1).verified(named)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(texts, texts, st.none() | texts, st.none() | st.integers(1, 2**62), st.lists(st.integers(-(2**62), 2**62)))
def test_every_leaf_is_json_in_the_form_of_rfc_8785(
    kind: str, reason: str, cause: str | None, corrects: int | None, amounts: list[int]
) -> None:
    one = transfer()
    facts = one.facts._replace(kind=kind, reason=reason, cause=cause, corrects=corrects, refused=cause)
    entries = [one.entries[0]._replace(amount=amount, holder=reason) for amount in amounts]
    changed = Sealable(facts, entries, [(amount, amount) for amount in amounts])
    for text in (leaf_text(changed, SALT), *parts_of(changed).values()):
        assert text == json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    leaf = json.loads(leaf_text(changed, SALT))
    assert (leaf["kind"], leaf["corrects"], leaf["refused"]) == (kind, corrects, cause)
    assert len(leaf["entries"]) == len(amounts)


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_times_are_whole_microseconds(at: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds(at)) == at
