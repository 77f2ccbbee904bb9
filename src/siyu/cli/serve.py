"""`siyu serve`: the supervisor, and beside it the loading of the demo at the first start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack

import click

from siyu import __version__
from siyu.cli.options import home_option, settings_with
from siyu.cli.server import announced, stop
from siyu.cli.words import say
from siyu.serve import ROLES, Role, banner, serve
from siyu.settings import Settings
from siyu.store.processes import Program, start


@click.command(
    help=say(
        "Run the server in the foreground. The first start loads the demo brand. "
        "Ctrl-C or SIGTERM ends it and all it started.",
        "在前台运行服务。首次启动会载入示例品牌。Ctrl-C 或 SIGTERM 会停止它启动的一切。",
    )
)
@click.option(
    "--host",
    help=say("Address to listen on. [default: SIYU_HOST or 127.0.0.1]", "监听地址。[默认：SIYU_HOST 或 127.0.0.1]"),
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=say("Port. [default: SIYU_PORT or 8000]", "端口。[默认：SIYU_PORT 或 8000]"),
)
@home_option
@click.option("--no-demo", is_flag=True, help=say("Do not load the demo brand.", "不载入示例品牌。"))
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help=say(
        "Processes of the console and API, and twice as many of the doors.",
        "控制台与接口进程数，事件入口进程数为其两倍。",
    ),
)
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="all",
    show_default=True,
    help=say("What this machine does.", "本机承担的角色。"),
)
def command(*, host: str | None, port: int | None, home: str | None, no_demo: bool, workers: int, role: Role) -> None:
    """Start and supervise."""
    settings = settings_with(host=host, port=port, home=home)
    with ExitStack() as stack:

        def ready(url: str, shown: Mapping[str, str]) -> None:
            click.echo(banner(url, shown, settings, __version__))
            sys.stdout.flush()
            if url:
                stack.enter_context(announced(settings, url))
            if role == "all" and not no_demo:
                stack.callback(stop, _load_demo(settings))

        serve(settings, role=role, workers=workers, on_ready=ready)


def _load_demo(settings: Settings) -> subprocess.Popen[bytes]:
    """The demo loads in a process of its own, so that the server answers meanwhile."""
    return start(Program([sys.executable, "-m", "siyu.cli", "demo", "--first", "--home", str(settings.home_path)]))
