"""`siyu demo`: post the demo brand to the doors of the running server, then import the CDNOW history beside it."""

from __future__ import annotations

import click

from siyu.cli.options import home_option, settings_with
from siyu.cli.words import say
from siyu.demo.brand import NAME_EN, NAME_ZH, PERSONS


@click.command(
    help=say(
        f"Load the demo brand {NAME_ZH} ({NAME_EN}): 20,000 made-up customers over 180 days through the real doors, "
        "and the CDNOW purchases as its store's history. "
        "Can be stopped and run again: it goes on, adding nothing twice.",
        f"载入示例品牌{NAME_ZH}（{NAME_EN}）：2 万名虚构客户、180 天行为，全部经由真实入口写入；"
        "另附 CDNOW 真实购买记录作为门店历史。可随时中断，再次运行会接着载入，且不会重复。",
    )
)
@home_option
@click.option("--again", is_flag=True, help=say("Send everything again (adds nothing).", "全部重新发送（不会新增）。"))
@click.option(
    "--persons",
    type=click.IntRange(2_000, 100_000),
    default=PERSONS,
    show_default=True,
    help=say("How many customers, at the first load.", "客户数量（首次载入时有效）。"),
)
@click.option("--first", is_flag=True, hidden=True)
def command(*, home: str | None, again: bool, persons: int, first: bool) -> None:
    """Find or start a server, then load. `--first`: only where nothing but a begun demo is; for `siyu serve`."""
    from siyu.cli.demo_load import Wanted, run_demo

    run_demo(settings_with(home=home), Wanted(persons, again, first))
