"""A process that owns the engines of a home until its standard input ends: what the crash tests kill.

`python engine_owner.py HOME` prints the addresses as one JSON line when the engines are up.
"""

import sys

import msgspec

from siyu.settings import Settings
from siyu.store.engines import open_engines

with open_engines(Settings(home=sys.argv[1]), exclusive=True) as engines:
    sys.stdout.buffer.write(msgspec.json.encode(engines) + b"\n")
    sys.stdout.flush()
    sys.stdin.read()
