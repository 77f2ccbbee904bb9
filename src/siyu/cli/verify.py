"""`siyu verify`: a proof of the ledger, checked with nothing but the brand's public key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from siyu.cli.options import json_option
from siyu.cli.tables import print_json
from siyu.cli.words import say


@click.command(
    help=say(
        "Verify a proof of a transfer, offline. --key is the public key that the brand publishes. Exit code 1 when the"
        " proof does not hold.",
        "离线验证一笔流水的证明。--key 为品牌公布的公钥。证明不成立时退出码为 1。",
    )
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--key",
    required=True,
    help=say("name+id+key, as the brand publishes it.", "品牌公布的公钥，形如 name+id+key。"),
)
@json_option
def command(*, file: Path, key: str, as_json: bool) -> None:
    """Check, and say what it proves."""
    import msgspec

    from siyu.trust import Verifier
    from siyu.trust.proof import read_proof

    proof = read_proof(file.read_bytes())
    checkpoint = proof.verified(Verifier.read(key))
    leaf: dict[str, Any] = msgspec.json.decode(proof.leaf)
    parts = {one.part: msgspec.json.decode(one.text) for one in proof.opened}
    if as_json:
        print_json({"valid": True, "origin": checkpoint.origin, "size": checkpoint.size, "leaf": leaf, "opened": parts})
        return
    click.echo(
        say(
            f"Transfer {proof.transfer_id} is number {proof.index + 1} of {checkpoint.size} in {checkpoint.origin},"
            f" signed {_time(checkpoint.at_us)}.",
            f"流水 {proof.transfer_id} 是账本 {checkpoint.origin} 中 {checkpoint.size} 笔里的第 {proof.index + 1} 笔，"
            f"签署于 {_time(checkpoint.at_us)}。",
        )
    )
    click.echo(f"{leaf['kind']}  {_time(leaf['at'])}")
    for part, value in parts.items():
        click.echo(f"{part}: {msgspec.json.encode(value).decode()}")


def _time(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds // 1_000_000, UTC):%Y-%m-%d %H:%M:%S}Z"
