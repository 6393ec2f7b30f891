"""The bookkeeping of the work queue: no key runs twice at once, none is lost."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runwright.operator.backlog import Backlog

KEYS = st.sampled_from("abcd")


class BacklogMachine(RuleBasedStateMachine):
    """Compares with what the rules say must be: which keys are wanted, running, and due when."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog: Backlog[str] = Backlog()
        self.now = 0.0
        self.wanted: list[str] = []
        self.running: dict[str, float] = {}
        self.dirty: set[str] = set()
        self.due: dict[str, float] = {}

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.backlog.add(key)
        if key in self.running:
            self.dirty.add(key)
        else:
            self.due.pop(key, None)
            if key not in self.wanted:
                self.wanted.append(key)

    @rule(seconds=st.floats(0.0, 5.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        for due, when in sorted(self.due.items(), key=lambda pair: pair[1]):
            if when <= self.now:
                del self.due[due]
                self.wanted.append(due)
        key = self.backlog.take(self.now)
        if not self.wanted:
            assert key is None
            return
        assert key is not None
        assert key in self.wanted
        assert key not in self.running
        self.wanted.remove(key)
        self.running[key] = self.now

    @precondition(lambda self: self.running)
    @rule(data=st.data(), delay=st.none() | st.floats(0.0, 5.0))
    def done(self, data: st.DataObject, delay: float | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        again_at = None if delay is None else self.now + delay
        self.backlog.done(key, again_at)
        del self.running[key]
        if key in self.dirty:
            self.dirty.remove(key)
            self.wanted.append(key)
        elif again_at is not None:
            self.due[key] = again_at

    @invariant()
    def agrees(self) -> None:
        assert self.backlog.running == len(self.running)
        assert self.backlog.next_due() == min(self.due.values(), default=None)
        oldest = self.backlog.oldest(self.now)
        assert (oldest[1] if oldest else None) == (self.now - min(self.running.values()) if self.running else None)


TestBacklog = BacklogMachine.TestCase


def test_keys_are_taken_in_the_order_they_came() -> None:
    backlog: Backlog[str] = Backlog()
    for key in "abab":
        backlog.add(key)
    assert [backlog.take(0.0) for _ in range(3)] == ["a", "b", None]
    assert len(backlog) == 0
