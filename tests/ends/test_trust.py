"""The sealed ledger on a whole server: proofs over HTTP, verified offline, and the doctor's word."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from siyu.trust import Checkpoint, Verifier
from siyu.trust.merkle import is_consistent
from siyu.trust.proof import read_proof
from tests.rules.test_trust_format import verify_by_the_page

from .cli import Cli
from .server import API_TOKEN, Server
from .test_points import call, user


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("trust") / "home")
    running.start()
    assert running.batch([{"type": "identify", "userId": f"U{n}", "messageId": f"m{n}"} for n in range(3)])
    running.wait_processed(3)
    try:
        yield running
    finally:
        running.stop()


def refused(server: Server, path: str) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        server.get(path)
    return error.value.code, json.loads(error.value.read())["code"]


def sealed(server: Server, path: str) -> Any:
    """A proof, once the sealer has passed."""
    until = time.monotonic() + 60
    while True:
        try:
            return server.get(path)
        except urllib.error.HTTPError as error:
            assert json.loads(error.read())["code"] == "NOT_SEALED"
            assert time.monotonic() < until, "the sealer does not seal"
            time.sleep(0.1)


def person(server: Server, number: int) -> str:
    return str(server.get(f"/api/persons/lookup?kind=user_id&value=U{number}")["person_id"])


def test_a_transfer_is_proved_to_both_sides_and_to_nobody_else(server: Server, tmp_path: Path) -> None:
    _, given = call(server, "/api/points/earn", {"person": user(0), "points": 100, "reason": "welcome"})
    _, moved = call(server, "/api/points/transfer", {"from": user(0), "to": user(1), "points": 7, "reason": "thanks"})
    number = moved["transfer_id"]
    giver = sealed(server, f"/api/persons/{person(server, 0)}/proofs/{number}")
    taker = sealed(server, f"/api/persons/{person(server, 1)}/proofs/{number}")
    whole = sealed(server, f"/api/ledger/transfers/{number}/proof")
    key = server.get("/api/ledger/checkpoints?limit=1")["items"][0]["public_key"]
    for proof in (giver, taker, whole):
        assert verify_by_the_page(proof, key)
        assert read_proof(json.dumps(proof).encode()).verified(Verifier.read(key)).size == proof["size"]
    assert giver["leaf"] == taker["leaf"] == whole["leaf"]
    amounts = [
        [json.loads(one["text"])["amount"] for one in proof["opened"] if one["part"].startswith("entries/")]
        for proof in (giver, taker, whole)
    ]
    assert amounts == [[-7], [7], [-7, 7]] or amounts == [[-7], [7], [7, -7]]
    assert refused(server, f"/api/persons/{person(server, 2)}/proofs/{number}") == (404, "TRANSFER_NOT_FOUND")
    assert refused(server, f"/api/persons/{person(server, 1)}/proofs/{given['transfer_id']}") == (
        404,
        "TRANSFER_NOT_FOUND",
    )
    assert refused(server, "/api/ledger/transfers/999999/proof") == (404, "TRANSFER_NOT_FOUND")
    assert refused(server, "/api/ledger/transfers/0/proof") == (404, "TRANSFER_NOT_FOUND")

    file = tmp_path / "proof.json"
    file.write_text(json.dumps(giver))
    nowhere = Cli(tmp_path / "nowhere", SIYU_DATABASE_URL="postgresql://127.0.0.1:1/none")
    said = nowhere.run("verify", file, "--key", key).stdout
    assert f"Transfer {number} is number" in said and "thanks" in said
    assert nowhere.json("verify", file, "--key", key)["leaf"]["transfer"] == number
    file.write_text(json.dumps(giver).replace("thanks", "thinks"))
    failed = nowhere.run("verify", file, "--key", key, code=1)
    assert failed.stderr.startswith("siyu: PROOF_INVALID: The part 'why' is not what was sealed.")
    other = re.sub(r"\+.*", "+00000000+AAAA", key)
    assert "PROOF_INVALID" in nowhere.run("verify", file, "--key", other, code=1).stderr


def test_an_erasure_breaks_no_proof(server: Server) -> None:
    assert server.batch([{"type": "identify", "userId": "GONE", "messageId": "gone"}])
    server.wait_processed(4)
    gone = {"kind": "user_id", "value": "GONE"}
    _, given = call(server, "/api/points/earn", {"person": gone, "points": 5, "reason": "welcome"})
    number = given["transfer_id"]
    who = server.get("/api/persons/lookup?kind=user_id&value=GONE")["person_id"]
    before = sealed(server, f"/api/persons/{who}/proofs/{number}")
    request = urllib.request.Request(f"{server.url}/api/persons/{who}?reason=asked", method="DELETE")
    request.add_header("Authorization", f"Bearer {API_TOKEN}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.loads(answer.read())["rows"]["identifiers"] == 1
    key = server.get("/api/ledger/checkpoints?limit=1")["items"][0]["public_key"]
    after = sealed(server, f"/api/ledger/transfers/{number}/proof")
    assert verify_by_the_page(before, key) and verify_by_the_page(after, key)
    assert after["leaf"] == before["leaf"]
    assert refused(server, f"/api/persons/{who}/proofs/{number}") == (404, "PERSON_NOT_FOUND")
    assert "GONE" not in json.dumps(after) and who not in json.dumps(after)


def test_checkpoints_continue_each_other(server: Server) -> None:
    sizes = set()
    for _ in range(3):
        _, booked = call(server, "/api/points/earn", {"person": user(2), "points": 1})
        sizes.add(sealed(server, f"/api/ledger/transfers/{booked['transfer_id']}/proof")["size"])
    page = server.get("/api/ledger/checkpoints")
    assert page["next_before"] is None and page["waiting"] == 0
    items = page["items"]
    assert sizes <= {one["size"] for one in items}
    assert [one["number"] for one in items] == list(range(len(items), 0, -1))
    opened = {one["size"]: Checkpoint.opened(one["checkpoint"], Verifier.read(one["public_key"])) for one in items}
    assert all(opened[one["size"]].root.hex() == one["root"] for one in items)
    for old in opened:
        for new in opened:
            if old > new:
                assert refused(server, f"/api/ledger/consistency?old={old}&new={new}") == (400, "MALFORMED_REQUEST")
                continue
            path = [bytes.fromhex(one) for one in server.get(f"/api/ledger/consistency?old={old}&new={new}")["path"]]
            assert is_consistent(old, opened[old].root, new, opened[new].root, path)
    assert refused(server, "/api/ledger/consistency?old=1&new=999999")[1] == "CHECKPOINT_NOT_FOUND"
    first = server.get("/api/ledger/checkpoints?limit=1")
    second = server.get(f"/api/ledger/checkpoints?limit=1&before={first['next_before']}")
    assert [one["number"] for one in (*first["items"], *second["items"])] == [len(items), len(items) - 1]


def test_the_metrics_and_the_doctor_say_how_far_sealing_is(server: Server, tmp_path: Path) -> None:
    newest = server.get("/api/ledger/checkpoints?limit=1")["items"][0]
    with urllib.request.urlopen(server.url + "/metrics", timeout=30) as answer:
        figures = dict(re.findall(r"^(siyu_ledger_\w+) (\S+)$", answer.read().decode(), re.M))
    assert set(figures) == {"siyu_ledger_sealed", "siyu_ledger_unsealed", "siyu_ledger_seal_lag_seconds"}
    assert float(figures["siyu_ledger_sealed"]) >= newest["size"]
    kept = tmp_path / "checkpoint.txt"
    kept.write_text(newest["checkpoint"])
    checks = {check["name"]: check for check in Cli(server.home).json("doctor", "--checkpoint", kept)}
    assert checks["ledger"]["ok"] and checks["ledger"]["detail"] == "I1-I10 hold"
    assert checks["ledger seals"]["ok"] and "transfers sealed up to" in checks["ledger seals"]["detail"]
    text = newest["checkpoint"].replace(f"\n{newest['size']}\n", f"\n{newest['size'] + 1000}\n")
    kept.write_text(text)
    told = Cli(server.home).run("doctor", "--checkpoint", kept, code=1).stdout
    assert "the end was removed" in told
