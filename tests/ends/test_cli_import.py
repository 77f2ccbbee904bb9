"""`siyu import` through the real engines: both data sets to the row and the cent, twice, and killed in the middle."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.engines import Engines, open_engines
from siyu.store.postgres import Database
from tests.conftest import remove_home
from tests.ends.cli import Cli

DATA = resources.files("siyu.demo") / "data"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("import") / "home"
    yield path
    remove_home(path)


@pytest.fixture(scope="module")
def engines(home: Path) -> Iterator[Engines]:
    """The engines stay up for all tests of this file, as beside a server; the commands share them."""
    with open_engines(Settings(home=str(home))) as running:
        yield running


@pytest.fixture(scope="module")
def cli(home: Path, engines: Engines) -> Cli:
    return Cli(home)


async def stored(engines: Engines, source: str) -> tuple[int, int, int]:
    """Events, persons and fen of a source."""
    events = await EventStore.open(engines.events_url)
    ((count, persons, fen),) = await events.rows(
        "SELECT count(), uniqExact(anchor), sum(value_fen) FROM events WHERE source = {source:String}",
        {"source": source},
    )
    await events.close()
    return count, persons, fen


async def test_cdnow_arrives_to_the_row_and_the_cent_and_only_once(cli: Cli, engines: Engines) -> None:
    first = cli.run("import", str(DATA / "CDNOW_master.txt.gz"), "--as", "cdnow").stdout
    assert "69,659 rows, 69,659 events (69,659 now), 0 rows rejected" in first
    assert await stored(engines, "import:cdnow") == (69_659, 23_570, 250_031_563)
    second = cli.run("import", str(DATA / "CDNOW_master.txt.gz"), "--as", "cdnow").stdout
    assert "Imported before: 69,659 rows, 69,659 events. Nothing added." in second
    third = cli.run("import", str(DATA / "CDNOW_master.txt.gz"), "--as", "cdnow", "--again").stdout
    assert "(69,659 now)" in third
    assert await stored(engines, "import:cdnow") == (69_659, 23_570, 250_031_563)


async def test_purchases_that_cost_nothing_and_repeated_rows_are_all_there(engines: Engines) -> None:
    events = await EventStore.open(engines.events_url)
    ((free, distinct),) = await events.rows(
        "SELECT countIf(value_fen = 0), uniqExact(anchor, occurred_at, properties) "
        "FROM events WHERE source = 'import:cdnow'"
    )
    await events.close()
    assert free == 80
    assert distinct == 69_659 - 255


async def test_ecom_arrives_with_its_names_and_traits(cli: Cli, engines: Engines) -> None:
    told = cli.run("import", str(DATA / "ecom.csv.gz"), "--as", "ecom").stdout
    assert "31,106 rows, 31,106 events (31,106 now), 0 rows rejected" in told
    assert await stored(engines, "import:ecom") == (31_106, 600, 0)
    events = await EventStore.open(engines.events_url)
    ((names,),) = await events.rows("SELECT uniqExact(name) FROM events WHERE source = 'import:ecom'")
    await events.close()
    assert names == 19
    person = cli.json("person", "show", "user_id:user_0000")["person"]
    # The lifecycle is the last one told, cohort and channel the first.
    assert person["traits"] == {"user_lifecycle": "loyal", "user_cohort": "2024-01", "acquisition_channel": "email"}


async def test_an_import_killed_in_the_middle_goes_on_and_adds_nothing_twice(
    cli: Cli, engines: Engines, tmp_path: Path
) -> None:
    rows = 120_000
    file = tmp_path / "big.csv"
    # Every tenth row repeats the one before it, so the ordinals must survive the interruption, too.
    lines = (f"u{n - (n % 10 == 9)},seen,2026-03-0{1 + n % 9 - (n % 10 == 9 and n % 9 > 0)}\n" for n in range(rows))
    file.write_text("user_id,event,time\n" + "".join(lines))
    database = await Database.open(engines.database_url)
    running = cli.start("import", file, "--as", "events")
    done = 0
    until = time.monotonic() + 120
    while done == 0 and time.monotonic() < until:
        async with database.driver() as connection:
            done = await connection.fetchval(
                "SELECT coalesce(max(rows_done), 0) FROM import_runs WHERE mapping = 'events'"
            )
    running.kill()
    running.wait()
    assert 0 < done < rows
    await database.close()
    told = cli.run("import", file, "--as", "events").stdout
    assert "Continued after row" in told
    assert f"{rows:,} rows, {rows:,} events" in told
    assert (await stored(engines, "import:events"))[0] == rows


async def test_bad_rows_are_shown_written_down_and_stop_nothing(cli: Cli, engines: Engines, tmp_path: Path) -> None:
    file = tmp_path / "客户.csv"
    text = "手机号,姓名,标签\n13800138001,王小明,茶友\n,无名氏,\n138****8002,李雷,\n13800138003,韩梅梅,猫友;茶友\n"
    file.write_bytes(text.encode("gb18030"))
    rejects = tmp_path / "rejects.ndjson"
    told = cli.run("import", file, "--as", "persons", "--rejects", rejects)
    assert "4 rows, 2 events (2 now), 2 rows rejected, 1 identifiers ignored" in told.stdout
    assert "line 3: no identifier" in told.stderr
    kept = [json.loads(line) for line in rejects.read_text("utf-8").splitlines()]
    assert [(item["line"], item["row"]) for item in kept if not item.get("kept")] == [
        (3, "\t无名氏\t"),
        (4, "138****8002\t李雷\t"),
    ]
    person = cli.json("person", "show", "13800138003")["person"]
    assert person["traits"]["姓名"] == "韩梅梅"
    assert sorted(person["tags"]) == ["猫友", "茶友"]


def test_a_file_without_a_usable_row_fails(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("user_id,event,time\nu1,seen,yesterday\n")
    told = cli.run("import", file, "--as", "events", "--rejects", tmp_path / "r.ndjson", code=1)
    assert "'yesterday' is no time" in told.stderr


@pytest.mark.parametrize("mapping", ["cdnow", "ecom", "events", "persons"])
def test_columns_that_are_missing_are_named(cli: Cli, tmp_path: Path, mapping: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("who,what\nu1,seen\n")
    told = cli.run("import", file, "--as", mapping, code=1)
    assert told.stderr.startswith("siyu: IMPORT_COLUMN_MISSING: ")
    assert "who" in told.stderr
