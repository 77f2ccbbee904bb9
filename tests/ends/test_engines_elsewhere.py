"""SIYU_DATABASE_URL and SIYU_EVENTS_URL: the engines are servers of somebody else; the home holds no data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from siyu.settings import Settings
from siyu.store.engines import Engines, open_engines

from ..conftest import remove_home
from .load import counted
from .server import Server


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Engines]:
    """Engines in a home that no server of the test knows, reached by their addresses only."""
    home = tmp_path / "engines"
    with open_engines(Settings(home=str(home))) as running:
        yield running
    remove_home(home)


def events(start: int, count: int) -> list[dict[str, object]]:
    return [
        {"type": "track", "messageId": f"m{n}", "userId": f"u{n % 3}", "event": "load.sent"}
        for n in range(start, start + count)
    ]


@pytest.mark.timeout(200)
def test_servers_of_somebody_else_hold_everything(tmp_path: Path, elsewhere: Engines) -> None:
    settings = {
        "SIYU_DATABASE_URL": elsewhere.database_url,
        "SIYU_EVENTS_URL": elsewhere.events_url,
        "SIYU_SECRET_KEY": "one secret for all homes of this installation",
    }
    persons = []
    for turn in range(2):
        # The second home is a new machine: all it finds, it finds in the engines.
        server = Server(tmp_path / f"home-{turn}", **settings)
        server.start()
        try:
            assert not [command for command in server.family().values() if "postgres" in command.split(" ")[0]]
            assert not [command for command in server.family().values() if "clickhouse_server" in command]
            assert server.batch(events(turn * 50, 60))  # ten of them a second time
            server.wait_processed(60 * (turn + 1))
            assert counted(server) == 60 + 50 * turn
            persons.append(server.get("/api/persons/lookup?kind=user_id&value=u1")["person_id"])
        finally:
            assert server.stop() == 0
        assert not (server.home / "postgres").exists()
        assert not (server.home / "clickhouse").exists()
    assert persons[0] == persons[1]
