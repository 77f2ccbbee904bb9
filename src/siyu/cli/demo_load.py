"""The work of `siyu demo`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import click

from siyu.app.services import Services
from siyu.cli.engines import until_processed, waiting_events, with_services
from siyu.cli.progress import Bar
from siyu.cli.server import Server, running_server, stop
from siyu.cli.words import say
from siyu.collect.actions import create_key
from siyu.demo.actions import DemoProgress, DemoReport, demo_begun, load_demo
from siyu.demo.book import DOORS
from siyu.demo.brand import NAME_EN, NAME_ZH
from siyu.demo.generate import END_OF_DOOR, SEED
from siyu.demo.goods import open_shop
from siyu.errors import EngineUnavailable
from siyu.importer import ImportReport, import_file, load_mapping
from siyu.importer import Progress as ImportProgress
from siyu.ledger import Ledger
from siyu.processor.actions import stream_state
from siyu.settings import Settings
from siyu.store.patience import patiently
from siyu.store.processes import Program, start

_START_SECONDS_MAX: Final = 180.0
_HISTORY: Final = "CDNOW_master.txt.gz"
_NICE: Final = 5


class Wanted(NamedTuple):
    """How the demo is to be loaded."""

    persons: int
    again: bool
    first: bool
    """Only where nothing but a begun demo is: for `siyu serve`."""


def run_demo(settings: Settings, wanted: Wanted) -> None:
    """Find or start a server, load, report."""
    if wanted.first:
        os.nice(_NICE)
    started = time.monotonic()
    with ExitStack() as stack:
        server = running_server(settings)
        if server is None and wanted.first:
            return
        if server is None:
            server = stack.enter_context(_own_server(settings))
        report = with_services(settings, lambda services: _load(services, server, wanted))
    if report is None or (report.already and wanted.first):
        return
    if report.already:
        click.echo(say("The demo brand is loaded already.", "示例品牌已载入。"))
        return
    seconds = time.monotonic() - started
    click.echo(
        say(
            f"Demo brand {NAME_EN} loaded: {report.events:,} events in {seconds:.0f} s.",
            f"示例品牌「{NAME_ZH}」已载入：{report.events:,} 个事件，用时 {seconds:.0f} 秒。",
        )
    )


async def _load(services: Services, server: Server, wanted: Wanted) -> DemoReport | None:
    if wanted.first and not await demo_begun(services.db) and (await stream_state(services.db)).accepted:
        return None

    async def keys() -> Mapping[str, str]:
        made = {}
        for end in sorted({END_OF_DOOR.get(door, door) for door in DOORS}):
            label = f"{NAME_ZH} · {end}"
            _, made[end] = await create_key(services.db, kind="write", name=label, end=end, now=services.now())
        return made

    await open_shop(services.db, Ledger(ZoneInfo(services.settings.timezone)), services.now())
    with Bar(say("Demo brand", "示例品牌"), 100, lines=wanted.first) as bar:

        def show(progress: DemoProgress) -> None:
            bar.to(progress.day * 90 // progress.days)

        report = await load_demo(
            server.url,
            keys,
            db=services.db,
            now=services.now,
            seed=SEED,
            persons=wanted.persons,
            again=wanted.again,
            backlog=lambda: waiting_events(services),
            progress=show,
        )
        history = await patiently(lambda: _import_history(services, bar, again=wanted.again))
        await patiently(lambda: until_processed(services, lambda _left: None))
        bar.to(100)
    return report._replace(events=report.events + history.events, already=report.already and history.already)


async def _import_history(services: Services, bar: Bar, *, again: bool) -> ImportReport:
    """The CDNOW purchases, as the history of an end `store`."""

    def show(progress: ImportProgress) -> None:
        bar.to(90 + 9 * progress.rows // max(progress.expected, 1))

    with resources.as_file(resources.files("siyu.demo") / "data" / _HISTORY) as path:
        return await import_file(
            path,
            load_mapping("cdnow"),
            db=services.db,
            stream=services.stream,
            settings=services.settings,
            now=services.now,
            rejects=Path(os.devnull),
            backlog=lambda: waiting_events(services),
            progress=show,
            again=again,
        )


@contextmanager
def _own_server(settings: Settings) -> Iterator[Server]:
    """A server for the time of the load, on a free port."""
    argv = [sys.executable, "-m", "siyu.cli", "serve", "--no-demo", "--host", "127.0.0.1", "--port", "0"]
    argv += ["--home", str(settings.home_path)]
    (settings.home_path / "log").mkdir(mode=0o700, parents=True, exist_ok=True)
    child = start(Program(argv, log=settings.home_path / "log" / "demo-server.log"))
    try:
        deadline = time.monotonic() + _START_SECONDS_MAX
        while (server := running_server(settings)) is None:
            if child.poll() is not None or time.monotonic() > deadline:
                raise EngineUnavailable(
                    "A server could not be started; `siyu serve --no-demo` says why.", engine="server"
                )
            time.sleep(0.2)
        yield server
    finally:
        stop(child)
