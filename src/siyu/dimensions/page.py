"""docs/dimensions.md: `python -m siyu.dimensions.page docs/dimensions.md` writes the list of all into it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from siyu.dimensions.catalogue import DIMENSIONS, GROUPS, UNITS, Catalogue
from siyu.dimensions.dimension import value_type
from siyu.dimensions.explain import explain
from siyu.dimensions.words import EVENT_WORDS

MARK: Final = "<!-- From here on written from the catalogue. -->"


def listing(catalogue: Catalogue = DIMENSIONS) -> str:
    """Every dimension by group as Markdown."""
    lines: list[str] = []
    for group, (zh, en) in GROUPS.items():
        entries = [one for one in catalogue if one.group == group]
        if not entries:
            continue
        lines += ["", f"## {en} {zh}", "", "| dimension | | what it tells | how |", "| --- | --- | --- | --- |"]
        for one in entries:
            kind = UNITS[one.unit][1] or value_type(one.expression)
            choices = f": {', '.join(f'`{choice.value}` {choice.en}' for choice in one.choices)}" if one.choices else ""
            how = explain(one, EVENT_WORDS, "en").replace("|", "\\|")
            lines.append(f"| `dim.{one.key}` {one.en} {one.zh} | {kind} | {one.note}{choices} | {how} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(page.read_text().partition(MARK)[0] + MARK + "\n" + listing())
