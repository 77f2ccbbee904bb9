"""The work of `siyu import`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import click

from siyu.app.services import Services
from siyu.cli.engines import processing, until_processed, waiting_events, with_services
from siyu.cli.progress import Bar
from siyu.cli.words import say
from siyu.importer import ImportReport, Mapping, Progress, import_file, load_mapping
from siyu.settings import Settings


class Import(NamedTuple):
    """What is to be imported, and how."""

    file: Path
    mapping: str
    rejects: Path
    again: bool
    complaints_shown: int
    waits: bool
    """Until the events are processed."""


def run_import(settings: Settings, wanted: Import) -> bool:
    """Import, process, report; False when no row could be used."""
    mapping = load_mapping(wanted.mapping)

    async def work(services: Services) -> ImportReport:
        if not wanted.waits:
            return await _import(services, wanted, mapping)
        with processing(services.settings):
            report = await _import(services, wanted, mapping)
            await _process(services)
        return report

    started = time.monotonic()
    report = with_services(settings, work)
    _tell(report, wanted.rejects, time.monotonic() - started, queued=not wanted.waits)
    return report.events > 0 or report.rejected == 0


async def _import(services: Services, wanted: Import, mapping: Mapping) -> ImportReport:
    with Bar(wanted.file.name, 1) as bar:

        def report(progress: Progress) -> None:
            bar.to(progress.rows, progress.expected)

        done = await import_file(
            wanted.file,
            mapping,
            db=services.db,
            stream=services.stream,
            settings=services.settings,
            now=services.now,
            rejects=wanted.rejects,
            backlog=(lambda: waiting_events(services)) if wanted.waits else None,
            progress=report,
            again=wanted.again,
            complaints_shown=wanted.complaints_shown,
        )
        if not done.already:
            bar.to(done.rows, done.rows)
    return done


async def _process(services: Services) -> None:
    total = await waiting_events(services)
    if total:
        with Bar(say("processing", "处理"), total) as bar:
            await until_processed(services, lambda left: bar.to(max(0, total - left)))


def _tell(report: ImportReport, rejects: Path, seconds: float, *, queued: bool) -> None:
    if report.already:
        click.echo(
            say(
                f"Imported before: {report.rows:,} rows, {report.events:,} events. Nothing added.",
                f"此前已导入：{report.rows:,} 行，{report.events:,} 个事件。没有新增。",
            )
        )
        return
    for item in report.first_complaints:
        kept = say(" (row kept)", "（该行已保留）") if item.kept else ""
        click.echo(say(f"line {item.line}: {item.reason}{kept}", f"第 {item.line} 行：{item.reason}{kept}"), err=True)
    if report.resumed_from:
        click.echo(say(f"Continued after row {report.resumed_from:,}.", f"从第 {report.resumed_from:,} 行之后继续。"))
    click.echo(
        say(
            f"{report.rows:,} rows, {report.events:,} events ({report.appended:,} now), "
            f"{report.rejected:,} rows rejected, {report.ignored_identifiers:,} identifiers ignored, {seconds:.1f} s.",
            f"{report.rows:,} 行，{report.events:,} 个事件（本次 {report.appended:,}），拒绝 {report.rejected:,} 行，"
            f"忽略标识 {report.ignored_identifiers:,} 个，用时 {seconds:.1f} 秒。",
        )
    )
    if report.rejected or report.ignored_identifiers:
        click.echo(say(f"All of them are in {rejects}.", f"明细见 {rejects}。"))
    if queued:
        click.echo(
            say(
                "The events are queued; a running `siyu serve` processes them.",
                "事件已入队，由运行中的 `siyu serve` 处理。",
            )
        )
