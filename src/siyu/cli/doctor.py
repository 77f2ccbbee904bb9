"""`siyu doctor`: the checks as a table, with what to do about each failure."""

from __future__ import annotations

import asyncio

import click

from siyu.cli.options import home_option, json_option, settings_with
from siyu.cli.tables import print_json
from siyu.cli.words import padded, say


@click.command(
    help=say(
        "Check home, disk, clock and engines; say what to do about each failure. Exit code 1 when something is wrong.",
        "检查数据目录、磁盘、时钟与引擎，并给出处理办法。有问题时退出码为 1。",
    )
)
@home_option
@json_option
def command(*, home: str | None, as_json: bool) -> None:
    """Run the checks."""
    from siyu.store.doctor import run_checks

    checks = asyncio.run(run_checks(settings_with(home=home)))
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        width = max(len(check.name) for check in checks) + 2
        for check in checks:
            mark = click.style("ok", fg="green") if check.ok else click.style("!!", fg="red", bold=True)
            click.echo(f"{mark}  {padded(check.name, width)}{check.detail}")
            if check.advice and not check.ok:
                click.echo(f"    → {check.advice}")
        bad = sum(not check.ok for check in checks)
        click.echo(
            say(f"{bad} of {len(checks)} checks failed.", f"{len(checks)} 项检查，{bad} 项未通过。")
            if bad
            else say("All is well.", "一切正常。")
        )
    if not all(check.ok for check in checks):
        raise click.exceptions.Exit(1)
