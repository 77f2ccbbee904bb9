"""`siyu keys`: write keys (per end) and API tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from siyu.cli.options import home_option, json_option, settings_with
from siyu.cli.tables import print_json, print_table
from siyu.cli.words import say

if TYPE_CHECKING:
    from siyu.collect.keys import AccessKey, KeyKind, Scope


@click.group(help=say("Write keys (per end) and API tokens.", "写入密钥（按端）与 API 令牌。"))
def command() -> None:
    """Its help stands in the decorator."""


@command.command(help=say("Make a key. An API token is shown only now.", "新建密钥。API 令牌只显示这一次。"))
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(("write", "api")),
    default="write",
    show_default=True,
    help=say("Write key or API token.", "写入密钥或 API 令牌。"),
)
@click.option(
    "--end",
    default="",
    help=say(
        "End of events that name none (web, app, mini_program, store …).",
        "事件未注明端时使用的端（web、app、mini_program、store …）。",
    ),
)
@click.option(
    "--scope",
    type=click.Choice(("all", "read", "till")),
    default="all",
    show_default=True,
    help=say(
        "What an API token may do: everything, only read, or what a till needs.",
        "API 令牌的权限：全部、只读、或收银所需。",
    ),
)
@home_option
@json_option
def create(*, name: str, kind: KeyKind, end: str, scope: Scope, home: str | None, as_json: bool) -> None:
    """Make a key and print its secret."""
    from siyu.cli.engines import with_services
    from siyu.collect.actions import create_key

    key, secret = with_services(
        settings_with(home=home),
        lambda services: create_key(services.db, kind=kind, name=name, end=end, now=services.now(), scope=scope),
    )
    if as_json:
        print_json({"id": key.id, "kind": kind, "name": key.name, "end": key.end, "scope": key.scope, "secret": secret})
    else:
        click.echo(secret)


@command.command(name="list", help=say("List all keys.", "列出所有密钥。"))
@home_option
@json_option
def list_all(*, home: str | None, as_json: bool) -> None:
    """Print the keys, oldest first."""
    from siyu.cli.engines import with_services
    from siyu.collect.actions import list_keys

    found = with_services(settings_with(home=home), lambda services: list_keys(services.db))
    if as_json:
        print_json([key._asdict() for key in found])
        return
    heads = say("id kind scope name end created state key", "编号 类型 权限 名称 端 创建时间 状态 密钥").split()
    print_table(heads, [_row(key) for key in found])


def _row(key: AccessKey) -> list[str]:
    state = say("live", "有效") if key.revoked_at is None else say("revoked", "已吊销")
    created = f"{key.created_at:%Y-%m-%d %H:%M}Z"
    scope = key.scope if key.kind == "api" else say("send", "写入")
    return [key.id, key.kind, scope, key.name, key.end, created, state, key.secret or say("(hidden)", "（不显示）")]


@command.command(help=say("End a key; it stops working within seconds.", "吊销密钥，数秒内失效。"))
@click.argument("key_id", metavar="ID")
@home_option
def revoke(*, key_id: str, home: str | None) -> None:
    """Revoke."""
    from siyu.cli.engines import with_services
    from siyu.collect.actions import revoke_key

    with_services(settings_with(home=home), lambda services: revoke_key(services.db, key_id, services.now()))
    click.echo(say(f"Key {key_id} is revoked.", f"密钥 {key_id} 已吊销。"))
