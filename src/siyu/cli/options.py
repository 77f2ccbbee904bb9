"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from siyu.cli.words import say
from siyu.settings import Settings, load_settings

F = TypeVar("F", bound=Callable[..., Any])


def home_option(function: F) -> F:
    """`--home`, the data folder."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False),
        help=say("Data folder. [default: SIYU_HOME or ./.siyu]", "数据目录。[默认：SIYU_HOME 或 ./.siyu]"),
    )(function)


def json_option(function: F) -> F:
    """`--json`, for scripts."""
    return click.option("--json", "as_json", is_flag=True, help=say("Print JSON.", "输出 JSON。"))(function)


def settings_with(**given: Any) -> Settings:
    """The settings, with what the command line gave on top. Raises WrongSetting."""
    chosen = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(load_settings(), **chosen)
