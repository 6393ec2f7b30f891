"""A circuit breaker: after some failures in a row calls fail at once, and one probe at a time looks for recovery.

Pure: the clock and the randomness are arguments. Thread-confined, like everything of one event loop.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """CLOSED lets calls through, OPEN refuses them, HALF_OPEN has one probe under way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When to open and when to look again."""

    threshold: int = 3
    """Weight of failures in a row that opens it."""
    first_seconds: float = 1.0
    """Pause before the first probe; doubles with each failed one."""
    max_seconds: float = 15.0
    """Longest pause between probes, hence the longest wait after a recovery."""
    jitter: float = 0.2
    """Share of a pause that is random, so that many operators do not probe in step."""


class CircuitBreaker:
    """One per server.

    `admit` before a call, then exactly one of `succeeded`, `failed`, `abandoned` with the ticket it gave.
    """

    def __init__(
        self,
        settings: BreakerSettings,
        *,
        clock: Callable[[], float],
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._random = rng
        self._weight = 0
        self._opened = 0
        self._retry_at = 0.0
        self._probe: int | None = None
        self._tickets = 0
        self._problem = ""
        self.on_change: Callable[[], None] = lambda: None
        """Called when it opens and when it closes again."""

    @property
    def state(self) -> State:
        """The state now."""
        if not self._opened:
            return State.CLOSED
        return State.OPEN if self._probe is None else State.HALF_OPEN

    @property
    def problem(self) -> str:
        """Why it is open; ``""`` while closed."""
        return self._problem if self._opened else ""

    @property
    def seconds_to_probe(self) -> float:
        """Seconds until `admit` lets a probe through; 0 when it would do so now."""
        return max(0.0, self._retry_at - self._clock()) if self._opened else 0.0

    def admit(self, *, may_probe: bool = True, early: bool = False) -> int | None:
        """Return a ticket for one call, or None: refuse it.

        Args:
            may_probe: Without it the call is never the probe.
            early: It may be the probe before the pause is over.
        """
        if self._opened and (self._probe is not None or not may_probe or not (early or self.seconds_to_probe == 0)):
            return None
        self._tickets += 1
        if self._opened:
            self._probe = self._tickets
        return self._tickets

    def is_probe(self, ticket: int) -> bool:
        """Whether this call decides about closing."""
        return ticket == self._probe

    def succeeded(self, ticket: int) -> None:
        """The server answered, be it with a refusal.

        While open only the probe's success closes: answers to calls from before the failures say nothing.
        """
        if self._opened and not self.is_probe(ticket):
            return
        changed = bool(self._opened)
        self._probe, self._opened, self._weight, self._problem = None, 0, 0, ""
        if changed:
            self.on_change()

    def failed(self, ticket: int, problem: str, *, weight: int = 1) -> None:
        """The server did not answer usefully; `weight` counts towards the threshold."""
        if self._opened:
            if self.is_probe(ticket):
                self._probe = None
                self._problem = problem
                self._opened += 1
                self._pause()
            return
        self._weight += weight
        if self._weight >= self._settings.threshold:
            self._opened, self._problem = 1, problem
            self._pause()
            self.on_change()

    def abandoned(self, ticket: int) -> None:
        """The call was canceled: it says nothing about the server, but must not hold the probe's place."""
        if self.is_probe(ticket):
            self._probe = None

    def _pause(self) -> None:
        settings = self._settings
        doublings = min(self._opened - 1, 30)
        pause = min(settings.first_seconds * 2**doublings, settings.max_seconds)
        self._retry_at = self._clock() + pause * (1 - settings.jitter * self._random())
