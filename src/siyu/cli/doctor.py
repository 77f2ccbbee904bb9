"""`siyu doctor`: the checks as a table, with what to do about each failure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from siyu.cli.options import home_option, json_option, settings_with
from siyu.cli.tables import print_json
from siyu.cli.words import padded, say

if TYPE_CHECKING:
    from siyu.settings import Settings
    from siyu.store.doctor import Check


@click.command(
    help=say(
        "Check home, disk, clock and engines; say what to do about each failure. Exit code 1 when something is wrong.",
        "检查数据目录、磁盘、时钟与引擎，并给出处理办法。有问题时退出码为 1。",
    )
)
@click.option(
    "--ledger",
    is_flag=True,
    help=say("Check every invariant of the ledger too.", "同时核对账本的全部不变式。"),
)
@home_option
@json_option
def command(*, ledger: bool, home: str | None, as_json: bool) -> None:
    """Run the checks."""
    from siyu.store.doctor import run_checks

    settings = settings_with(home=home)
    checks = asyncio.run(run_checks(settings))
    if ledger and all(check.ok for check in checks if check.name.startswith("postgresql")):
        checks += _ledger_checks(settings)
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


def _ledger_checks(settings: Settings) -> list[Check]:
    """One check per breach of an invariant; a single one when there is none."""
    from siyu.app.services import Services
    from siyu.cli.engines import with_services
    from siyu.ledger.check import violations
    from siyu.store.doctor import Check

    async def work(services: Services) -> list[Check]:
        async with services.db.driver() as connection:
            found = await violations(connection)
        advice = "Stop giving and taking, keep the database as it is, and report this with the example named."
        return [Check("ledger", False, f"{one.invariant}: {one.detail}", advice) for one in found] or [
            Check("ledger", True, "I1-I7, I9 and I10 hold")
        ]

    return with_services(settings, work)
