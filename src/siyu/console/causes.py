"""From an effect to its reason: where the cause of a statement line is explained. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import quote

from siyu.console.i18n import mark as _
from siyu.console.page import query

_RULE: Final = "rule/"


class Lead(NamedTuple):
    """A link to a reason."""

    text: str
    """A word of the catalogue."""
    address: str


def leads(cause: str | None, by: str, person_id: str) -> list[Lead]:
    """What brought a transfer: the rule that gave it, and the order, event, item or day that it was for.

    `cause` and `by` as they stand in a statement: `order/O1`, `event/SOURCE/ID`, `mall/ITEM`, `checkin/DAY/…`;
    `rule/ID`."""
    kind, _slash, rest = (cause or "").partition("/")
    rule = by.removeprefix(_RULE) if by.startswith(_RULE) else ""
    found = []
    if rule:
        page = f"/console/earn-rules/{quote(rule, safe='')}"
        event = rest.partition("/")[2] if kind == "event" else ""
        found.append(
            Lead(_("Why"), f"{page}/why" + query(q=person_id, event=event)) if event else Lead(_("Rule"), page)
        )
    if kind == "order" and rest:
        found.append(Lead(_("The order"), "/console/orders" + query(q=rest)))
    elif kind == "mall" and rest:
        found.append(Lead(_("Why"), f"/console/why/mall/{quote(rest, safe='')}" + query(q=person_id)))
    elif kind == "checkin" and rest:
        month = rest.partition("/")[0][:7]
        found.append(Lead(_("Check-in"), f"/console/persons/{person_id}/membership" + query(month=month)))
    elif kind == "birthday":
        found.append(Lead(_("Person"), f"/console/persons/{person_id}"))
    return found
