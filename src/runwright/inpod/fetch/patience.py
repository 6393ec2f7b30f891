"""Trying again while there is hope: exponential back-off with jitter, ended by a time in which nothing came."""

import random
import threading
import time
from typing import Final

from runwright.inpod.fetch.problems import FetchError, Reason, TroubleError

FIRST_SECONDS: Final = 0.5
MAX_SECONDS: Final = 20.0
MIN_TRIES: Final = 4
"""A try may take longer than all the patience (a large repository, cut off near its end): it gets some more."""


class Patience:
    """How long one transfer is worth trying.

    Not a limit on its duration: whatever progresses goes on.

    Args:
        field: Field of the spec that an error names.
        seconds: Time since the first of several troubles in a row after which it is given up.
        stop: Set when another part has failed for good; waiting ends then.
    """

    def __init__(self, field: str, seconds: float, stop: threading.Event | None = None) -> None:
        self._field = field
        self._seconds = seconds
        self._stop = stop or threading.Event()
        self._since = 0.0
        self._tries = 0

    def progressed(self) -> None:
        """Something came."""
        self._tries = 0

    def after(self, trouble: TroubleError) -> float:
        """Wait before the next try; returns the seconds waited.

        Raises:
            FetchError: Nothing came for too long; carries the last trouble.
        """
        now = time.monotonic()
        if self._tries == 0:
            self._since = now  # not before: what came until then took its time
        self._tries += 1
        # "Full jitter": many pods that lost the same server do not come back in step.
        most = min(MAX_SECONDS, FIRST_SECONDS * 2 ** min(self._tries, 10))
        delay = random.uniform(most / 4, most)  # noqa: S311  # spreads load, guards nothing
        if self._tries >= MIN_TRIES and now - self._since + delay > self._seconds:
            raise FetchError(
                Reason.UNAVAILABLE,
                self._field,
                f"nothing came for {self._seconds:.0f} s ({self._tries} tries): {trouble}",
                "check the address, the network policies and the server",
            )
        self._stop.wait(delay)
        return delay
