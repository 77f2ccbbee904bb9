"""Verbs of check-in: check in (by a call or by events), fill a missed day, show a calendar, change the rules.

A check-in, its rewards and the event that tells of it are one transaction. Under a lock of all identifiers of the
person the days are read, decided upon and written; the primary key (identifier, day) and the derived keys of the
rewards hold whatever else may happen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from siyu.collect.own_events import CHECKIN
from siyu.errors import Conflict, Contended, Refused, WrongValue
from siyu.identity.members import Named
from siyu.identity.outbox import Told, tell
from siyu.ledger import Command, Ledger, derived_key
from siyu.ledger.currency import lot_expiry
from siyu.ledger.read_records import balances, holders_from
from siyu.loyalty.actions import grown
from siyu.loyalty.posting import Stamp, earning, spend
from siyu.loyalty.request import PersonRef, Spend, uid_of
from siyu.loyalty.wallet import Wallets, anchor_of, passing_anchors, wallets
from siyu.membership import checkin_records as records
from siyu.membership.checkin import Given, Grant, Rules, checked, cycle_day, grants, words
from siyu.membership.checkin_owed import Known, Live, live, owed
from siyu.membership.checkin_records import RewardRow, Row, StoredRules
from siyu.membership.checkin_shown import Calendar, CheckedIn, DayShown, MakeUpShown, RewardShown, reward_shown
from siyu.membership.tiers import named
from siyu.profile.checkins import streak_now, streak_on
from siyu.rules.window import epoch_ms
from siyu.store.postgres import Database

BY: Final = "checkin"
BY_CALL: Final = "call"
BY_EVENT: Final = "event"
MADE_UP: Final = "make_up"
VERSIONS_MAX: Final = 200
PROMISES_MAX: Final = 50
"""Versions of the rules that are looked at for how old a promise is."""


class AlreadyCheckedIn(Refused):
    """There is a check-in on this day."""

    def __init__(self, day: date, streak: int) -> None:
        super().__init__(
            "ALREADY_CHECKED_IN", f"There is a check-in on {day} already.", day=day.isoformat(), streak=streak
        )


class Visit(NamedTuple):
    """Somebody checks in."""

    named: Named
    wallets: Wallets
    day: date
    at: datetime
    end: str
    how: str

    @property
    def anchor(self) -> int:
        """The identifier on which it is kept."""
        return anchor_of(self.wallets.own)

    def owns(self, anchor: int, at: datetime) -> bool:
        """Whether an identifier was the person's at an instant."""
        at_ms = epoch_ms(at)
        return any(one.anchor == anchor and one.since_ms <= at_ms < one.until_ms for one in self.named.members)


class State(NamedTuple):
    """What is known of one person's check-ins."""

    rows: dict[date, Row]
    given: list[RewardRow]

    @property
    def days(self) -> set[date]:
        """All days."""
        return set(self.rows)

    @property
    def known(self) -> list[Given]:
        """What was given, once each: a reward of several currencies is one, and so is one that two were given."""
        return list(dict.fromkeys(Given(one.day, one.item) for one in self.given))

    def owed(self, terms: Live, more: Sequence[Given] = ()) -> list[Grant]:
        """What is owed for days that are over. `more`: what is given besides."""
        filled = {day for day, row in self.rows.items() if row.how == MADE_UP}
        return owed(terms, Known(self.days, [*self.known, *more], filled))

    def month_total(self, day: date) -> int:
        """Days in the calendar month of `day`."""
        return sum((one.year, one.month) == (day.year, day.month) for one in self.rows)


def local_day(at: datetime, zone: ZoneInfo) -> date:
    """The brand's day of an instant."""
    return at.astimezone(zone).date()


async def visit(connection: Any, person_id: UUID, now: datetime) -> tuple[Named, Wallets]:
    """Who checks in, and their wallets. Raises PersonNotFound."""
    one = await named(connection, person_id)
    known = await holders_from(connection, list(anchors)) if (anchors := passing_anchors([one])) else {}
    return one, wallets(one, known, epoch_ms(now))


class Kept:
    """What is known of many identifiers, found by identifier: a batch of history has thousands of each."""

    def __init__(self, rows: Sequence[Row], given: Sequence[RewardRow]) -> None:
        self._rows: dict[int, list[tuple[int, Row]]] = defaultdict(list)
        self._given: dict[int, list[tuple[int, RewardRow]]] = defaultdict(list)
        for place, row in enumerate(rows):
            self._rows[row.anchor].append((place, row))
        for place, one in enumerate(given):
            self._given[one.anchor].append((place, one))

    def state_of(self, who: Visit) -> State:
        """A person's check-ins out of those of many identifiers."""
        anchors = {member.anchor for member in who.named.members} | {who.anchor}
        found = sorted(one for anchor in anchors for one in self._rows.get(anchor, ()))
        rows = [row for _, row in found if who.owns(row.anchor, row.at)]
        days = {(row.anchor, row.day) for row in rows}
        given = sorted(one for anchor in anchors for one in self._given.get(anchor, ()))
        mine = {row.day: row for row in reversed(rows)}
        return State(mine, [one for _, one in given if (one.anchor, one.day) in days])


class Visits(NamedTuple):
    """Check-ins that were taken, with what each brings."""

    taken: list[tuple[Visit, State, list[Grant]]]
    refused: list[AlreadyCheckedIn | None]
    """For each visit: why it is none."""


def decide(terms: Live, visits: Sequence[Visit], rows: Sequence[Row], given: Sequence[RewardRow]) -> Visits:
    """Which visits are check-ins, and what they bring; a person's last one also what is owed. Pure: one after the
    other, the earliest day first."""
    kept, states = Kept(rows, given), dict[int, State]()
    taken: list[tuple[Visit, State, list[Grant]]] = []
    refused: list[AlreadyCheckedIn | None] = [None] * len(visits)
    for place, who in sorted(enumerate(visits), key=lambda one: (one[1].day, one[1].at, one[0])):
        if (state := states.get(who.named.person)) is None:
            state = states[who.named.person] = kept.state_of(who)
        if who.day in state.rows:
            refused[place] = AlreadyCheckedIn(who.day, streak_on(state.days, who.day))
            continue
        state.rows[who.day] = Row(who.anchor, who.day, who.at, who.end, who.how)
        found = grants(terms.rules, state.days, who.day, state.known, made_up=who.how == MADE_UP)
        state.given.extend(
            RewardRow(who.anchor, who.day, grant.item, one.currency, one.amount, 0)
            for grant in found
            for one in grant.rewards[:1]
        )
        taken.append((who, state, found))
    for _, state, found in {one[0].named.person: one for one in taken}.values():
        found.extend(state.owed(terms))
    return Visits(taken, refused)


async def absorb(
    connection: Any, ledger: Ledger, terms: Live, visits: Sequence[Visit], now: datetime
) -> list[CheckedIn | AlreadyCheckedIn]:
    """Check people in; the answer to each. `connection`: raw asyncpg, in a transaction. Raises Contended."""
    anchors = {member.anchor for who in visits for member in who.named.members} | {who.anchor for who in visits}
    await records.lock(connection, anchors)
    decided = decide(
        terms, visits, await records.days_of(connection, anchors), await records.rewards_of(connection, anchors)
    )
    answers: dict[int, CheckedIn | AlreadyCheckedIn] = {
        id(who): refusal for who, refusal in zip(visits, decided.refused, strict=True) if refusal is not None
    }
    if decided.taken:
        fresh = await records.add(connection, [state.rows[who.day] for who, state, _ in decided.taken])
        if len(fresh) != len(decided.taken):
            raise Contended("Another check-in was faster; this one is tried again.", retry_after_s=1)
        paid = await _reward(connection, ledger, decided, now)
        await tell(connection, [_told(who) for who, _, _ in decided.taken if who.how != BY_EVENT])
        for (who, state, _), shown in zip(decided.taken, paid, strict=True):
            answers[id(who)] = _checked_in(terms.rules, who, state, shown)
    return [answers[id(who)] for who in visits]


async def _reward(connection: Any, ledger: Ledger, decided: Visits, now: datetime) -> list[list[RewardShown]]:
    """Post what the check-ins bring; what each of them got."""
    given = {reward.currency for _, _, found in decided.taken for grant in found for reward in grant.rewards}
    currencies = await ledger.currencies(connection, given)
    wanted: list[tuple[int, RewardRow, Command]] = []
    for place, (who, state, found) in enumerate(decided.taken):
        for grant in found:
            at = who.at if grant.mark is None else state.rows[grant.mark].at
            for reward in grant.rewards:
                currency = currencies.get(reward.currency)
                ends = None if currency is None else lot_expiry(currency, at, ledger.zone)
                if currency is None or (ends is not None and ends <= now):
                    # A currency that is gone, or history whose points would have ended already.
                    continue
                row = RewardRow(who.anchor, who.day, grant.item, reward.currency, reward.amount, 0)
                wanted.append((place, row, _command(who, row, at, now)))
    outcomes = await ledger.post(connection, [command for _, _, command in wanted])
    await grown(connection, [command for _, _, command in wanted])
    shown: list[list[RewardShown]] = [[] for _ in decided.taken]
    rows = []
    for (place, row, _), outcome in zip(wanted, outcomes, strict=True):
        if outcome.refused is None and outcome.fresh:
            rows.append(row._replace(transfer=outcome.transfer))
            shown[place].append(reward_shown(row))
    await records.add_rewards(connection, rows)
    return shown


def _command(who: Visit, row: RewardRow, at: datetime, now: datetime) -> Command:
    def key(anchor: int) -> UUID:
        return derived_key("checkin", anchor, row.day.isoformat(), row.item, row.currency)

    others = {member.anchor for member in who.named.members} - {who.anchor}
    stamp = Stamp(key(who.anchor), derived_key("checkin", row.item), now, BY)
    flow = earning(who.wallets, row.amount, currency=row.currency)
    return Command(
        stamp.key, stamp.request, "earn", (flow,), now, occurred_at=min(at, now), reason=words(row.item)[0],
        cause=f"checkin/{row.day}/{row.item}", by=BY, report=flow.repay, unless=tuple(map(key, sorted(others))),
    )  # fmt: skip


def _told(who: Visit) -> Told:
    properties = {"day": who.day, "how": who.how}
    return Told(f"checkin-{who.anchor}-{who.day}", CHECKIN, who.at, properties, who.named.anchor, end=who.end)


def _checked_in(rules: Rules, who: Visit, state: State, shown: list[RewardShown]) -> CheckedIn:
    streak = streak_on(state.days, who.day)
    return CheckedIn(
        str(who.named.uid), who.day, who.at, who.end, who.how, streak, cycle_day(rules.cycle, streak, who.day),
        len(state.rows), state.month_total(who.day), shown,
    )  # fmt: skip


class Asking(NamedTuple):
    """A call: by whom it is meant, where and when."""

    person: PersonRef
    end: str
    now: datetime
    secret: bytes


async def live_rules(connection: Any, zone: ZoneInfo) -> Live:
    """The rules that count, and since when their promises stand."""
    versions = await records.rules_of(connection, PROMISES_MAX)
    return live([(one.rules, None if one.at is None else local_day(one.at, zone)) for one in versions])


async def check_in(connection: Any, ledger: Ledger, asking: Asking) -> CheckedIn:
    """Check somebody in now. Raises PersonNotFound, Refused ALREADY_CHECKED_IN, Contended."""
    one, own = await visit(connection, uid_of(asking.person, asking.secret), asking.now)
    terms = await live_rules(connection, ledger.zone)
    if not terms.rules.active:
        raise Refused("ENDED", "Check-in is switched off.")
    who = Visit(one, own, local_day(asking.now, ledger.zone), asking.now, asking.end, BY_CALL)
    (answer,) = await absorb(connection, ledger, terms, [who], asking.now)
    if isinstance(answer, AlreadyCheckedIn):
        raise answer
    return answer


async def make_up(connection: Any, ledger: Ledger, asking: Asking, day: date, key: str | None) -> CheckedIn:
    """Fill a missed day against a card. Raises PersonNotFound, WrongValue, Refused NOT_ELIGIBLE, ENDED,
    LIMIT_REACHED, ALREADY_CHECKED_IN, INSUFFICIENT."""
    one, own = await visit(connection, uid_of(asking.person, asking.secret), asking.now)
    terms = await live_rules(connection, ledger.zone)
    card, today = terms.rules.make_up, local_day(asking.now, ledger.zone)
    if card is None or not terms.rules.active:
        raise Refused("NOT_ELIGIBLE", "Missed days cannot be filled.")
    if day >= today:
        raise WrongValue("Only a day that is over can be filled.", path="day")
    if day < today - timedelta(days=card.days_back):
        raise Refused("ENDED", f"Only the last {card.days_back} days can be filled.", days_back=card.days_back)
    at = min(datetime.combine(day, time(12), ledger.zone).astimezone(UTC), asking.now)
    who = Visit(one, own, day, at, asking.end, MADE_UP)
    (answer,) = await absorb(connection, ledger, terms, [who], asking.now)
    if isinstance(answer, AlreadyCheckedIn):
        raise answer
    anchors = {member.anchor for member in one.members} | {who.anchor}
    state = Kept(await records.days_of(connection, anchors), ()).state_of(who)
    filled = [
        row
        for row in state.rows.values()
        if row.how == MADE_UP and (row.day.year, row.day.month) == (day.year, day.month)
    ]
    if len(filled) > card.month_max:
        raise Refused("LIMIT_REACHED", f"At most {card.month_max} days of a month can be filled.", limit=card.month_max)
    if card.cost:
        request = Spend(person=str(one.uid), points=card.cost, currency=card.currency)
        number = uuid4() if key is None else derived_key("make-up", key, day)
        paid = spend(request, own, Stamp(number, derived_key("make-up", who.anchor, day), asking.now, BY))
        command = paid._replace(reason=f"补签 {day}", cause=f"checkin/{day}/make_up")
        (outcome,) = await ledger.post(connection, [command])
        outcome.settled()
    return answer


async def calendar(connection: Any, ledger: Ledger, person_id: UUID, month: date, now: datetime) -> Calendar:
    """A person's check-ins in the month of `month`. Raises PersonNotFound."""
    one, own = await visit(connection, person_id, now)
    today = local_day(now, ledger.zone)
    who = Visit(one, own, today, now, "", BY_CALL)
    anchors = {member.anchor for member in one.members} | {who.anchor}
    given = await records.rewards_of(connection, anchors)
    state = Kept(await records.days_of(connection, anchors), given).state_of(who)
    terms = await live_rules(connection, ledger.zone)
    rules, days = terms.rules, state.days
    streak = streak_now(days, today)
    coming = today if today not in days else today + timedelta(days=1)
    rewards = {day: [reward_shown(row) for row in state.given if row.day == day] for day in days}
    return Calendar(
        str(one.uid), f"{month:%Y-%m}", today, today in days, streak,
        cycle_day(rules.cycle, streak, today), len(days), state.month_total(month),
        [
            DayShown(row.day, row.at, row.end, row.how, rewards[row.day])
            for row in sorted(state.rows.values(), key=lambda row: row.day)
            if (row.day.year, row.day.month) == (month.year, month.month)
        ],
        [
            RewardShown(reward.currency, reward.amount, *words(grant.item))
            for grant in _coming(terms, state, coming)
            for reward in grant.rewards
        ],
        await _make_up_shown(connection, rules, own, days, today),
    )  # fmt: skip


def _coming(terms: Live, state: State, day: date) -> list[Grant]:
    """What a check-in of `day` would bring."""
    found = grants(terms.rules, state.days | {day}, day, state.known)
    return [*found, *state.owed(terms, [Given(day, grant.item) for grant in found])]


async def _make_up_shown(
    connection: Any, rules: Rules, own: Wallets, days: Collection[date], today: date
) -> MakeUpShown | None:
    terms = rules.make_up
    if terms is None or not rules.active:
        return None
    held = await balances(connection, list(own.holders))
    there = sum(one.balance for one in held if one.currency == terms.currency and one.role.value == "available")
    back = (today - timedelta(days=n) for n in range(terms.days_back, 0, -1))
    return MakeUpShown(terms.currency, terms.cost, there, [day for day in back if day not in days])


async def put_rules(connection: Any, ledger: Ledger, rules: Rules, now: datetime, by: str) -> StoredRules:
    """The next version of the rules. Raises InvalidCheckinRules, UnknownCurrency, Conflict."""
    checked(rules)
    if unknown := rules.currencies() - (await ledger.currencies(connection, rules.currencies())).keys():
        raise WrongValue(f"There is no currency {min(unknown)!r}.", path="currency")
    (before, *_) = await records.rules_of(connection)
    if not await records.add_rules(connection, before.version + 1, rules, now, by):
        raise Conflict("The rules were changed by somebody else at the same time.")
    return (await records.rules_of(connection))[0]


async def overview(db: Database, now: datetime, zone: ZoneInfo) -> tuple[list[StoredRules], list[tuple[date, int]]]:
    """The versions of the rules, newest first, and how many checked in on each of the last 30 days."""
    today = local_day(now, zone)
    async with db.driver() as connection:
        versions = await records.rules_of(connection, VERSIONS_MAX)
        return versions, await records.count_on(connection, today - timedelta(days=29), today)
