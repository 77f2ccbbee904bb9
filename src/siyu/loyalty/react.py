"""What events earn, inside the processor's transaction. Keys are derived from rule, event and person, so that the same
event processed twice, or told by two ends, gives once.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from siyu.errors import Conflict
from siyu.identity.members import Named, named_by_anchor
from siyu.ledger import AtEnd, Command, Ledger, Role, State, UnknownCurrency, derived_key
from siyu.ledger.currency import lot_expiry
from siyu.ledger.read_records import holders_from
from siyu.ledger.records import lock_holders
from siyu.loyalty import records
from siyu.loyalty.actions import settle
from siyu.loyalty.audience import audiences_asked
from siyu.loyalty.earning import (
    DEFAULTS,
    EarnRule,
    Money,
    Occurrence,
    Told,
    all_received,
    audience_of,
    cause_of,
    check_rule,
    condition_of,
    gives,
    keys_of,
    money_keys,
    money_of,
    names_of,
    news_of,
    points_of,
    takes,
)
from siyu.loyalty.posting import Stamp, all_of, decide, earning, take_back
from siyu.loyalty.records import Earned
from siyu.loyalty.request import Decide
from siyu.loyalty.wallet import Wallets, anchor_of, opened_ms, passing_anchors, wallets
from siyu.profile.tiers import tiers_at
from siyu.segments.one import Asking, Question, holding
from siyu.store.clickhouse import EventStore

WHOLE: Final = 100
"""Percent of what a rule gives to who is on no better tier."""
_RULE_SECONDS: Final = 5.0
"""A changed rule is noticed within this time by all processes."""


class Earner(NamedTuple):
    """An event, and who earns by it."""

    event: Occurrence
    named: Named
    wallets: Wallets
    percent: int = WHOLE
    """What the person's tier makes of what they earn."""

    def multiplied(self, rule: EarnRule, points: int) -> int:
        """Points of a rule on this tier; rounded down."""
        return points * self.percent // WHOLE if rule.by_tier else points


async def all_rules(connection: Any) -> list[EarnRule]:
    """The newest version of every rule: stored ones, and defaults that nobody changed."""
    return list({rule.id: rule for rule in (*DEFAULTS, *await records.read_rules(connection))}.values())


async def store_rule(connection: Any, ledger: Ledger, rule: EarnRule, now: datetime) -> EarnRule:
    """Store the next version of a rule. Raises UnknownCurrency, InvalidRule, InvalidCondition, Conflict when its
    version is not the next one."""
    if rule.currency not in await ledger.currencies(connection, {rule.currency}):
        # The processor would meet it with every event.
        raise UnknownCurrency(f"There is no currency {rule.currency[:50]!r}.", path="currency")
    check_rule(rule)
    newest = max((one.version for one in await all_rules(connection) if one.id == rule.id), default=0)
    if rule.version != newest + 1 or not await records.add_rule(connection, rule, now):
        raise Conflict(f"The next version of this rule is {newest + 1}.", next_version=newest + 1)
    return rule


class Rules:
    """The earn rules of this installation."""

    def __init__(self) -> None:
        self._rules: tuple[EarnRule, ...] = ()
        self._read_at = float("-inf")

    async def live(self, connection: Any) -> tuple[EarnRule, ...]:
        """Those that give."""
        if time.monotonic() - self._read_at > _RULE_SECONDS:
            self._rules = tuple(rule for rule in await all_rules(connection) if rule.active)
            self._read_at = time.monotonic()
        return self._rules

    async def names(self, connection: Any) -> set[str]:
        """Names of the events that matter."""
        return names_of(await self.live(connection))


async def absorb(
    connection: Any,
    ledger: Ledger,
    rules: Sequence[EarnRule],
    events: Sequence[Occurrence],
    now: datetime,
    *,
    store: EventStore,
) -> None:
    """Give and take back what events mean. `connection`: raw asyncpg, in the transaction that takes the events in;
    `store`: where the events are, for rules about persons. Raises EngineUnavailable, QueryTooExpensive."""
    if orders := {event.order for event in events if event.order}:
        await records.lock_orders(connection, orders)
    found = await named_by_anchor(connection, [(event.anchor, event.at) for event in events])
    known = [(event, named) for event, named in zip(events, found, strict=True) if named is not None]
    earners = await _on_tiers(connection, await _earners(connection, known))
    if not earners:
        return
    currencies = await ledger.currencies(connection, {rule.currency for rule in rules})

    def in_time(rule: EarnRule, since: datetime) -> bool:
        """Whether what is earned would not have ended already, and is not too old (history that is imported late)."""
        if rule.within_days is not None and since < now - timedelta(days=rule.within_days):
            return False
        ends = lot_expiry(currencies[rule.currency], since, ledger.zone)
        return ends is None or ends > now

    taken: list[tuple[EarnRule, list[Earner]]] = []
    for rule in rules:
        names = names_of([rule])
        condition = condition_of(rule)
        mine = [one for one in earners if one.event.name in names and takes(rule, condition, one.event)]
        taken.append((rule, [one for one in mine if in_time(rule, _since(rule, one.event))]))
    meant = await _meant(audiences_asked(connection, store, ledger.zone), taken)
    everybody = {holder: one.wallets for one in earners for holder in one.wallets.holders}
    await lock_holders(connection, list(everybody))
    await settle(connection, ledger, everybody, now)
    giving = [(rule, one) for rule, mine in meant if not rule.points_per_yuan for one in mine]
    await ledger.post(
        connection, [_flat(rule, one, now, ledger) for rule, one in giving if one.multiplied(rule, rule.points)]
    )
    for rule, mine in meant:
        if rule.points_per_yuan and mine:
            await _orders(connection, ledger, rule, mine, now)


_Place: TypeAlias = tuple[str, str, int]


def _place(one: Earner) -> _Place:
    return one.event.source, one.event.event_id, one.event.anchor


async def _meant(asking: Asking, taken: Sequence[tuple[EarnRule, list[Earner]]]) -> list[tuple[EarnRule, list[Earner]]]:
    """Without the events of persons whom a rule does not mean; what takes back is nobody's alone. All events are asked
    of at once, each once for all rules."""
    questions: dict[_Place, Question] = {}
    for rule, mine in taken:
        if (audience := audience_of(rule)) is not None:
            for one in mine:
                if gives(rule, one.event):
                    asked = questions.setdefault(_place(one), Question(one.named, one.event.at, {}))
                    questions[_place(one)] = asked._replace(rules={**asked.rules, rule.id: audience})
    found = dict(zip(questions, await holding(asking, list(questions.values())), strict=True))

    def is_meant(rule: EarnRule, one: Earner) -> bool:
        return rule.audience is None or not gives(rule, one.event) or rule.id in found[_place(one)]

    return [(rule, [one for one in mine if is_meant(rule, one)]) for rule, mine in taken]


async def _on_tiers(connection: Any, earners: list[Earner]) -> list[Earner]:
    """With what the tier that each had at the time of the event makes of points."""
    benefits = await records.benefits(connection) if earners else {}
    if all(one.percent == WHOLE for one in benefits.values()):
        return earners
    tiers = await tiers_at(connection, [(one.named.person, one.event.at) for one in earners])
    plain = records.Benefits()
    return [
        one._replace(percent=benefits.get(tier or "", plain).percent) for one, tier in zip(earners, tiers, strict=True)
    ]


async def _earners(connection: Any, pairs: Sequence[tuple[Occurrence, Named]]) -> list[Earner]:
    anchors = passing_anchors(named for _, named in pairs)
    known = await holders_from(connection, list(anchors)) if anchors else {}
    earners = []
    for event, named in pairs:
        mine = wallets(named, known, int(event.at.timestamp() * 1000))
        if opened_ms(mine.own) is not None and mine.own not in known.get(anchor_of(mine.own), ()):
            # The next event of the same person in this batch finds the wallet that this one opens.
            known.setdefault(anchor_of(mine.own), []).append(mine.own)
        earners.append(Earner(event, named, mine))
    return earners


def _since(rule: EarnRule, event: Occurrence) -> datetime:
    return event.at + timedelta(days=rule.pending_days)


def _flat(rule: EarnRule, one: Earner, now: datetime, ledger: Ledger) -> Command:
    members = [member.anchor for member in one.named.members]
    key, unless = keys_of(rule, one.event, anchor_of(one.wallets.own), members, ledger.zone)
    stamp = Stamp(key, key, now, _by(rule))
    return _earn(rule, one, one.multiplied(rule, rule.points), stamp)._replace(unless=unless)


def _by(rule: EarnRule) -> str:
    return f"rule/{rule.id}"


def _earn(rule: EarnRule, one: Earner, points: int, stamp: Stamp) -> Command:
    since = _since(rule, one.event)
    pending = (since, AtEnd.POST) if since > stamp.at else None
    flow = earning(one.wallets, points, pending=pending, currency=rule.currency)
    return Command(
        stamp.key, stamp.request, "earn", (flow,), stamp.at,
        occurred_at=one.event.at if pending else min(since, stamp.at),
        reason=f"{rule.id} v{rule.version}", cause=cause_of(rule, one.event), by=stamp.by,
        report=all_of(one.wallets, Role.AVAILABLE, rule.currency),
    )  # fmt: skip


_Told: TypeAlias = tuple[Earner, Money]


async def _news(connection: Any, rule: EarnRule, earners: Sequence[Earner]) -> list[_Told]:
    """What events say about orders and was not known."""
    asked = [(one, money_keys(rule, one.event, one.wallets.own, one.wallets.holders)) for one in earners]
    found = [
        (one, money, keys)
        for one, keys in asked
        if (money := money_of(rule, one.event, keys, one.percent if rule.by_tier else WHOLE)) is not None
    ]
    known = await records.tellers(connection, sorted({key for *_, keys in found for key in (*keys.own, *keys.others)}))
    told: list[_Told] = []
    for one, money, keys in found:
        mine = {member.anchor for member in one.named.members} | {money.anchor, one.event.order}
        if (news := news_of(money, keys, known, mine)) is not None:
            told.append((one, news))
            known[news.key] = Told(news.anchor, news.shop)
    fresh = await records.add_money(connection, [money for _, money in told]) if told else set()
    return [(one, money) for one, money in told if money.key in fresh]


async def _orders(connection: Any, ledger: Ledger, rule: EarnRule, earners: Sequence[Earner], now: datetime) -> None:
    """Bring the points of every order named to what its money means now; then post those that were received."""
    told = await _news(connection, rule, earners)
    # One change for an order and person, under the key of the last event that brought something new.
    last = {(money.subject, one.named.person): (one, money) for one, money in told}
    if not last:
        return
    # Identity comes after us: what the batch itself joins is not among the members yet.
    paid = defaultdict(set)
    for one, money in told:
        if gives(rule, one.event) and one.event.order:
            paid[money.subject, one.named.person].add(one.event.order)
    causes = sorted({subject for subject, _ in last})
    known, earned = defaultdict(list), defaultdict(list)
    for money_row in await records.money_of_subjects(connection, causes, rule.id):
        known[money_row.subject].append(money_row)
    for earned_row in await records.earned_for(connection, causes, _by(rule)):
        earned[earned_row.cause].append(earned_row)
    request = derived_key(rule.id, rule.version)
    commands: list[Command] = []
    received: list[tuple[Earner, str]] = []
    for (subject, person), (one, money) in last.items():
        members = {member.anchor for member in one.named.members} | paid[subject, person]
        mine = [row for row in known[subject] if row.anchor in members]
        points = points_of(rule, mine)
        given = [row for row in earned[subject] if row.holder in one.wallets.holders]
        stamp = Stamp(derived_key("change", rule.id, money.key), request, now, _by(rule))
        commands += _change(rule, one, points, given, stamp)
        if all_received(mine):
            received.append((one, subject))
    await ledger.post(connection, commands)
    if received:
        await _receive(connection, ledger, rule, received, now)


def _change(rule: EarnRule, one: Earner, points: int, given: Sequence[Earned], stamp: Stamp) -> list[Command]:
    """From what was given to what should be."""
    more = points - sum(row.points for row in given)
    if more > 0:
        return [_earn(rule, one, more, stamp)]
    commands = []
    for row in given:
        if back := min(row.points, -more):
            more += back
            own = stamp._replace(key=derived_key(stamp.key, row.transfer))
            taken = take_back(row.transfer, back, one.wallets, rule.currency, own)
            commands.append(taken._replace(kind="take_back", cause=row.cause, reason=f"{rule.id} v{rule.version}"))
    return commands


async def _receive(
    connection: Any, ledger: Ledger, rule: EarnRule, received: Sequence[tuple[Earner, str]], now: datetime
) -> None:
    earned = defaultdict(list)
    for found in await records.earned_for(connection, sorted({subject for _, subject in received}), _by(rule)):
        earned[found.cause].append(found)
    commands = []
    for one, subject in received:
        for row in earned[subject]:
            if row.holder in one.wallets.holders and row.state is State.PENDING:
                key = derived_key("received", row.transfer)
                done = decide(
                    Decide(transfer_id=row.transfer, post=True), one.wallets, rule.currency,
                    Stamp(key, key, now, _by(rule)),
                )  # fmt: skip
                commands.append(done._replace(cause=subject))
    await ledger.post(connection, commands)
