"""The till: coupons that are used at once, by many at a time, are done in groups (`ledger.Desk`), each once per key.

A group is one transaction with a few statements for all of it: the plain case, a coupon that its owner has. What is not
plain (lines to fit, a code nobody has, a lock that is over, a budget) is done alone by `redeeming.redeem`, with the
same answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from siyu.clock import Now
from siyu.coupons import lock_records, read, records, redeeming, template_records
from siyu.coupons.lock_records import Lock, Part
from siyu.coupons.offers import UNUSABLE
from siyu.coupons.owner import known_wallets
from siyu.coupons.pricing import Pricing
from siyu.coupons.records import Coupon
from siyu.coupons.request import Held, LockSeen, Redeem
from siyu.coupons.telling import told_of_coupon
from siyu.coupons.template import Template
from siyu.errors import Conflict, Contended, PersonNotFound, Refused, SiyuError
from siyu.identity.members import named_by_uid
from siyu.identity.outbox import tell
from siyu.ledger import Desk
from siyu.loyalty.request import uid_of
from siyu.loyalty.wallet import passing_anchors, wallets
from siyu.store import replies
from siyu.store.postgres import Database

CALL = "redeem"


class Ask(NamedTuple):
    """A request with what makes asking twice the same as once."""

    data: Redeem
    key: UUID | None
    request: UUID


class Use(NamedTuple):
    """A coupon that a group uses."""

    coupon: Coupon
    lock: UUID
    off_fen: int
    ask: Ask


class Group(NamedTuple):
    """What is known of everything that a group asks for."""

    terms: Mapping[tuple[str, int], Template]
    kept: Mapping[UUID, replies.Kept]
    holders: Mapping[UUID, frozenset[str]]
    """The wallets of who is named, by public id."""
    uses: dict[int, Use]
    """Coupons that this group uses."""
    now: datetime


Answer = LockSeen | None | SiyuError
"""None: to be done alone."""


class Till:
    """Uses coupons. One per process."""

    def __init__(self, db: Database, now: Now, pricing: Pricing) -> None:
        self._db = db
        self._now = now
        self._pricing = pricing
        self._desk: Desk[Ask, LockSeen | None] = Desk(db, self.work)

    async def redeem(self, data: Redeem, key: str | None) -> LockSeen:
        """Use a coupon; durable. Raises what `redeeming.redeem` raises, IdempotencyConflict, Busy."""
        if not data.lines:
            number = None if key is None else replies.key_number(key)
            done = await self._desk.ask(Ask(data, number, replies.request_number(CALL, data)))
            if done is not None:
                return done

        async def alone(connection: Any) -> LockSeen:
            at = self._now()
            return await read.lock_seen(connection, await redeeming.redeem(connection, self._pricing, data, at), at)

        return await replies.once(self._db, replies.Asked(key, CALL, data), LockSeen, alone, self._now)

    async def work(self, connection: Any, asks: Sequence[Ask]) -> list[Answer]:
        """Decide and write a group; what `Desk` calls."""
        now = self._now()
        numbers = [self._pricing.vault.number(ask.data.code) for ask in asks]
        coupons = await records.by_code(connection, list(set(numbers)))
        terms = await template_records.terms(
            connection, {(one.template, one.version) for one in coupons.values() if one.version}
        )
        holders = await self._holders(connection, asks, now)
        found = [coupons.get(number) for number in numbers]
        plain = [one is not None and is_plain(one, terms, now) for one in found]
        keys = {ask.key for ask, fits in zip(asks, plain, strict=True) if fits and ask.key is not None}
        kept = await replies.kept_under(connection, keys)
        group = Group(terms, kept, holders, {}, now)
        answers: list[Answer] = []
        taken: set[UUID] = set()
        for ask, coupon, fits in zip(asks, found, plain, strict=True):
            if coupon is None or not fits or ask.key in taken:
                answers.append(None)
                continue
            if ask.key is not None:
                taken.add(ask.key)
            answers.append(self._decide(ask, coupon, group))
        if group.uses:
            await self._write(connection, list(group.uses.values()), now)
        done = [
            (ask.key, ask.request, answer)
            for ask, answer in zip(asks, answers, strict=True)
            if ask.key is not None and ask.key not in kept and isinstance(answer, LockSeen | Conflict)
        ]
        await replies.add(connection, done, now)
        return answers

    async def _holders(self, connection: Any, asks: Sequence[Ask], now: datetime) -> dict[UUID, frozenset[str]]:
        """The wallets of those who are named, by their public id."""
        uids = set()
        for ask in asks:
            if ask.data.person is not None:
                try:
                    uids.add(uid_of(ask.data.person, self._pricing.secret))
                except PersonNotFound:
                    continue
        if not uids:
            return {}
        named = await named_by_uid(connection, uids)
        known = await known_wallets(connection, passing_anchors(named.values()))
        at_ms = int(now.timestamp() * 1000)
        return {uid: frozenset(wallets(one, known, at_ms).holders) for uid, one in named.items()}

    def _decide(self, ask: Ask, coupon: Coupon, group: Group) -> Answer:
        try:
            if ask.key is not None and ask.key in group.kept:
                return group.kept[ask.key].again(ask.request, LockSeen)
            template = group.terms[coupon.template, coupon.version]
            self._check(ask.data, coupon, template, group)
        except SiyuError as error:
            return error
        off = template.off_fen or template.max_off_fen or 0
        use = group.uses[coupon.id] = Use(coupon, self._pricing.new_id(), off, ask)
        held = Held(f"coupon/{coupon.template}", off, coupon.id)
        return LockSeen(use.lock, "committed", ask.data.order_id, 0, 0, (held,), group.now, group.now)

    def _check(self, data: Redeem, coupon: Coupon, template: Template, group: Group) -> None:
        """Raises PersonNotFound, Refused."""
        if data.person is not None:
            mine = group.holders.get(uid_of(data.person, self._pricing.secret))
            if mine is None:
                raise PersonNotFound("Nobody is known by this name.")
            if coupon.holder not in mine:
                raise Refused("COUPON_NOT_YOURS", "It belongs to somebody else.")
        state = "redeemed" if coupon.id in group.uses else coupon.state_at(group.now)
        if state != "given":
            raise Refused(UNUSABLE[state], f"It is {state}.")
        if coupon.valid_from is not None and coupon.valid_from > group.now:
            raise Refused("NOT_STARTED", "It cannot be used yet.")
        if template.scope.ends and data.end not in template.scope.ends:
            raise Refused("CHANNEL_NOT_ALLOWED", f"It cannot be used at {data.end}.", ends=list(template.scope.ends))

    async def _write(self, connection: Any, uses: list[Use], now: datetime) -> None:
        """Raises Contended: somebody was faster with one of them, so that all are decided again."""
        uses.sort(key=lambda one: one.coupon.id)
        if await records.use_all(connection, [(one.coupon.id, one.lock) for one in uses], now) != len(uses):
            raise Contended("A coupon was used meanwhile; this is tried again.", retry_after_s=1)
        locks, parts, told = [], [], []
        for coupon, lock, off, ask in uses:
            data = ask.data
            locks.append(
                Lock(
                    lock, coupon.anchor, coupon.holder, data.order_id, data.end, "committed", 0, None, 0, now, now, now
                )
            )
            parts.append((lock, Part(0, f"coupon/{coupon.template}", coupon.id, off, None)))
            more = {"lock_id": str(lock), "order_id": data.order_id, "end": data.end, "off_fen": off}
            told.append(told_of_coupon("coupon.redeemed", coupon, now, more))
        await lock_records.add_committed(connection, locks, parts)
        await tell(connection, told)


def is_plain(coupon: Coupon, terms: Mapping[tuple[str, int], Template], now: datetime) -> bool:
    """Whether a group may decide about a coupon: somebody has it, no lock of it is over, no budget pays for it."""
    if coupon.anchor is None or (coupon.state == "locked" and coupon.state_at(now) != "locked"):
        return False
    return terms[coupon.template, coupon.version].budget_fen is None
