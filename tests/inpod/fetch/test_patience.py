"""Trying again, and how often the log is written."""

import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.inpod.fetch import patience as patience_module
from runwright.inpod.fetch import progress as progress_module
from runwright.inpod.fetch.disk import size_text
from runwright.inpod.fetch.patience import MAX_SECONDS, MIN_TRIES, Patience
from runwright.inpod.fetch.problems import FetchError, Reason, TroubleError
from runwright.inpod.fetch.progress import Progress


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Waiting(threading.Event):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now += timeout or 0
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(patience_module, "time", found)
    monkeypatch.setattr(progress_module, "time", found)
    return found


def test_it_ends_when_nothing_came_for_so_long(clock: Clock) -> None:
    patience = Patience("spec.x", 300, Waiting(clock))
    delays: list[float] = []

    def go_on() -> None:
        while True:
            delays.append(patience.after(TroubleError("refused")))  # it ends by raising

    with pytest.raises(FetchError, match=r"spec\.x: nothing came for 300 s .*: refused") as caught:
        go_on()
    assert caught.value.reason is Reason.UNAVAILABLE
    assert 250 < sum(delays) <= 300
    assert max(delays) <= MAX_SECONDS
    assert delays[0] <= 1


def test_a_try_that_took_long_is_no_reason_to_give_up(clock: Clock) -> None:
    patience = Patience("spec.x", 60, Waiting(clock))
    for _ in range(MIN_TRIES - 1):
        clock.now += 3600  # most of a large repository came before the connection broke
        patience.after(TroubleError("reset"))
    with pytest.raises(FetchError):
        patience.after(TroubleError("reset"))


def test_progress_gives_new_patience(clock: Clock) -> None:
    patience = Patience("spec.x", 60, Waiting(clock))
    for _ in range(1000):  # hours of a connection that breaks every minute
        patience.after(TroubleError("reset"))
        clock.now += 50
        patience.progressed()
    assert clock.now > 50_000


@given(st.integers(0, 10**12), st.integers(1, 5000), st.floats(0, 3600))
def test_the_log_is_bounded_and_ends_at_all(total: int, steps: int, seconds: float) -> None:
    clock, lines = Clock(), []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Lines()
    logger = logging.getLogger(progress_module.__name__)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress_module, "time", clock)
        progress = Progress("d", total)
        for step in range(steps):
            clock.now += seconds
            progress.add(total * (step + 1) // steps - total * step // steps)
    logger.removeHandler(handler)
    bound = 10 + 2 + int(steps * seconds / 10).bit_length()
    assert len(lines) <= bound
    if total >= 10:
        assert "(100 %)" in lines[-1]


def test_sizes() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 1536 * 1024, 2**60)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "1.5 MiB",
        "1024.0 PiB",
    ]
