"""Progress for people: a bar with the time left on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Final

import click

_STEP: Final = 10
"""Percent between two lines where there is no terminal."""


class Bar:
    """Shows how much of `total` is done. A context manager."""

    def __init__(self, label: str, total: int, *, lines: bool = False) -> None:
        """`lines`: print lines also on a terminal (others write there, too)."""
        self._label = label
        self._total = max(total, 1)
        self._done = 0
        self._shown = -1
        self._bar: Any = None
        if sys.stderr.isatty() and not lines:
            self._bar = click.progressbar(
                length=self._total, label=label, file=sys.stderr, show_eta=True, show_percent=True, width=30
            )

    def __enter__(self) -> Bar:
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def to(self, done: int, total: int | None = None) -> None:
        """`done` of `total` (as known now) is done."""
        if total is not None and total != self._total:
            self._total = max(total, 1)
            if self._bar is not None:
                self._bar.length = self._total
        step, self._done = done - self._done, done
        if self._bar is not None:
            self._bar.update(step)
            return
        percent = min(100, 100 * done // self._total) // _STEP * _STEP
        if percent > self._shown:
            self._shown = percent
            click.echo(f"{self._label}: {percent}%", err=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)
