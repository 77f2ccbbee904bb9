"""Whether a person may get a coupon of a template."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from siyu.coupons import facts
from siyu.coupons.owner import Owner
from siyu.coupons.pricing import Turn
from siyu.coupons.reasons import Withheld
from siyu.coupons.template import Template, condition_of
from siyu.coupons.template_records import Stored
from siyu.rules.explain import Reason

_NEW: Final = Reason("首单：没有已支付或进行中的订单", "First order: none was paid and none is open")


def open_at(template: Template, at: datetime) -> str | None:
    """Why none is given at an instant; None: some are."""
    if template.starts_at is not None and at < template.starts_at:
        return "NOT_STARTED"
    if not template.active or (template.ends_at is not None and at >= template.ends_at):
        return "ENDED"
    return None


async def may_have(turn: Turn, owner: Owner, stored: Stored) -> Withheld | None:
    """Why a person cannot get one, limits aside; None: they can. Raises EngineUnavailable."""
    template = stored.template
    if (why := open_at(template, turn.now)) is not None:
        return Withheld(why)
    if template.new_user_only and not await facts.is_new(turn, owner):
        return Withheld("NOT_ELIGIBLE", "condition", (_NEW,))
    if template.audience is not None:
        unmet = await facts.unmet(turn, owner, condition_of(template.audience))
        if unmet:
            return Withheld("NOT_ELIGIBLE", "condition", unmet)
    return None
