"""Runs the `siyu` command as people do: as a process, in a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SIYU = str(Path(sys.executable).with_name("siyu"))


class Cli:
    """The command with a home; engines of the home that run already are shared."""

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("SIYU_", "LC_", "LANG"))}
        self.environ = plain | {"SIYU_HOME": str(home), "LANG": "C.UTF-8"} | environ

    def run(self, *arguments: str | Path, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run to the end and check the exit code."""
        done = subprocess.run(
            [SIYU, *map(str, arguments)],
            env=self.environ,
            cwd=self.home.parent,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        assert done.returncode == code, f"exit {done.returncode}: {done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str | Path) -> Any:
        """What a command with --json printed."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start and go on."""
        return subprocess.Popen(
            [SIYU, *map(str, arguments)],
            env=self.environ,
            cwd=self.home.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
