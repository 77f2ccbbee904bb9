"""Questions about what happened: typed question → one statement → columns → figures, and the persons behind them.

Reads the events and who is who; writes nothing but saved questions. Not here: single persons (profile), rules that act.
"""

from siyu.analytics.actions import ask
from siyu.analytics.as_table import to_csv, to_table
from siyu.analytics.kinds import parse_question
from siyu.analytics.pages import PersonPage

__all__ = ["PersonPage", "ask", "parse_question", "to_csv", "to_table"]
