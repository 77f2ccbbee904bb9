"""`siyu keys`, `ask`, `doctor` and `person` on the real engines, as processes."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from siyu.cli.person_record import meanings
from siyu.settings import Settings
from siyu.store.engines import open_engines
from tests.conftest import remove_home
from tests.ends.cli import Cli

EVENTS = """user_id,phone,email,event,time,value_fen,product
u1,13800138001,,product.viewed,2026-06-01T10:00:00+08:00,,tea
u1,,,order.paid,2026-06-01T10:05:00+08:00,9900,tea
u2,13800138002,,product.viewed,2026-06-02T10:00:00+08:00,,cat food
u3,,x@mail.example,product.viewed,2026-06-03T10:00:00+08:00,,tea
13800138001,,,product.viewed,2026-06-04T10:00:00+08:00,,tea
"""
FUNNEL = {
    "kind": "funnel",
    "order": "ordered",
    "steps": [{"event": "product.viewed"}, {"event": "order.paid"}],
    "window": {"n": 1, "unit": "day"},
    "range": {"from": "2026-06-01T00:00:00+08:00", "to": "2026-07-01T00:00:00+08:00"},
}


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A home whose engines stay up, with a handful of events."""
    home = tmp_path_factory.mktemp("commands") / "home"
    cli = Cli(home)
    with open_engines(Settings(home=str(home))):
        (home.parent / "events.csv").write_text(EVENTS)
        cli.run("import", "events.csv", "--as", "events")
        yield cli
    remove_home(home)


def test_a_question_is_answered_as_a_table_and_as_json(cli: Cli) -> None:
    (cli.home.parent / "funnel.json").write_text(json.dumps(FUNNEL))
    assert cli.json("ask", "funnel.json")["counts"] == [4, 1]
    lines = cli.run("ask", "funnel.json").stdout.splitlines()
    assert lines[0].split()[:2] == ["step", "persons"]
    assert [line.split()[1] for line in lines[2:]] == ["4", "1"]


def test_a_question_comes_from_standard_input_and_a_wrong_one_is_refused(cli: Cli) -> None:
    assert json.loads(cli.run("ask", "-", "--json", stdin=json.dumps(FUNNEL)).stdout)["counts"] == [4, 1]
    told = cli.run("ask", "-", stdin=json.dumps(FUNNEL | {"order": "random"}), code=1)
    assert told.stderr.startswith("siyu: INVALID_QUESTION: ")
    assert told.stderr.rstrip().endswith("(order)")


def test_a_key_is_made_listed_and_revoked(cli: Cli) -> None:
    secret = cli.run("keys", "create", "小程序", "--end", "mini_program").stdout.strip()
    assert re.fullmatch("wk_[0-9a-f]{48}", secret)
    made = next(key for key in cli.json("keys", "list") if key["secret"] == secret)
    assert (made["name"], made["end"], made["kind"], made["revoked_at"]) == ("小程序", "mini_program", "write", None)
    assert secret in cli.run("keys", "list").stdout
    cli.run("keys", "revoke", made["id"])
    assert next(key for key in cli.json("keys", "list") if key["id"] == made["id"])["revoked_at"] is not None
    assert cli.run("keys", "revoke", made["id"], code=1).stderr.startswith("siyu: NOT_FOUND: ")


def test_an_api_token_is_shown_once(cli: Cli) -> None:
    made = cli.json("keys", "create", "script", "--kind", "api", "--scope", "till")
    assert made["scope"] == "till"
    assert made["secret"].startswith("at_")
    assert made["secret"] not in cli.run("keys", "list").stdout


def test_the_doctor_finds_this_installation_well(cli: Cli) -> None:
    checks = cli.json("doctor")
    assert {check["name"] for check in checks} >= {"home", "disk", "clock", "postgresql", "clickhouse"}
    assert all(check["ok"] for check in checks)
    assert "All is well." in cli.run("doctor").stdout


def test_the_doctor_says_what_to_do_and_fails(tmp_path: Path) -> None:
    sick = Cli(
        tmp_path / "home", SIYU_DATABASE_URL="postgresql://nobody@127.0.0.1:1/x", SIYU_EVENTS_URL="http://127.0.0.1:1/x"
    )
    told = sick.run("doctor", code=1).stdout
    assert "!!  postgresql" in told
    assert "SIYU_DATABASE_URL" in told
    assert "of" in told.splitlines()[-1]


@pytest.mark.parametrize(
    "identifier",
    ["user_id:u2", "user_id=u2", "phone:13800138002", "phone=13800138002", "+86 138 0013 8002", "13800138002", "u2"],
)
def test_a_person_is_found_by_any_identifier(cli: Cli, identifier: str) -> None:
    person = cli.json("person", "show", identifier)["person"]
    assert ["user_id", "u2"] in [[item["kind"], item["value"]] for item in person["identifiers"]]
    assert cli.json("person", "show", person["person_id"])["person"]["person_id"] == person["person_id"]


def test_a_bare_value_that_names_two_persons_is_refused(cli: Cli) -> None:
    told = cli.run("person", "show", "13800138001", code=1)
    assert told.stderr.startswith("siyu: AMBIGUOUS_IDENTIFIER: ")


def test_a_portrait_on_the_terminal_has_its_last_events(cli: Cli) -> None:
    told = cli.run("person", "show", "u1", "--events", "1").stdout
    assert "user_id:u1" in told
    assert "order.paid" in told
    assert "product.viewed" not in told


@pytest.mark.parametrize(
    ("identifier", "meant"),
    [
        ("user_id=a:b=c", [("user_id", "a:b=c")]),
        ("user_id:a=b", [("user_id", "a=b")]),
        ("openid:wx1=oX", [("openid:wx1", "oX"), ("openid", "wx1=oX")]),
        ("openid:wx1:oX", [("openid:wx1", "oX"), ("openid", "wx1:oX")]),
        ("openid:wx1:o=X", [("openid:wx1", "o=X"), ("openid", "wx1:o=X")]),
        ("openid=wx1:oX", [("openid", "wx1:oX")]),
        ("a=b@c.cn", [("email", "a=b@c.cn"), ("user_id", "a=b@c.cn")]),
    ],
)
def test_a_kind_stands_before_a_colon_or_an_equals_sign(identifier: str, meant: list[tuple[str, str]]) -> None:
    assert list(meanings(identifier))[:2] == meant


@pytest.mark.parametrize(
    ("identifier", "code"),
    [
        ("user_id:nobody", "PERSON_NOT_FOUND"),
        ("user_id=nobody", "PERSON_NOT_FOUND"),
        ("shoe=41", "PERSON_NOT_FOUND: Nobody is known as 'shoe=41'. 'shoe' is no identifier kind."),
        ("shoe:41", "MALFORMED_REQUEST"),
    ],
)
def test_unknown_persons_and_kinds_are_refused(cli: Cli, identifier: str, code: str) -> None:
    assert cli.run("person", "show", identifier, code=1).stderr.startswith(f"siyu: {code}")


def test_an_export_is_a_zip_only_its_owner_can_read(cli: Cli) -> None:
    path = Path(cli.run("person", "export", "u1", "--out", "u1.zip").stdout.strip())
    assert path == cli.home.parent / "u1.zip"
    assert path.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(path) as archive:
        assert {"person.json", "manifest.json"} <= set(archive.namelist())


def test_an_erasure_asks_first_and_no_import_brings_the_person_back(cli: Cli) -> None:
    asked = cli.run("person", "erase", "email:x@mail.example", stdin="n\n", code=1)
    assert "events       1" in asked.stderr
    cli.run("person", "erase", "email:x@mail.example", "--dry-run")
    assert cli.json("person", "show", "email:x@mail.example")["person"]
    receipt = json.loads(cli.run("person", "erase", "email:x@mail.example", "--yes", "--json").stdout)
    assert receipt["rows"]["events"] == 1
    cli.run("person", "show", "email:x@mail.example", code=1)
    cli.run("import", "events.csv", "--as", "events", "--again")
    cli.run("person", "show", "email:x@mail.example", code=1)
    cli.run("person", "show", "user_id:u3", code=1)
