"""cli: the `siyu` command. Each command is a thin face of an action; nothing is decided here.

What not: no rules, no SQL. Commands are imported when they are run, so that `siyu --help` answers at once.
"""

from siyu.cli.group import main

__all__ = ["main"]
