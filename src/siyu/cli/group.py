"""The command group: knows the names of the commands, imports one when it is used, and prints errors as one line."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Any, Final, NamedTuple, cast

import click

from siyu.cli.words import say


class _Entry(NamedTuple):
    module: str
    help: str


_COMMANDS: Final = {
    "serve": _Entry("serve", say("Run the server in the foreground.", "在前台运行服务。")),
    "demo": _Entry("demo", say("Load the demo brand.", "载入示例品牌。")),
    "import": _Entry("importing", say("Load history from a file.", "从文件导入历史数据。")),
    "keys": _Entry("keys", say("Write keys and API tokens.", "写入密钥与 API 令牌。")),
    "ask": _Entry("ask", say("Answer a question.", "回答一个分析问题。")),
    "doctor": _Entry("doctor", say("Check this installation.", "检查本机安装。")),
    "verify": _Entry("verify", say("Verify a proof of the ledger, offline.", "离线验证账本证明。")),
    "person": _Entry("person", say("Show, export or erase one person.", "查看、导出或删除一个人。")),
}
"""Name → module in siyu.cli that has it as `command`."""
INTERRUPTED: Final = 130


class Commands(click.Group):
    """A group whose commands live in modules that are imported late."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of a newcomer's day."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command's module."""
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        return cast("click.Command", import_module(f"siyu.cli.{entry.module}").command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section(say("Commands", "命令")):
            formatter.write_dl([(name, entry.help) for name, entry in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Every refusal is one line `siyu: CODE: what is wrong and what to do` on stderr, and exit code 1."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(0)
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            click.echo(f"siyu: {_said(error)}", err=True)
            ctx.exit(1)


def _said(error: Exception) -> str:
    code = getattr(error, "code", None)
    text = " ".join(str(error).split())
    if isinstance(code, str) and hasattr(error, "status"):
        path = getattr(error, "details", {}).get("path")
        return f"{code}: {text} ({path})" if path else f"{code}: {text}"
    hint = say("`siyu --debug` shows more", "`siyu --debug` 显示详情")
    return f"INTERNAL: {type(error).__name__}: {text[:500]} ({hint})"


@click.group(
    cls=Commands,
    help=say(
        "Siyu (私域): know, reward, reach and keep a brand's own customers.",
        "私域：认识、回馈、触达并留住品牌自己的客户。",
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="siyu", message="%(version)s", help=say("Show the version and exit.", "显示版本。"))
@click.option("--debug", is_flag=True, help=say("Show a trace when something breaks.", "出错时显示调用栈。"))
def main(debug: bool) -> None:
    """The root command; its help stands in the decorator."""
