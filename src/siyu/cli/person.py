"""`siyu person`: one person's whole record, a portable archive, erasure with a receipt."""

from __future__ import annotations

from pathlib import Path

import click

from siyu.cli.options import home_option, json_option, settings_with
from siyu.cli.words import say


@click.group(
    help=say(
        "One person's record. IDENTIFIER is `kind:value` or `kind=value` (phone:13800138000, openid:APPID=VALUE), a "
        "person id, or a bare phone number, e-mail address or user id.",
        "一个人的完整记录。IDENTIFIER 为 `类型:值` 或 `类型=值`（phone:13800138000、openid:APPID=值）、人的编号，"
        "或直接写手机号、邮箱、用户 ID。",
    )
)
def command() -> None:
    """Its help stands in the decorator."""


@command.command(
    help=say(
        "Show a person: identifiers, traits, tags, figures, last events.",
        "查看一个人：标识、特征、标签、指标、最近事件。",
    )
)
@click.argument("identifier")
@click.option(
    "--events",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help=say("How many events.", "显示多少条事件。"),
)
@home_option
@json_option
def show(*, identifier: str, events: int, home: str | None, as_json: bool) -> None:
    """Portrait and the newest events."""
    from siyu.cli.person_record import show_person

    show_person(settings_with(home=home), identifier, events, as_json)


@command.command(help=say("Write everything about a person into a zip file.", "把一个人的全部数据写入 zip 文件。"))
@click.argument("identifier")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help=say("The file. [default: person-ID.zip]", "文件名。[默认：person-编号.zip]"),
)
@home_option
def export(*, identifier: str, out: Path | None, home: str | None) -> None:
    """Export; the file is readable by its owner only."""
    from siyu.cli.person_record import export_person

    click.echo(export_person(settings_with(home=home), identifier, out))


@command.command(
    help=say(
        "Remove a person from every store, after showing what will go.",
        "从所有存储中删除一个人（先显示将删除的内容）。",
    )
)
@click.argument("identifier")
@click.option("--yes", is_flag=True, help=say("Do not ask.", "不再询问。"))
@click.option("--dry-run", is_flag=True, help=say("Only show what would go.", "只显示将删除的内容。"))
@click.option(
    "--reason",
    default="requested by the person",
    show_default=True,
    help=say("Kept with the receipt.", "随回执保存的原因。"),
)
@home_option
@json_option
def erase(*, identifier: str, yes: bool, dry_run: bool, reason: str, home: str | None, as_json: bool) -> None:
    """Dry run, question, erasure, receipt."""
    from siyu.cli.person_record import Erasure, erase_person

    erase_person(settings_with(home=home), identifier, Erasure(yes, dry_run, reason, as_json))
