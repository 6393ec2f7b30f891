"""The bookkeeping of a work queue: which keys wait, run, and when the others come back. Pure: `now` is an argument."""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Backlog(Generic[K]):
    """Keys in five states: absent, ready, running, running and dirty (wanted again), delayed.

    A key is never running twice, and never lost: one that is added while it runs becomes ready when it ends.
    """

    def __init__(self) -> None:
        self._ready: dict[K, None] = {}
        self._running: dict[K, float] = {}
        self._dirty: set[K] = set()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        """Keys that are ready and wait for a worker."""
        return len(self._ready)

    @property
    def running(self) -> int:
        """Keys in work."""
        return len(self._running)

    def add(self, key: K) -> None:
        """Want a key processed as soon as possible; its delay, if any, is over."""
        if key in self._running:
            self._dirty.add(key)
        else:
            self._due.pop(key, None)
            self._ready[key] = None

    def take(self, now: float) -> K | None:
        """Take the key that waits longest, which is running from now on; None when none is ready."""
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:
                self.add(key)
        if not self._ready:
            return None
        key = next(iter(self._ready))
        del self._ready[key]
        self._running[key] = now
        return key

    def done(self, key: K, again_at: float | None = None) -> None:
        """A key's processing ended; it comes back at `again_at`, or at once when it was added meanwhile."""
        del self._running[key]
        if key in self._dirty:
            self._dirty.remove(key)
            self._ready[key] = None
        elif again_at is not None:
            self._due[key] = again_at
            self._count += 1
            heapq.heappush(self._heap, (again_at, self._count, key))

    def next_due(self) -> float | None:
        """When the next delayed key is due; None when none is delayed."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # was added meanwhile, or delayed anew
        return self._heap[0][0] if self._heap else None

    def oldest(self, now: float) -> tuple[K, float] | None:
        """The key that has been running longest, and for how many seconds; None when none is running."""
        if not self._running:
            return None
        key = min(self._running, key=self._running.__getitem__)
        return key, now - self._running[key]
