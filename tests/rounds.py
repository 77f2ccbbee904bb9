"""How often the tests that prove something repeat it: one setting, `SIYU_TEST_ROUNDS` (CONTRIBUTING.md).

A few rounds by default, so that the suite stays quick; `make prove` sets 50.
"""

from __future__ import annotations

import os
from typing import Final

RACES: Final = int(os.environ.get("SIYU_TEST_ROUNDS", "2"))
"""Rounds of each race of processes: 50 in the proof."""
CRASHES: Final = max(12, 4 * RACES)
"""Rounds of kill -9 at an injected place: 200 in the proof."""
KILLS: Final = max(8, RACES)
"""Rounds of kill -9 of a process of a running server: 50 in the proof."""
ENGINE_KILLS: Final = max(3, RACES // 5)
"""Rounds of kill -9 of PostgreSQL under the ledger: 10 in the proof."""
