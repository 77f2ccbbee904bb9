"""What staff and operators read when something about coupons is refused: the true reason, by its code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from siyu.console.i18n import mark as _
from siyu.console.visit import Visit
from siyu.errors import SiyuError
from siyu.rules.explain import Reason

REASONS: Final = {
    "COUPON_NOT_FOUND": _("No coupon has this code. Check the letters: 0, O, 1, I and L never occur."),
    "COUPON_USED": _("This coupon was used before."),
    "COUPON_EXPIRED": _("The time of this coupon is over."),
    "COUPON_NOT_YOURS": _("This coupon belongs to somebody else."),
    "LOCKED": _("This coupon is set aside for another purchase. Wait until that is paid or cancelled."),
    "NOT_STARTED": _("This coupon cannot be used yet."),
    "ENDED": _("This coupon was taken back, or its promotion has ended."),
    "NOT_ELIGIBLE": _("This coupon is not for this person or purchase."),
    "CHANNEL_NOT_ALLOWED": _("This coupon cannot be used in the shop."),
    "LIMIT_REACHED": _("This person has had as many of them as one person may, or all have been given."),
    "BUDGET_EXHAUSTED": _("The budget of this promotion is used up."),
    "OUT_OF_STOCK": _("There are no codes left."),
    "PERSON_NEEDED": _("Nobody has this code yet. Type the member's phone number below: it becomes theirs."),
}
"""Code of a refusal → what staff tell the customer."""

QUOTED: Final = {
    "NOT_STACKABLE": _("It does not go together with others that are better for the customer."),
    "NOT_ELIGIBLE": _("It is not for this person."),
    "NOT_ELIGIBLE scope": _("Nothing in the basket is what it is for."),
    "NOT_ELIGIBLE min_spend": _("The basket is below the amount from which it counts."),
    "NOT_ELIGIBLE no_shipping": _("There is no shipping to pay."),
    "NOT_ELIGIBLE nothing_left": _("Nothing is left to take off."),
    "NOT_ELIGIBLE price": _("The articles cost no more than its price."),
    "NOT_ELIGIBLE person": _("It is for certain persons only: name one."),
    "NOT_ELIGIBLE condition": _("The person does not fulfil its condition."),
    "CHANNEL_NOT_ALLOWED": _("It does not count on this end."),
    "INSUFFICIENT": _("The person has fewer points."),
    "NOT_STARTED": _("It has not begun yet."),
    "ENDED": _("It has ended or was stopped."),
    "COUPON_NOT_FOUND": _("There is no such coupon, or the person has none of it."),
    "LIMIT_REACHED": _("The person has used it before."),
    "BUDGET_EXHAUSTED": _("Its budget is used up."),
}
"""The same where a price is tried: by code, or code and what it is because of."""

UNMET: Final = _("Not fulfilled: %(why)s")


def reason(visit: Visit, error: SiyuError) -> str:
    """Why it cannot be done, in the reader's words."""
    code = error.code
    if code == "NOT_ELIGIBLE" and error.details.get("because") == "person":
        code = "PERSON_NEEDED"
    if code not in REASONS:
        return visit.said(error)
    why = error.details.get("why")
    said = msgspec.convert(why, tuple[Reason, ...]) if isinstance(why, list) else ()
    return _with(visit, visit.face.text(REASONS[code]), said)


def quoted(visit: Visit, code: str, because: str = "", why: Sequence[Reason] = ()) -> str:
    """Why a quote leaves something out."""
    message = QUOTED.get(f"{code} {because}") or QUOTED.get(code) or REASONS.get(code)
    return _with(visit, visit.face.text(message), why) if message else code


def _with(visit: Visit, message: str, why: Sequence[Reason]) -> str:
    """The message, and the conditions that the person does not fulfil."""
    if not why:
        return message
    unmet = "; ".join(one.zh if visit.locale.startswith("zh") else one.en for one in why)
    return f"{message} {visit.face.text(UNMET) % {'why': unmet}}"
