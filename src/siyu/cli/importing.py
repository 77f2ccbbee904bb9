"""`siyu import`: history from a file into the stream, then through the processor."""

from __future__ import annotations

from pathlib import Path

import click

from siyu.cli.options import home_option, settings_with
from siyu.cli.words import padded, say


def _list_mappings(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from siyu.importer import ready_mappings

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
    from siyu.cli.import_run import Import, run_import

    rejects = rejects or Path(f"{file.name}.rejects.ndjson")
    wanted = Import(file, mapping_name, rejects, again, show, waits=not no_wait)
    if not run_import(settings_with(home=home), wanted):
        raise click.exceptions.Exit(1)
