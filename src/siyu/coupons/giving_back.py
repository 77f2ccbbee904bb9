"""What goes back of a committed lock: points, coupons, budgets."""

from __future__ import annotations

from typing import Final

from siyu.coupons import lock_records, records, template_records
from siyu.coupons.lock_records import Lock
from siyu.coupons.owner import owner_of
from siyu.coupons.pricing import Turn
from siyu.coupons.request import Part
from siyu.coupons.telling import told_of_coupon
from siyu.errors import Refused
from siyu.identity.outbox import tell
from siyu.ledger import Command, Reverse, Role, derived_key
from siyu.loyalty.posting import account, all_of

BY: Final = "lock"


def cause_of(lock: Lock) -> str:
    """What stands in the statement."""
    return f"order/{lock.order_id}" if lock.order_id else f"lock/{lock.id}"


async def give_back(turn: Turn, found: Lock, part: Part | None) -> None:
    """Give back a part of a committed lock whose row is held; None: all that is left. Raises Refused, Contended."""
    left = found.points - found.points_back
    points = left if part is None or part.points is None else part.points
    if not await lock_records.roll_back(turn.connection, found.id, points, whole=part is None):
        raise Refused("AMOUNT_OUT_OF_RANGE", f"At most {left} points of it can go back.", possible=left)
    commands = await _points_back(turn, found, points)
    commands += await _discounts_back(turn, found, whole=part is None)
    for outcome in await turn.pricing.ledger.post(turn.connection, commands):
        outcome.settled()


async def _points_back(turn: Turn, found: Lock, points: int) -> list[Command]:
    if not points or found.points_transfer is None or found.anchor is None:
        return []
    owner = await owner_of(turn.connection, found.anchor, turn.now)
    key = derived_key("lock", found.id, "back", found.points_back, points)
    mine = all_of(owner.wallets, Role.AVAILABLE)
    back = Reverse(found.points_transfer, points, mine, account(owner.wallets.own, Role.DEBT))
    return [
        Command(key, key, "refund", (back,), turn.now, by=BY, cause=cause_of(found), corrects=found.points_transfer)
    ]


async def _discounts_back(turn: Turn, found: Lock, *, whole: bool) -> list[Command]:
    """Give coupons back as their templates say; what gives their budgets back."""
    connection = turn.connection
    parts = [part for part in await lock_records.parts_of(connection, found.id) if not part.back]
    coupons = {one.id: one for one in await records.by_ids(connection, [part.coupon for part in parts if part.coupon])}
    wanted = {(one.template, one.version) for one in coupons.values()}
    known = await template_records.versions(connection, wanted) if wanted else {}
    commands, told = [], []
    for part in parts:
        coupon = coupons.get(part.coupon) if part.coupon is not None else None
        policy = known[coupon.template, coupon.version].return_on if coupon is not None else "full_refund"
        if policy == "never" or (policy == "full_refund" and not whole):
            continue
        if not await lock_records.give_part_back(connection, found.id, part.place):
            continue
        if coupon is not None and await records.give_back(connection, coupon.id, found.id):
            told.append(
                told_of_coupon(
                    "coupon.returned", coupon, turn.now, {"order_id": found.order_id, "lock_id": str(found.id)}
                )
            )
        if part.transfer is not None:
            key = derived_key("lock", found.id, "back", part.transfer)
            back = Reverse(part.transfer, part.off_fen)
            commands.append(
                Command(key, key, "refund", (back,), turn.now, by=BY, cause=cause_of(found), corrects=part.transfer)
            )
    await tell(connection, told)
    return commands
