"""The profile: traits, tags, consent, touches, purchases, lifecycle and RFM of persons, and the rights of persons.

Everything hangs on the identifier (anchor) whose event brought it. What a person has is a pure fold over the logs of
its members, each read only for the time in which it was the person's. So merges and undo are exact, and neither the
order nor the repetition of arrivals matters.

Not here: who is who (`identity`), what is counted over many persons (`analytics`), what a person is worth or may get.
"""

from siyu.profile import tables
from siyu.profile.actions import absorb, absorb_purchases
from siyu.profile.change import Problem, ProfileChange

__all__ = ["Problem", "ProfileChange", "absorb", "absorb_purchases", "tables"]
