"""Help and errors of the command line, in both languages, without any engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.ends.cli import Cli

COMMANDS = (
    ("serve",),
    ("demo",),
    ("import",),
    ("keys",),
    ("keys", "create"),
    ("keys", "list"),
    ("keys", "revoke"),
    ("ask",),
    ("doctor",),
    ("verify",),
    ("person",),
    ("person", "show"),
    ("person", "export"),
    ("person", "erase"),
)
DOC = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "home")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_docs_show_the_help_of_every_command(cli: Cli, command: tuple[str, ...]) -> None:
    shown = cli.run(*command, "--help").stdout
    block = f"```\n$ siyu {' '.join(command)} --help\n{shown}```"
    assert block in DOC.read_text("utf-8")


def test_docs_show_the_help_of_siyu_itself(cli: Cli) -> None:
    assert f"```\n$ siyu --help\n{cli.run('--help').stdout}```" in DOC.read_text("utf-8")


@pytest.mark.parametrize("environ", [{"LANG": "zh_CN.UTF-8"}, {"SIYU_LOCALE": "zh_CN"}])
def test_help_is_chinese_where_the_reader_is(tmp_path: Path, environ: dict[str, str]) -> None:
    cli = Cli(tmp_path / "home", **environ)
    for command in ((), *COMMANDS):
        assert re.search("[\u4e00-\u9fff]{4}", cli.run(*command, "--help").stdout), command


def test_a_set_locale_beats_the_terminal(tmp_path: Path) -> None:
    assert "在前台" not in Cli(tmp_path, LANG="zh_CN.UTF-8", SIYU_LOCALE="en").run("--help").stdout


def test_help_imports_no_room(cli: Cli) -> None:
    """Asked by what is loaded, not by the clock: the rooms' libraries take seconds to import."""
    import subprocess
    import sys

    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "siyu.cli", "--help"],
        env=cli.environ,
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.splitlines()}
    assert "click" in loaded
    assert not loaded & {"pyarrow", "sqlalchemy", "litestar", "numpy", "asyncpg"}


def test_an_unknown_command_is_a_usage_error(cli: Cli) -> None:
    assert "No such command" in cli.run("serv", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("import", "{file}", "--as", "nothing"), "IMPORT_MAPPING_INVALID"),
        (("ask", "{file}"), "INVALID_QUESTION"),
    ],
)
def test_a_refusal_is_one_line_with_its_code(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], code: str) -> None:
    file = tmp_path / "file.csv"
    file.write_text("a,b\n1,2\n")
    told = cli.run(*(part.format(file=file) for part in arguments), code=1)
    assert re.fullmatch(rf"siyu: {code}: [^\n]+\n", told.stderr)
    assert told.stdout == ""


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    told = Cli(tmp_path / "home", SIYU_PORT="eight").run("doctor", code=1)
    assert told.stderr.startswith("siyu: WRONG_SETTING: ")
    assert "Traceback" not in told.stderr


def test_ready_mappings_are_listed(cli: Cli) -> None:
    names = [line.split()[0] for line in cli.run("import", "--mappings").stdout.splitlines()]
    assert names == ["cdnow", "cdnow-sample", "ecom", "events", "persons"]


def test_the_version_is_printed(cli: Cli) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", cli.run("--version").stdout)
