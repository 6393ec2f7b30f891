"""The breaker as a state machine: whatever happens, in whatever order."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runwright.tracking.breaker import BreakerSettings, CircuitBreaker, State

SETTINGS = BreakerSettings(threshold=3, first_seconds=1.0, max_seconds=15.0, jitter=0.2)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(SETTINGS, clock=clock, rng=lambda: 0.0)


def fail(breaker: CircuitBreaker, problem: str = "away", weight: int = 1) -> None:
    ticket = breaker.admit()
    assert ticket is not None
    breaker.failed(ticket, problem, weight=weight)


def test_it_opens_at_the_threshold_of_failures_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker)
    fail(breaker)
    ticket = breaker.admit()
    assert ticket is not None
    breaker.succeeded(ticket)
    fail(breaker)
    fail(breaker)
    assert breaker.state is State.CLOSED
    fail(breaker, "gone")
    assert (breaker.state, breaker.problem) == (State.OPEN, "gone")
    assert breaker.admit() is None


def test_one_failure_that_weighs_enough_opens_it(breaker: CircuitBreaker) -> None:
    fail(breaker, weight=3)
    assert breaker.state is State.OPEN


def test_pauses_double_up_to_the_longest(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, weight=3)
    pauses = []
    for _ in range(6):
        pauses.append(breaker.seconds_to_probe)
        clock.now += breaker.seconds_to_probe
        fail(breaker)
    assert pauses == [1, 2, 4, 8, 15, 15]


def test_one_probe_at_a_time_and_its_success_closes(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, weight=3)
    clock.now += 1
    probe = breaker.admit()
    assert probe is not None
    assert breaker.state is State.HALF_OPEN
    assert breaker.admit() is None
    breaker.succeeded(probe)
    assert (breaker.state, breaker.problem, breaker.seconds_to_probe) == (State.CLOSED, "", 0)


def test_an_early_probe_does_not_wait_for_the_pause(breaker: CircuitBreaker) -> None:
    fail(breaker, weight=3)
    assert breaker.admit() is None
    probe = breaker.admit(early=True)
    assert probe is not None
    assert breaker.admit(early=True) is None, "one at a time"
    breaker.succeeded(probe)
    assert breaker.state is State.CLOSED


def test_a_call_that_may_not_probe_waits_for_the_one_that_may(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, weight=3)
    clock.now += 1
    assert breaker.admit(may_probe=False) is None
    assert breaker.admit() is not None


def test_an_abandoned_probe_makes_room_for_another(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, weight=3)
    clock.now += 1
    probe = breaker.admit()
    assert probe is not None
    breaker.abandoned(probe)
    assert breaker.admit() is not None


def test_an_answer_to_a_call_from_before_does_not_close(breaker: CircuitBreaker) -> None:
    early = breaker.admit()
    assert early is not None
    fail(breaker, weight=3)
    breaker.succeeded(early)
    assert breaker.state is State.OPEN


def test_jitter_only_shortens(clock: Clock) -> None:
    breaker = CircuitBreaker(SETTINGS, clock=clock, rng=lambda: 1.0)
    fail(breaker, weight=3)
    assert breaker.seconds_to_probe == pytest.approx(0.8)


class BreakerMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.clock = Clock()
        self.breaker = CircuitBreaker(SETTINGS, clock=self.clock)
        self.tickets: list[int] = []
        self.changes: list[bool] = []
        self.breaker.on_change = lambda: self.changes.append(bool(self.breaker.problem))

    @rule(early=st.booleans())
    def call(self, *, early: bool) -> None:
        was = self.breaker.state
        ticket = self.breaker.admit(early=early)
        if was is State.CLOSED:
            assert ticket is not None
        if was is State.HALF_OPEN:
            assert ticket is None
        if ticket is not None:
            self.tickets.append(ticket)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), outcome=st.sampled_from(["succeeded", "failed", "abandoned"]), weight=st.integers(1, 3))
    def end(self, data: st.DataObject, outcome: str, weight: int) -> None:
        ticket = self.tickets.pop(data.draw(st.integers(0, len(self.tickets) - 1)))
        if outcome == "failed":
            self.breaker.failed(ticket, "away", weight=weight)
        else:
            getattr(self.breaker, outcome)(ticket)

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def problem_exactly_while_not_closed(self) -> None:
        if hasattr(self, "breaker"):
            assert bool(self.breaker.problem) == (self.breaker.state is not State.CLOSED)

    @invariant()
    def changes_alternate_starting_with_opening(self) -> None:
        if hasattr(self, "breaker"):
            assert self.changes == [number % 2 == 0 for number in range(len(self.changes))]
            assert (len(self.changes) % 2 == 1) == (self.breaker.state is not State.CLOSED)

    @invariant()
    def never_stuck(self) -> None:
        """With no probe under way, the longest pause later a probe is let through."""
        if hasattr(self, "breaker") and self.breaker.state is State.OPEN:
            assert self.breaker.seconds_to_probe <= SETTINGS.max_seconds


TestBreakerMachine = BreakerMachine.TestCase
