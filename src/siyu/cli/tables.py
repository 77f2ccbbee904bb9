"""Tables and JSON on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from siyu.cli.words import columns, padded


def print_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns as wide as their widest cell; a Chinese character counts two. Numbers stand right."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(columns(line[place]) for line in [list(heads), *cells]) for place in range(len(heads))]
    right = [
        bool(rows) and all(isinstance(row[place], int | float) or row[place] is None for row in rows)
        for place in range(len(heads))
    ]
    click.echo("  ".join(padded(head, width) for head, width in zip(heads, widths, strict=True)).rstrip())
    click.echo("  ".join("─" * width for width in widths))
    for line in cells:
        parts = [
            " " * (width - columns(cell)) + cell if to_right else padded(cell, width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ]
        click.echo("  ".join(parts).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def print_json(value: Any) -> None:
    """JSON with indents; times as RFC 3339."""
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())
