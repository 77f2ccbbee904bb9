"""Who is who: the registry of identifiers, the evidence between them, and the persons that follow from it.

Not here: what a person is like (profile) and what happened (events).
"""

from siyu.identity.tables import identifiers, tombstones

__all__ = ["identifiers", "tombstones"]
