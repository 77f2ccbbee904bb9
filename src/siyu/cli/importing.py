"""`siyu import`: history from a file into the stream, then through the processor."""

from __future__ import annotations

import time
from pathlib import Path

import click

from siyu.app.services import Services
from siyu.cli.engines import processing, until_processed, waiting_events, with_services
from siyu.cli.options import home_option, settings_with
from siyu.cli.progress import Bar
from siyu.cli.words import padded, say
from siyu.importer import ImportReport, Mapping, Progress, import_file, load_mapping, ready_mappings


def _list_mappings(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        for mapping in ready_mappings().values():
            click.echo(f"{padded(mapping.id, 14)}{say(mapping.about, mapping.about_zh)}")
        ctx.exit()


@click.command(
    name="import",
    help=say(
        "Load history from FILE: CSV, NDJSON or Parquet, each also gzipped, in UTF-8 or GB18030. Bad rows are reported "
        "and left out. Can be stopped and run again: it goes on, and a second run adds nothing.",
        "从 FILE 导入历史数据：CSV、NDJSON 或 Parquet，可 gzip 压缩，UTF-8 或 GB18030 编码。有问题的行会列出并跳过。"
        "可随时中断，再次运行会接着导入；重复导入不会新增。",
    ),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option(
    "--as",
    "mapping_name",
    required=True,
    metavar="MAPPING",
    help=say("A ready mapping, or the path of a .toml file.", "内置映射名，或 .toml 文件路径。"),
)
@click.option(
    "--mappings",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_mappings,
    help=say("List the ready mappings and exit.", "列出内置映射。"),
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help=say(
        "Where bad rows are written. [default: FILE.rejects.ndjson here]",
        "问题行写到哪里。[默认：当前目录 FILE.rejects.ndjson]",
    ),
)
@click.option(
    "--again", is_flag=True, help=say("Read a file again that was imported to its end.", "重新读取已导入完毕的文件。")
)
@click.option("--no-wait", is_flag=True, help=say("Leave the processing to a server.", "不等待处理，交给服务进程。"))
@click.option(
    "--show",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help=say("How many bad rows to show.", "显示多少条问题行。"),
)
@home_option
def command(
    *, file: Path, mapping_name: str, rejects: Path | None, again: bool, no_wait: bool, show: int, home: str | None
) -> None:
    """Import, process, report."""
    mapping = load_mapping(mapping_name)
    settings = settings_with(home=home)
    rejects = rejects or Path(f"{file.name}.rejects.ndjson")

    async def work(services: Services) -> ImportReport:
        if no_wait:
            return await _import(services, file, mapping, rejects=rejects, again=again, show=show, throttled=False)
        with processing(services.settings):
            report = await _import(services, file, mapping, rejects=rejects, again=again, show=show, throttled=True)
            await _process(services)
        return report

    started = time.monotonic()
    report = with_services(settings, work)
    _tell(report, rejects, time.monotonic() - started, queued=no_wait)
    if report.rejected and not report.events:
        raise click.exceptions.Exit(1)


async def _import(
    services: Services, file: Path, mapping: Mapping, *, rejects: Path, again: bool, show: int, throttled: bool
) -> ImportReport:
    with Bar(file.name, 1) as bar:

        def report(progress: Progress) -> None:
            bar.to(progress.rows, progress.expected)

        done = await import_file(
            file,
            mapping,
            db=services.db,
            stream=services.stream,
            settings=services.settings,
            now=services.now,
            rejects=rejects,
            backlog=(lambda: waiting_events(services)) if throttled else None,
            progress=report,
            again=again,
            complaints_shown=show,
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
