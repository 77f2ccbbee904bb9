"""`siyu demo` end to end: through a real server's doors, killed in the middle, continued, repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from siyu.clock import MovableClock
from siyu.collect.actions import list_keys
from siyu.demo import records
from siyu.demo.generate import SEED, generate
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.engines import open_engines
from siyu.store.postgres import Database
from tests.conftest import remove_home
from tests.ends.cli import Cli

PERSONS = 2_000
NOT_SENT = ("import:cdnow", "siyu")
"""Sources of events beside the doors: history, and what rooms tell (tiers reached)."""
HISTORY = 69_659


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    remove_home(tmp_path / "home")


def started_load(cli: Cli, *arguments: str, at: tuple[str, ...]) -> subprocess.Popen[str]:
    """A load that is begun, up to when it says one of `at`."""
    running = cli.start("demo", *arguments)
    assert running.stderr is not None
    said = []
    for line in running.stderr:
        said.append(line)
        if any(percent in line for percent in at):
            return running
    pytest.fail(f"the load ended by itself: {said}")


def kill_once_begun(cli: Cli) -> None:
    """Start the load and kill it once some of its requests are answered."""
    running = started_load(cli, "--persons", str(PERSONS), at=("10%", "20%"))
    running.kill()
    running.wait()


def go_on_without_postgresql(cli: Cli) -> str:
    """Go on with the load, kill -9 PostgreSQL in the middle of it, and let it end."""
    running = started_load(cli, at=("30%", "40%", "50%", "60%"))
    folder = Path((cli.home / "postgres" / "folder").read_text())
    os.kill(int((folder / "data" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    told, said = running.communicate(timeout=1200)
    assert running.returncode == 0, said
    return told


@pytest.mark.timeout(2400)
async def test_the_demo_is_loaded_once_however_often_it_is_tried(home: Path) -> None:
    cli = Cli(home)
    kill_once_begun(cli)
    assert "Demo brand Teapaw loaded" in go_on_without_postgresql(cli)
    assert "loaded already" in cli.run("demo").stdout
    cli.run("demo", "--again")
    with open_engines(Settings(home=str(home))) as engines:
        database, events = await Database.open(engines.database_url), await EventStore.open(engines.events_url)
        async with database.connect() as connection:
            load = await records.find_load(connection, SEED)
        keys = await list_keys(database, "write")
        rows = await events.rows("SELECT source, count() FROM events GROUP BY source")
        async with database.driver() as connection:
            dead = await connection.fetchval("SELECT count(*) FROM dead_letters")
        await database.close()
        await events.close()
    assert load is not None
    assert load.persons == PERSONS
    expected = Counter[str]()
    for request in generate(SEED, load.now, load.keys, PERSONS):
        expected["all"] += request.events
    assert dead == 0
    assert sum(count for source, count in rows if source not in NOT_SENT) == expected["all"] == load.events
    assert dict(rows)["import:cdnow"] == HISTORY
    named = {key.id: key.name for key in keys}
    assert {named[source] for source, _ in rows if source in named} == {
        f"茗爪 · {end}" for end in ("app", "mini_program", "official_account", "shop", "store", "web", "wecom")
    }
    await three_days_later(home, load)


async def three_days_later(home: Path, load: records.DemoLoad) -> None:
    """The story goes on where it ended, and the last days are not empty."""
    cli = Cli(home, SIYU_TEST_CLOCK="1")
    MovableClock(home / "test-clock").advance(3 * 86_400)
    assert "Demo brand Teapaw loaded" in cli.run("demo").stdout
    assert "loaded already" in cli.run("demo").stdout
    with open_engines(Settings(home=str(home))) as engines:
        database, events = await Database.open(engines.database_url), await EventStore.open(engines.events_url)
        async with database.connect() as connection:
            now = await records.find_load(connection, SEED)
        rows = await events.rows(f"SELECT count() FROM events WHERE source NOT IN {NOT_SENT}")
        await database.close()
        await events.close()
    assert now is not None and now.finished_at is not None and now.finished_at > load.now + timedelta(days=3)
    whole = generate(SEED, now.finished_at, load.keys, PERSONS, begun=load.now)
    assert rows == [(now.events,)] == [(sum(request.events for request in whole),)]
    assert now.events > load.events


@pytest.mark.timeout(1800)
def test_a_server_with_data_of_its_own_gets_no_demo(home: Path) -> None:
    cli = Cli(home, SIYU_PORT="0")
    file = home.parent / "own.csv"
    file.write_text("user_id,event,time\nu1,seen,2026-01-01\n")
    cli.run("import", file, "--as", "events")
    server = cli.start("serve", "--port", "0")
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if "API" in line:
                break
        until = time.monotonic() + 60
        while not (home / "run" / "server.json").exists() and time.monotonic() < until:
            time.sleep(0.1)
        told = cli.run("demo", "--first")
        assert told.stdout == ""
    finally:
        server.terminate()
        server.wait(60)
