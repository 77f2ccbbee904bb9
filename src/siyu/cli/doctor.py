"""`siyu doctor`: the checks as a table, with what to do about each failure."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from siyu.cli.options import home_option, json_option, settings_with
from siyu.cli.tables import print_json
from siyu.cli.words import padded, say

if TYPE_CHECKING:
    from datetime import datetime

    from siyu.connectors.miniprogram.actions import Setting
    from siyu.connectors.miniprogram.wechat import WeChat
    from siyu.ledger.seal_check import Kept
    from siyu.ledger.seal_records import SealState
    from siyu.settings import Settings
    from siyu.store.doctor import Check
    from siyu.store.postgres import Database

_SEAL_SECONDS_MAX: Final = 60.0
"""A transfer that waits longer for its seal is a failure."""


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
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=say(
        "As --ledger; it must also contain this checkpoint, which was kept elsewhere.",
        "同 --ledger，且账本必须仍包含这份另处留存的检查点。",
    ),
)
@home_option
@json_option
def command(*, ledger: bool, checkpoint: Path | None, home: str | None, as_json: bool) -> None:
    """Run the checks."""
    from siyu.store.doctor import run_checks

    kept = None if checkpoint is None else _kept(checkpoint)
    settings = settings_with(home=home)
    checks = asyncio.run(run_checks(settings))
    if all(check.ok for check in checks if check.name.startswith("postgresql")):
        checks += _stored_checks(settings)
        if ledger or kept:
            checks += _ledger_checks(settings, kept)
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        width = max(len(check.name) for check in checks) + 2
        for check in checks:
            click.echo(f"{_mark(check)}  {padded(check.name, width)}{check.detail}")
            if check.advice:
                click.echo(f"    → {check.advice}")
        bad = sum(not check.ok for check in checks)
        click.echo(
            say(f"{bad} of {len(checks)} checks failed.", f"{len(checks)} 项检查，{bad} 项未通过。")
            if bad
            else say("All is well.", "一切正常。")
        )
    if not all(check.ok for check in checks):
        raise click.exceptions.Exit(1)


def _mark(check: Check) -> str:
    """Well, a warning (well, with advice), or wrong."""
    if check.ok:
        return click.style("!", fg="yellow") + " " if check.advice else click.style("ok", fg="green")
    return click.style("!!", fg="red", bold=True)


def _kept(path: Path) -> Kept:
    """Size and root of a checkpoint in a file. Raises ProofInvalid."""
    from siyu.ledger.seal_check import Kept
    from siyu.trust import Checkpoint

    text = path.read_text("utf-8").rpartition("\n\n")[0] + "\n"
    found = Checkpoint.read(text)
    return Kept(found.size, found.root)


def _seal_check(seals: SealState, now: datetime) -> Check:
    """How far sealing is."""
    from siyu.store.doctor import Check

    lag = seals.lag_seconds(now)
    newest = "-" if seals.sealed_at is None else f"{seals.sealed_at:%Y-%m-%d %H:%M:%S}Z"
    detail = f"{seals.sealed} transfers sealed up to {newest}, {seals.waiting} not sealed yet, oldest waits {lag:.0f} s"
    advice = "The sealer is part of `siyu serve` (role process): is it running, and is a transaction open for long?"
    return Check("ledger seals", lag <= _SEAL_SECONDS_MAX, detail, advice if lag > _SEAL_SECONDS_MAX else "")


def _ledger_checks(settings: Settings, kept: Kept | None) -> list[Check]:
    """One check per breach of an invariant; a single one when there is none."""
    from siyu.app.services import Services
    from siyu.cli.engines import with_services
    from siyu.ledger.check import violations
    from siyu.ledger.seal_records import state as seal_state
    from siyu.store.doctor import Check

    async def work(services: Services) -> list[Check]:
        async with services.db.driver() as connection:
            found = await violations(connection, kept)
            seals = await seal_state(connection)
        advice = "Stop giving and taking, keep the database as it is, and report this with the example named."
        checks = [Check("ledger", False, f"{one.invariant}: {one.detail}", advice) for one in found] or [
            Check("ledger", True, "I1-I10 hold")
        ]
        return [*checks, _seal_check(seals, services.now())]

    return with_services(settings, work)


def _stored_checks(settings: Settings) -> list[Check]:
    """Of what is stored: the calendar, and each mini-program that is switched on."""
    from siyu.store.engines import open_engines
    from siyu.store.postgres import Database

    async def work(database_url: str) -> list[Check]:
        db = await Database.open(database_url, connections_max=1)
        try:
            return [*await _calendar_checks(db, settings), *await _mini_program_checks(db, settings)]
        finally:
            await db.close()

    with open_engines(settings) as engines:
        return asyncio.run(work(engines.database_url))


async def _has_table(db: Database, name: str) -> bool:
    """The doctor looks; it makes no tables."""
    async with db.driver() as connection:
        return await connection.fetchval("SELECT to_regclass($1)", name) is not None


async def _calendar_checks(db: Database, settings: Settings) -> list[Check]:
    """Are the holidays of the running year known, and from December on those of the next?"""
    from zoneinfo import ZoneInfo

    from siyu.calendar.actions import days_known, missing
    from siyu.clock import system_now
    from siyu.store.doctor import Check

    if not await _has_table(db, "calendar_days"):
        return []
    async with db.driver() as connection:
        days = await days_known(connection)
    lacking = missing(days, system_now().astimezone(ZoneInfo(settings.timezone)).date())
    if not lacking:
        return [Check("calendar", True, f"holidays are known of {', '.join(map(str, sorted(days.years)))}")]
    years = ", ".join(map(str, lacking))
    advice = f"Rules that ask for holidays or working days do not hold in {years}: upload the year under Holidays."
    return [Check("calendar", True, f"no holidays are known of {years}", advice)]


async def _mini_program_checks(db: Database, settings: Settings) -> list[Check]:
    """Does WeChat take appid and secret of each that is switched on?"""
    from siyu.app.services import installation_secret
    from siyu.clock import system_now
    from siyu.collect.parsed import Limits
    from siyu.connectors.miniprogram import actions, records
    from siyu.connectors.miniprogram.wechat import WeChat

    if not await _has_table(db, "mini_programs"):
        return []
    async with db.driver() as connection:
        known = [one for one in await records.mini_programs(connection) if one.active]
    wechat = WeChat(settings.wechat_api_url)
    setting = actions.Setting(installation_secret(settings), Limits.of(settings), system_now)
    return [await _mini_program_check(db, wechat, setting, one.appid) for one in known]


async def _mini_program_check(db: Database, wechat: WeChat, setting: Setting, appid: str) -> Check:
    from siyu.connectors.miniprogram.actions import check
    from siyu.connectors.miniprogram.wechat import WeChatRefused
    from siyu.errors import SiyuError
    from siyu.store.doctor import Check

    name = f"mini-program {appid}"
    try:
        await check(db, wechat, setting, appid)
    except WeChatRefused as error:
        return Check(name, False, str(error), "Copy appid and AppSecret again from the platform, under Sources.")
    except SiyuError as error:
        return Check(name, False, str(error), "Can this machine reach WeChat (SIYU_WECHAT_API_URL)?")
    return Check(name, True, "WeChat takes appid and AppSecret")
