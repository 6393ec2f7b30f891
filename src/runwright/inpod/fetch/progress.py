"""Progress of a download in the log: a line at each tenth, and ever rarer ones between."""

import logging
import threading
import time
from typing import Final

from runwright.inpod.fetch.disk import size_text

log = logging.getLogger(__name__)

FIRST_LINE_SECONDS: Final = 10.0
"""Then 20, 40, 80...: with the tenths at most 10 + log2(seconds / 10) lines, however slow the source."""


class Progress:
    """Counts the bytes of one dataset, from several threads.

    Args:
        name: Of the dataset.
        total: Its bytes.
        present: Bytes that an earlier attempt left.
    """

    def __init__(self, name: str, total: int, present: int = 0) -> None:
        self._name = name
        self._total = total
        self._present = present
        self._came = 0
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._interval = FIRST_LINE_SECONDS
        self._next = self._begun + self._interval
        self._tenth = self._tenths()

    def _tenths(self) -> int:
        return 10 * (self._present + self._came) // self._total if self._total else 10

    def add(self, count: int) -> None:
        """Count bytes that came; says so when it is time."""
        with self._lock:
            self._came += count
            now = time.monotonic()
            if now < self._next and self._tenths() <= self._tenth:
                return
            if now >= self._next:
                self._interval *= 2
                self._next = now + self._interval
            self._tenth = max(self._tenth, self._tenths())
            line = self.line(now)
        log.info("%s", line)

    def line(self, now: float) -> str:
        """Return the present state: bytes, percent, mean rate."""
        done = self._present + self._came
        percent = 100 * done // self._total if self._total else 100
        rate = self._came / max(now - self._begun, 1e-3)
        return f"dataset {self._name}: {size_text(done)} of {size_text(self._total)} ({percent} %), {size_text(rate)}/s"
