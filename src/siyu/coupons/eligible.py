"""Whether a person may get a coupon of a template."""

from __future__ import annotations

from datetime import datetime

from siyu.coupons import facts
from siyu.coupons.owner import Owner
from siyu.coupons.pricing import Turn
from siyu.coupons.template import Template, condition_of
from siyu.coupons.template_records import Stored


def open_at(template: Template, at: datetime) -> str | None:
    """Why none is given at an instant; None: some are."""
    if template.starts_at is not None and at < template.starts_at:
        return "NOT_STARTED"
    if not template.active or (template.ends_at is not None and at >= template.ends_at):
        return "ENDED"
    return None


async def may_have(turn: Turn, owner: Owner, stored: Stored) -> str | None:
    """Why a person cannot get one, limits aside; None: they can. Raises EngineUnavailable."""
    template = stored.template
    if (why := open_at(template, turn.now)) is not None:
        return why
    if template.new_user_only and not await facts.is_new(turn, owner):
        return "NOT_ELIGIBLE"
    if template.audience is not None and not await facts.holding(turn, owner, {"": condition_of(template.audience)}):
        return "NOT_ELIGIBLE"
    return None
