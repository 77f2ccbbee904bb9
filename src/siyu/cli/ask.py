"""`siyu ask`: a question as JSON, answered as a table or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import click

from siyu.cli.options import home_option, json_option, settings_with
from siyu.cli.tables import print_json, print_table
from siyu.cli.words import say

if TYPE_CHECKING:
    import msgspec

    from siyu.app.services import Services


@click.command(
    help=say(
        "Answer the question in FILE (`-` reads the standard input), JSON as in docs/questions.md.",
        "回答 FILE 中的分析问题（`-` 读取标准输入），JSON 格式见 docs/questions.md。",
    )
)
@click.argument("file", type=click.File("rb"))
@home_option
@json_option
def command(*, file: BinaryIO, home: str | None, as_json: bool) -> None:
    """Ask."""
    from siyu.analytics.actions import ask
    from siyu.analytics.as_table import to_table
    from siyu.analytics.kinds import parse_question
    from siyu.cli.engines import with_services

    question = parse_question(file.read())

    async def work(services: Services) -> msgspec.Struct:
        settings = services.settings
        return await ask(
            services.db,
            services.events,
            question,
            services.now(),
            settings.timezone,
            seconds_max=settings.question_seconds_max,
        )

    answer = with_services(settings_with(home=home), work)
    if as_json:
        print_json(answer)
        return
    print_table(*to_table(answer))
