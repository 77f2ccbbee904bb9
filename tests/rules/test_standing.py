"""The tier machine against a slow model that walks through time, and what becomes of standings that are joined."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from siyu.membership.ladder import Downgrade, Ladder, Tier, Unit, Validity
from siyu.membership.standing import Cause, Decided, Fixed, Standing, Terms, advance, best, together

ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2027, 12, 31, 16, tzinfo=UTC)
"""Local midnight before a leap year."""
STEP = timedelta(hours=6)
NEVER_TRUE = {"metric": "count", "op": "gte", "value": 10**9}


def ladder(downgrade: Downgrade, grace_days: int, validity: Validity | None) -> Ladder:
    tiers = [Tier(name="0"), *(Tier(name=str(n), rule=NEVER_TRUE) for n in (1, 2, 3))]
    return Ladder(tiers=tiers, downgrade=downgrade, grace_days=grace_days, validity=validity)


class Model:
    """One person, looked at every six hours: one small step at a time, with everything written out."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.place = 0
        self.until: datetime | None = None
        self.grace: datetime | None = None
        self.fixed: tuple[int, datetime | None, bool] | None = None
        self.reached = 0

    def stand(self, place: int, at: datetime) -> None:
        self.place, self.grace = place, None
        self.until = self.terms.ladder.kept_until(at, ZONE) if place else None

    def tick(self, now: datetime, *, looked_at: bool) -> None:
        if self.fixed is not None:
            place, until, floor = self.fixed
            if until is None or now < until:
                wanted = max(place, self.reached) if floor else place
                if looked_at and wanted != self.place:
                    self.place, self.until, self.grace = wanted, None, None
                return
            self.fixed = None
            if self.reached != self.place:
                self.stand(self.reached, until)
        for _ in range(4):
            if self.reached > self.place:
                self.stand(self.reached, now)
            if self.reached == self.place:
                later = self.terms.ladder.kept_until(now, ZONE) if self.place else None
                over = self.until is not None and self.until <= now
                if looked_at or over:
                    self.grace = None
                    self.until = max(later, self.until) if later and self.until else later
                return
            if self.terms.ladder.downgrade is Downgrade.NEVER or (self.until is not None and now < self.until):
                return
            if self.grace is None:
                self.grace = (self.until or now) + timedelta(days=self.terms.ladder.grace_days)
                self.until = None
            if now < self.grace:
                return
            down = self.place - 1 if self.terms.ladder.downgrade is Downgrade.ONE else self.reached
            self.stand(down, self.grace)


class TierMachine(RuleBasedStateMachine):
    """The machine is asked now and then; the model at every step of time."""

    @initialize(
        downgrade=st.sampled_from(list(Downgrade)),
        grace=st.sampled_from([0, 3, 30]),
        validity=st.none()
        | st.builds(Validity, months=st.sampled_from([1, 3, 12]), to_end_of=st.sampled_from(list(Unit))),
    )
    def begin(self, downgrade: Downgrade, grace: int, validity: Validity | None) -> None:
        if downgrade is Downgrade.ONE and validity is None:
            grace = grace or 3  # otherwise refused: ladder.check
        self.terms = Terms(ladder(downgrade, grace, validity), ZONE)
        self.model, self.standing, self.now = Model(self.terms), Standing(), START

    def look(self) -> None:
        self.model.tick(self.now, looked_at=True)
        before = self.standing
        self.standing, changes = advance(before, self.model.reached, self.now, self.terms)
        again, more = advance(self.standing, self.model.reached, self.now, self.terms)
        assert (again, more) == (self.standing, [])
        if changes:
            assert changes[-1].after == self.standing
            assert [before.place, *(one.after.place for one in changes[:-1])] == [one.before for one in changes]
        else:
            assert before == self.standing

    @rule(reached=st.integers(0, 3))
    def figures(self, reached: int) -> None:
        self.model.reached = reached
        self.look()

    @rule(steps=st.integers(1, 400))
    def pass_time(self, steps: int) -> None:
        """The keeper comes when something is due, or hours late."""
        for _ in range(steps):
            self.now += STEP
            self.model.tick(self.now, looked_at=False)
            due = self.standing.due_at
            if due is not None and due <= self.now:
                self.look()

    @rule(place=st.integers(0, 3), days=st.none() | st.integers(1, 60), floor=st.booleans())
    def by_hand(self, place: int, days: int | None, floor: bool) -> None:
        until = None if days is None else self.now + timedelta(days=days)
        self.model.fixed = (place, until, floor)
        self.standing = self.standing._replace(fixed=Fixed(place, until, floor))
        self.look()

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "model"):
            return
        assert self.standing.place == self.model.place
        if self.model.fixed is None:
            assert (self.standing.until, self.standing.grace_until) == (self.model.until, self.model.grace)
        assert self.standing.place or self.standing.until is None


TestTierMachine = TierMachine.TestCase
TestTierMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def decided(seq: int, members: set[int], place: int, since: datetime | None = START) -> Decided:
    return Decided(seq, frozenset(members), Standing(place, since))


def test_only_what_was_decided_for_ones_own_identifiers_counts() -> None:
    a, b, both = decided(1, {1}, 1), decided(2, {2}, 1), decided(3, {1, 2}, 2)
    assert together([a, b, both], frozenset({1, 2})) == both.standing
    assert together([a, b, both], frozenset({1})) == a.standing
    assert together([a, b, both], frozenset({3})) is None
    apart = decided(4, {1}, 0)  # after the two were parted again
    assert together([a, b, both, apart], frozenset({1, 2})) == b.standing


def test_joined_the_best_standing_counts_and_what_was_set_by_hand() -> None:
    late = START + timedelta(days=1)
    fixed = Fixed(0, None)
    joined = best([Standing(1, START, None, late), Standing(1, late), Standing(0, None, None, None, fixed)])
    assert joined == Standing(1, START, None, None, fixed)
    kept = best([Standing(2, START, START), Standing(2, late, late)])
    assert kept == Standing(2, START, late)
    assert best([]) is None


def test_a_change_says_why() -> None:
    terms = Terms(ladder(Downgrade.FIGURES, 3, None), ZONE)
    up, changes = advance(Standing(), 2, START, terms)
    assert [one.cause for one in changes] == [Cause.REACHED]
    grace, changes = advance(up, 0, START, terms)
    assert ([one.cause for one in changes], grace.due_at) == ([Cause.GRACE], START + timedelta(days=3))
    down, changes = advance(grace, 0, START + timedelta(days=9), terms)
    assert ([one.cause for one in changes], down) == ([Cause.GRACE_OVER], Standing(0, START + timedelta(days=3)))
