"""Questions about what happened: typed question → one statement → columns → figures, and the persons behind them.

Reads the events and who is who; writes nothing but saved questions. Not here: single persons (profile), rules that act.
"""

from siyu.analytics.actions import PersonPage, ask
from siyu.analytics.kinds import parse_question

__all__ = ["PersonPage", "ask", "parse_question"]
