"""Signs of life: what must happen again and again while the operator works. Pure: `now` is an argument."""

from dataclasses import dataclass
from typing import Final

HUNG_SECONDS: Final = 90.0
"""A reconcile takes milliseconds; its slowest request is given up after 30 s and repeated at most twice."""
SILENT_SECONDS: Final = 100.0
"""The API server sends a bookmark about every 60 s; kopf reconnects a stream that was silent for 70 s."""


@dataclass(slots=True)
class Beat:
    """Something that must recur within `limit` seconds."""

    limit: float
    last: float

    def beat(self, now: float) -> None:
        """It happened."""
        self.last = now

    def late(self, now: float) -> float | None:
        """For how long it has not happened, if that is too long."""
        silence = now - self.last
        return silence if silence > self.limit else None


@dataclass(slots=True)
class Stream:
    """A watch: bytes are its sign of life.

    A stream that opens counts too, but only once after bytes: a server (or something between) that accepts every
    reconnect and then never sends anything is silent.
    """

    beat: Beat
    opens_count: bool = True

    def opened(self, now: float) -> None:
        """The server answered a watch request."""
        if self.opens_count:
            self.opens_count = False
            self.beat.beat(now)

    def received(self, now: float) -> None:
        """Bytes arrived."""
        self.opens_count = True
        self.beat.beat(now)
