"""Orders against a slow, obvious model: whatever is asked in whatever order, money and units are conserved and every
step is told once. T1: Hypothesis chooses the steps; the store is the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from siyu.errors import Conflict
from siyu.ledger.check import violations
from siyu.shop.request import BackLine, GiveBack, Move, Pay, Place, WantedLine
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

from .shop_world import ShopWorld

PRICES = {"T1": 12_800, "C1": 8_901}
NUMBERS = st.integers(0, 5)


class Modelled:
    """An order as the model has it: units by SKU, and money."""

    def __init__(self, units: dict[str, int], made: float, seconds: int) -> None:
        self.units = units
        self.seconds = seconds
        self.back = dict.fromkeys(units, 0)
        self.state = "created"
        self.until = made + seconds
        self.paid = 0
        self.kept = 0

    @property
    def total(self) -> int:
        return sum(PRICES[sku] * count for sku, count in self.units.items())


class Machine(RuleBasedStateMachine):
    world: ShopWorld
    loop: asyncio.AbstractEventLoop
    round = 0

    def __init__(self) -> None:
        super().__init__()
        Machine.round += 1
        self.orders: dict[str, Modelled] = {}
        self.stock = dict.fromkeys(PRICES, 0)
        self.clock = 0.0
        self.told = 0
        # The same shop for all rounds: what is there from earlier ones is where this one begins.
        self.before = {sku: self._do(self.world.units(sku)) for sku in PRICES}
        self.events_before = len(self._do(self.world.told()))

    def _do(self, work: Awaitable[Any]) -> Any:
        async def run() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(120)

    def _code(self, work: Awaitable[Any]) -> str:
        try:
            self._do(work)
        except Conflict as refused:
            return str(refused.code)
        return ""

    def _id(self, number: int) -> str:
        return f"{self.round}-{number}"

    def _there(self, sku: str) -> int:
        taken = sum(
            one.units.get(sku, 0) - one.back.get(sku, 0)
            for one in self.orders.values()
            if one.state not in ("cancelled", "refunded")
        )
        return self.before[sku][1] + self.stock[sku] - taken

    @rule(sku=st.sampled_from(sorted(PRICES)), units=st.integers(1, 5))
    def deliver(self, sku: str, units: int) -> None:
        self._do(self.world.stock(sku, units))
        self.stock[sku] += units

    @rule(number=NUMBERS, tea=st.integers(0, 3), cups=st.integers(0, 3), seconds=st.sampled_from([60, 3600]))
    def place(self, number: int, tea: int, cups: int, seconds: int) -> None:
        units = {sku: count for sku, count in (("T1", tea), ("C1", cups)) if count}
        if not units:
            return
        lines = tuple(WantedLine(sku, count) for sku, count in units.items())
        place = Place(order_id=self._id(number), end="web", lines=lines, pay_within_s=seconds)
        code = self._code(self.world.orders.place(place, None, "model"))
        known = self.orders.get(self._id(number))
        if known is not None:
            same = known.units == units and known.seconds == seconds
            assert code == ("" if same else "DUPLICATE")
        elif all(count <= self._there(sku) for sku, count in units.items()):
            assert code == ""
            self.orders[self._id(number)] = Modelled(units, self.clock, seconds)
            self.told += 1
        else:
            assert code == "OUT_OF_STOCK"

    @precondition(lambda self: self.orders)
    @rule(number=NUMBERS)
    def pay(self, number: int) -> None:
        one = self.orders.get(self._id(number))
        code = self._code(self.world.orders.pay(self._id(number), Pay(provider="test"), None, "model")) if one else ""
        if one is None:
            return
        if one.state == "created":
            assert code == ""
            one.state, one.paid, one.kept = "paid", one.total, one.total
            self.told += 1
        else:
            assert (code == "") is (one.state != "cancelled"), code

    @precondition(lambda self: self.orders)
    @rule(number=NUMBERS, verb=st.sampled_from(["fulfil", "receive", "complete"]))
    def advance(self, number: int, verb: str) -> None:
        one = self.orders.get(self._id(number))
        if one is None:
            return
        before, after = {"fulfil": ("paid", "fulfilled"), "receive": ("fulfilled", "received"),
                         "complete": ("received", "completed")}[verb]  # fmt: skip
        code = self._code(self.world.orders.move(verb, self._id(number), Move(), None, "model"))
        if one.state == before:
            assert code == ""
            one.state = after
            self.told += 1
        elif one.state in ("created", "cancelled"):
            assert code != ""

    @precondition(lambda self: self.orders)
    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        one = self.orders.get(self._id(number))
        if one is None:
            return
        code = self._code(self.world.orders.move("cancel", self._id(number), Move(), None, "model"))
        if one.state in ("created", "paid"):
            assert code == ""
            self.told += 1 + (one.state == "paid")
            one.state, one.kept = "cancelled", 0
        elif one.state in ("fulfilled", "received", "completed"):
            assert code in ("ALREADY_FULFILLED", "COMPLETED")
        else:
            assert code == ("ORDER_REFUNDED" if one.state == "refunded" else "")

    @precondition(lambda self: self.orders)
    @rule(number=NUMBERS, sku=st.sampled_from(sorted(PRICES)), units=st.integers(1, 2))
    def refund(self, number: int, sku: str, units: int) -> None:
        one = self.orders.get(self._id(number))
        if one is None or sku not in one.units:
            return
        body = GiveBack(lines=(BackLine(sku, units),))
        code = self._code(self.world.orders.move("refund", self._id(number), body, None, "model"))
        if one.state in ("paid", "fulfilled", "received", "completed") and units <= one.units[sku] - one.back[sku]:
            assert code == ""
            one.back[sku] += units
            one.kept -= PRICES[sku] * units
            self.told += 1
            if one.kept == 0:
                one.state = "refunded"
        else:
            assert code != ""

    @rule(seconds=st.sampled_from([59, 61, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.world.later(seconds=seconds)
        self.clock += seconds
        for one in self.orders.values():
            if one.state == "created" and one.until <= self.clock:
                one.state = "cancelled"
                self.told += 1
        self._do(self.world.tend())

    @invariant()
    def conserved(self) -> None:
        for sku in PRICES:
            stock, available, _, _ = self._do(self.world.units(sku))
            assert stock == self.before[sku][0] + self.stock[sku]
            assert available == self._there(sku)
        for number, one in self.orders.items():
            shown = self._do(self.world.orders.show(number))
            assert (shown.state.value, shown.paid_fen, shown.kept_fen) == (one.state, one.paid, one.kept), number
            assert sum(line.refunded_fen for line in shown.lines) == shown.refunded_fen

    def teardown(self) -> None:
        told = len(self._do(self.world.told())) - self.events_before
        # Nothing of this round may happen in the next one.
        self.world.later(days=8)
        self._do(self.world.tend())
        assert told == self.told


async def test_orders_conserve_money_and_units(db: Database, events: EventStore, right_ledger: None) -> None:
    await events.create_all()
    world = await ShopWorld.open(db, events)
    loop = asyncio.get_running_loop()

    Machine.world, Machine.loop = world, loop
    chosen = settings(max_examples=15, stateful_step_count=25, deadline=None, derandomize=True, database=None,
                      suppress_health_check=list(HealthCheck))  # fmt: skip
    await asyncio.to_thread(run_state_machine_as_test, Machine, settings=chosen)
    async with db.driver() as connection:
        assert await violations(connection) == []
