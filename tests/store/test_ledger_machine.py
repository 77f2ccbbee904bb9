"""The ledger on real PostgreSQL against a pure model: any sequence of verbs, and every invariant after each of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from siyu.ledger import AccountName, AtEnd, Command, End, Flow, Ledger, Leg, Outcome, Reverse, Role, State, derived_key
from siyu.ledger.check import violations
from siyu.ledger.proving import proof_of
from siyu.ledger.read_records import DueLeg, DueLots, balances, due_first, lots_seen
from siyu.ledger.sealing import Sealer, seal_all
from siyu.store.postgres import Database, driver_of
from tests.conftest import drop_database
from tests.reference.ledger import Hold, Model

ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 6, 1, 2, tzinfo=UTC)
HOLDERS = ("1", "2", "3")
DSN: list[str] = []
KEYS = count()

amounts = st.integers(1, 60)
holders = st.sampled_from(("1", "1", "1", *HOLDERS))
lifetimes = st.sampled_from([timedelta(days=1), timedelta(days=2), timedelta(days=40)])


def name(role: Role, holder: str) -> AccountName:
    return AccountName("points", holder, role)


class LedgerMachine(RuleBasedStateMachine):
    """Three holders; any of them may be one person for a time. Times move on by jumps."""

    transfers = Bundle("transfers")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = START
        self.model = Model()
        self.persons: dict[str, tuple[str, ...]] = {holder: (holder,) for holder in HOLDERS}
        self.ledger = Ledger(ZONE)
        self.database = f"m_{uuid4().hex}"
        self.done: list[tuple[Command, Outcome]] = []
        self.history: list[tuple[datetime, dict[str, int]]] = []

    @initialize()
    def open(self) -> None:
        async def prepare() -> None:
            admin = await Database.open(DSN[0], connections_max=1)
            async with admin.driver() as connection:
                await connection.execute(f"CREATE DATABASE {self.database}")
            await admin.close()
            self.db = await Database.open(DSN[0].replace("@/siyu?", f"@/{self.database}?"), connections_max=2)
            await self.db.create_all()

        self.loop.run_until_complete(prepare())

    def teardown(self) -> None:
        async def drop() -> None:
            await self.db.close()
            admin = await Database.open(DSN[0], connections_max=1)
            async with admin.driver() as connection:
                await drop_database(connection, self.database)
            await admin.close()

        if hasattr(self, "db"):
            self.loop.run_until_complete(drop())
        self.loop.close()

    def post(self, kind: str, *parts: Any, corrects: int | None = None) -> Outcome:
        key = derived_key("machine", next(KEYS))
        command = Command(key, key, kind, parts, self.now, corrects=corrects)

        async def do() -> Outcome:
            async with self.db.begin() as conn:
                return (await self.ledger.post(await driver_of(conn), [command]))[0]

        outcome = self.loop.run_until_complete(do())
        self.done.append((command, outcome))
        return outcome

    def of(self, holder: str) -> tuple[str, ...]:
        return self.persons[holder]

    def debts(self, holder: str) -> tuple[AccountName, ...]:
        return tuple(name(Role.DEBT, one) for one in self.of(holder))

    # Verbs.

    @rule(target=transfers, holder=holders, points=amounts, lives=lifetimes)
    def earn(self, holder: str, points: int, lives: timedelta) -> Any:
        leg = Leg(name(Role.ISSUED, holder), name(Role.AVAILABLE, holder))
        ends = self.now + lives
        outcome = self.post("earn", Flow((leg,), points, repay=self.debts(holder), expires_at=ends))
        assert outcome.refused is None
        lot = self.model.arrive(self.of(holder), holder, points, self.now, ends)
        self.model.given += points
        self.model.earned[outcome.transfer] = (holder, points)
        self.model.made[outcome.transfer] = [lot] if lot else []
        return outcome.transfer

    @rule(target=transfers, holder=holders, points=amounts, wait=lifetimes, lives=lifetimes)
    def pend(self, holder: str, points: int, wait: timedelta, lives: timedelta) -> Any:
        leg = Leg(name(Role.ISSUED, holder), name(Role.AVAILABLE, holder), name(Role.PENDING, holder))
        ends = self.now + wait
        flow = Flow((leg,), points, ends_at=ends, at_end=AtEnd.POST, expires_at=ends + lives)
        outcome = self.post("earn", flow)
        assert outcome.refused is None
        self.model.given += points
        self.model.holds[outcome.transfer] = Hold(outcome.transfer, "earn", holder, ends, points)
        self.model.holds[outcome.transfer].taken = []
        self.model.made[outcome.transfer] = []
        self.lives = getattr(self, "lives", {}) | {outcome.transfer: ends + lives}
        return outcome.transfer

    @rule(target=transfers, holder=holders, points=amounts, wait=st.none() | lifetimes)
    def spend(self, holder: str, points: int, wait: timedelta | None) -> Any:
        mine = self.of(holder)
        legs = tuple(
            Leg(name(Role.AVAILABLE, one), name(Role.REDEEMED, one), name(Role.LOCKED, one) if wait else None)
            for one in mine
        )
        ends = self.now + wait if wait else None
        outcome = self.post("spend", Flow(legs, points, ends_at=ends))
        there = sum(lot.left for lot in self.model.usable(mine, self.now))
        if there < points:
            assert outcome.refused is not None and outcome.refused.details["there"] == there
            return multiple()
        assert outcome.refused is None
        taken = self.model.take(mine, points, self.now, [])
        if ends is None:
            self.model.spends[outcome.transfer] = taken
        else:
            self.model.holds[outcome.transfer] = Hold(outcome.transfer, "spend", holder, ends, points, taken)
        return outcome.transfer

    @rule(transfer=transfers, part=st.floats(0, 1), how=st.sampled_from(["post", "void"]))
    def decide(self, transfer: int, part: float, how: str) -> None:
        hold = self.model.holds.get(transfer)
        waiting = hold.waiting if hold else 0
        points = round(part * waiting) if how == "post" else 0
        state = State.POSTED if how == "post" else State.VOIDED
        repay = self.debts(hold.holder) if hold and hold.kind == "earn" else ()
        outcome = self.post(how, End(transfer, state, points if how == "post" else None, repay), corrects=transfer)
        if hold is None or not waiting:
            assert outcome.refused is not None
            assert outcome.refused.code in ("NOT_PENDING", "ALREADY_DECIDED")
            return
        assert outcome.refused is None
        self.ended(hold, points, self.now)

    def ended(self, hold: Hold, points: int, at: datetime) -> None:
        back, hold.waiting = hold.waiting - points, 0
        if hold.kind == "earn":
            self.model.given -= back
            lot = None
            if points:
                ends = self.lives[hold.number]
                lot = self.model.arrive(self.of(hold.holder), hold.holder, points, at, ends)
            self.model.earned[hold.number] = (hold.holder, points)
            self.model.made[hold.number] = [lot] if lot else []
        else:
            self.model.spends[hold.number] = self.model.put_back(hold.taken, back)

    @rule(transfer=transfers, part=st.floats(0, 1))
    def take_back(self, transfer: int, part: float) -> None:
        model = self.model
        hold = model.holds.get(transfer)
        if hold is not None and hold.waiting:
            possible = hold.waiting
        elif transfer in model.spends:
            possible = sum(used for _, used in model.spends[transfer])
        else:
            possible = model.earned.get(transfer, ("", 0))[1]
        points = max(1, round(part * possible))
        holder = hold.holder if hold else model.earned.get(transfer, (HOLDERS[0], 0))[0]
        sources = tuple(name(Role.AVAILABLE, one) for one in self.of(holder))
        part_ = Reverse(transfer, points, sources, name(Role.DEBT, holder))
        outcome = self.post("refund", part_, corrects=transfer)
        if not possible:
            assert outcome.refused is not None and outcome.refused.code == "AMOUNT_OUT_OF_RANGE"
            return
        assert outcome.refused is None
        if hold is not None and hold.waiting:
            hold.waiting -= points
            if hold.kind == "earn":
                model.given -= points
            else:
                hold.taken = model.put_back(hold.taken, points)
            if not hold.waiting:
                self.ended(hold, 0, self.now)
        elif transfer in model.spends:
            model.spends[transfer] = model.put_back(model.spends[transfer], points)
        else:
            taken = model.take(self.of(holder), points, self.now, model.made[transfer])
            missing = points - sum(used for _, used in taken)
            model.debt[holder] = model.debt.get(holder, 0) + missing
            model.given -= points
            model.earned[transfer] = (holder, possible - points)

    @rule(giver=holders, taker=holders, points=amounts)
    def give(self, giver: str, taker: str, points: int) -> None:
        mine = self.of(giver)
        if taker in mine:
            return
        legs = tuple(Leg(name(Role.AVAILABLE, one), name(Role.AVAILABLE, taker)) for one in mine)
        outcome = self.post("transfer", Flow(legs, points, reversible=False))
        if sum(lot.left for lot in self.model.usable(mine, self.now)) < points:
            assert outcome.refused is not None and outcome.refused.code == "INSUFFICIENT"
            return
        assert outcome.refused is None
        taken = self.model.take(mine, points, self.now, [])
        for holder in mine:
            for lot, used in (pair for pair in taken if pair[0].holder == holder):
                made = self.model.arrive((), taker, used, lot.earned_at, lot.expires_at)
                assert made is not None

    @rule(hours=st.sampled_from([1, 23, 24, 72, -2]))
    def time_passes(self, hours: int) -> None:
        self.history.append((self.now, {one: self.model.available(one) for one in HOLDERS}))
        self.now += timedelta(hours=hours)

    @rule()
    def settle(self) -> None:
        async def due() -> list[DueLeg | DueLots]:
            async with self.db.driver() as connection:
                return await due_first(connection, self.now, 100)

        while found := self.loop.run_until_complete(due()):
            for one in found:
                if isinstance(one, DueLots):
                    leg = Leg(name(Role.AVAILABLE, one.holder), name(Role.EXPIRED, one.holder))
                    flow = Flow((leg,), one.amount, due_only=True, reversible=False)
                    assert self.post("expire", flow).refused is None
                    for lot in self.model.lots:
                        if lot.holder == one.holder and lot.expires_at <= self.now:
                            self.model.expired += lot.left
                            lot.left = 0
                    continue
                hold = self.model.holds[one.transfer]
                posts = hold.kind == "earn"
                assert hold.waiting and hold.ends_at <= self.now and (one.at_end == AtEnd.POST) is posts
                repay = self.debts(hold.holder) if posts else ()
                end = End(one.transfer, State.POSTED if posts else State.EXPIRED, None, repay, one.ends_at)
                assert self.post("post" if posts else "expire", end, corrects=one.transfer).refused is None
                self.ended(hold, hold.waiting if posts else 0, one.ends_at)

    @rule(data=st.data())
    @precondition(lambda self: self.done)
    def ask_again(self, data: Any) -> None:
        command, outcome = data.draw(st.sampled_from(self.done))

        async def do(one: Command) -> Outcome:
            async with self.db.begin() as conn:
                return (await self.ledger.post(await driver_of(conn), [one]))[0]

        assert self.loop.run_until_complete(do(command)) == outcome._replace(fresh=False)
        other = command._replace(request=derived_key("another request"))
        refused = self.loop.run_until_complete(do(other)).refused
        assert refused is not None and refused.code == "IDEMPOTENCY_CONFLICT"

    @rule()
    def seal(self) -> None:
        """What was posted is sealed, and every sealed transfer can be proved to its holders."""
        sealer = Sealer(b"of the machine")

        async def do() -> None:
            await seal_all(self.db, sealer, lambda: self.now)
            async with self.db.driver() as connection:
                for _, outcome in self.done[-3:]:
                    proof = await proof_of(connection, outcome.transfer)
                    verifier = sealer.signer(proof.checkpoint.partition("\n")[0]).verifier
                    assert proof.verified(verifier).size == len(self.done)

        self.loop.run_until_complete(do())

    @rule(one=holders, other=holders)
    def merge(self, one: str, other: str) -> None:
        together = tuple(sorted({*self.of(one), *self.of(other)}))
        for holder in together:
            self.persons[holder] = together

    @rule(one=holders)
    def undo(self, one: str) -> None:
        for holder in self.of(one):
            self.persons[holder] = (holder,)

    # What holds after every step.

    @invariant()
    def it_is_what_the_model_says(self) -> None:
        if not hasattr(self, "db"):
            return

        async def look() -> tuple[Any, Any, Any]:
            async with self.db.driver() as connection:
                held = await balances(connection, list(HOLDERS))
                lots = await lots_seen(connection, list(HOLDERS))
                return await violations(connection), held, lots

        broken, held, lots = self.loop.run_until_complete(look())
        assert broken == []
        stand = {(one.holder, one.role): one.balance for one in held}
        model = self.model
        for holder in HOLDERS:
            assert stand.get((holder, Role.AVAILABLE), 0) == model.available(holder)
            assert -stand.get((holder, Role.DEBT), 0) == model.debt.get(holder, 0)
        assert sorted((lot.expires_at, lot.remaining) for lot in lots) == sorted(
            (lot.expires_at, lot.left) for lot in model.lots if lot.left
        )
        assert sum(one.balance for one in held if one.role is Role.EXPIRED) == model.expired
        assert -sum(one.balance for one in held if one.role is Role.ISSUED) == model.given
        waiting = sum(hold.waiting for hold in model.holds.values())
        assert sum(one.balance for one in held if one.role in (Role.PENDING, Role.LOCKED)) == waiting
        self.now += timedelta(minutes=1)  # nothing is earned at the same instant


@pytest.fixture(autouse=True)
def engine(postgres_dsn: str) -> None:
    DSN[:] = [postgres_dsn]


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
