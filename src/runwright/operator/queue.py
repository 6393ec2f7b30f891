"""A level-triggered work queue: keys in, one reconcile at a time per key, back-off on failures."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from runwright.errors import ConflictError, InvalidObjectError, RefusedError, RunwrightError, TransientError
from runwright.operator.backlog import Backlog
from runwright.operator.logs import working_on
from runwright.operator.pulse import HUNG_SECONDS
from runwright.ports import Json, Key, Kind

logger = logging.getLogger(__name__)

FIRST_SECONDS: Final = 0.2
LONGEST_SECONDS: Final = 60.0
FIRST_REFUSED_SECONDS: Final = 15.0
LONGEST_REFUSED_SECONDS: Final = 300.0
"""For what will not get better by repeating, unless somebody changes a quota or a right."""

Reconcile = Callable[[Key], Awaitable[float | None]]
Record = Callable[[Kind, str, float], None]
"""Told after each reconcile: kind, outcome (ok, conflict, transient, refused, error), seconds."""


def outcome_of(error: BaseException) -> str:
    """Name what a reconcile ended with, for metrics and for `delay`."""
    match error:
        case ConflictError():
            return "conflict"
        case TransientError():
            return "transient"
        case RefusedError() | InvalidObjectError():
            return "refused"
        case _:
            return "error"


def delay(outcome: str, failures: int, jitter: float) -> float:
    """Seconds until the next try.

    Args:
        outcome: What the last try ended with.
        failures: Tries in a row that failed, this one included.
        jitter: Uniform in [0, 1); spreads the delay over its upper half.
    """
    if outcome == "conflict" and failures == 1:
        return 0.0  # what it was computed from is read again already
    refused = outcome == "refused"
    first, longest = (FIRST_REFUSED_SECONDS, LONGEST_REFUSED_SECONDS) if refused else (FIRST_SECONDS, LONGEST_SECONDS)
    return min(longest, first * 2.0 ** min(failures - 1, 16)) * (0.5 + jitter / 2)


class WorkQueue:
    """Runs `reconcile` for keys, at most `concurrency` at a time. Closed until `open` is called.

    Args:
        kind: Whose keys these are, for logs and metrics.
        reconcile: Processes one key; returns the seconds until it wants to be called again, or None.
        concurrency: Most keys in work at once.
        find: Returns the cached object of a key, for the logs' uid.
        record: Told after each reconcile.
        hung_seconds: Beyond this a worker counts as hung, and the process as not alive.
    """

    def __init__(
        self,
        kind: Kind,
        reconcile: Reconcile,
        *,
        concurrency: int,
        find: Callable[[Key], Json | None] = lambda _: None,
        record: Record = lambda *_: None,
        hung_seconds: float = HUNG_SECONDS,
    ) -> None:
        self.kind = kind
        self.hung_seconds = hung_seconds
        self._reconcile = reconcile
        self._concurrency = concurrency
        self._find = find
        self._record = record
        self._backlog: Backlog[Key] = Backlog()
        self._failures: Counter[Key] = Counter()
        self._told: dict[Key, str] = {}
        self._wake = asyncio.Event()
        self._opened = asyncio.Event()
        self._closing = False
        self._workers: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Keys that are ready and wait for a worker."""
        return len(self._backlog)

    @property
    def running(self) -> int:
        """Keys in work."""
        return self._backlog.running

    def add(self, key: Key) -> None:
        """Want a key reconciled as soon as possible."""
        self._backlog.add(key)
        self._wake.set()

    def open(self) -> None:
        """Let reconciles begin."""
        self._opened.set()

    def oldest(self) -> tuple[Key, float] | None:
        """The key in work for longest, and its seconds; a hung worker shows here."""
        return self._backlog.oldest(time.monotonic())

    async def run(self) -> None:
        """Hand out keys to workers until cancelled."""
        await self._opened.wait()
        while not self._closing:
            self._wake.clear()
            now = time.monotonic()
            while len(self._workers) < self._concurrency and (key := self._backlog.take(now)) is not None:
                worker = asyncio.create_task(self._work(key), name=f"{self.kind.kind} {key}")
                self._workers.add(worker)
                worker.add_done_callback(self._finished)
            await self._idle()

    async def drain(self, seconds: float) -> None:
        """Begin nothing more and let what is in work finish; cancel what still works after this long."""
        self._closing = True
        self._wake.set()
        if not self._workers:
            return
        _, late = await asyncio.wait(self._workers, timeout=seconds)
        for worker in late:
            logger.warning("%s is cut off: it still works after %g s", worker.get_name(), seconds)
            worker.cancel()
        if late:
            await asyncio.wait(late)

    async def _idle(self) -> None:
        """Sleep until a key is added, a worker is free, or a delay is over."""
        due = self._backlog.next_due()
        if due is None or len(self._workers) >= self._concurrency:
            await self._wake.wait()
            return
        try:
            async with asyncio.timeout(max(0.0, due - time.monotonic())):
                await self._wake.wait()
        except TimeoutError:
            return

    def _finished(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        self._wake.set()

    async def _work(self, key: Key) -> None:
        started = time.monotonic()
        seconds: float | None = None
        outcome = "ok"
        try:
            with working_on(self.kind, key, self._find(key)):
                try:
                    seconds = await self._reconcile(key)
                except Exception as error:  # noqa: BLE001 - a worker survives whatever a reconcile does
                    outcome = outcome_of(error)
                    self._failures[key] += 1
                    seconds = delay(outcome, self._failures[key], random.random())  # noqa: S311 - jitter
                    self._tell(key, outcome, error, seconds)
                else:
                    self._failures.pop(key, None)
                    self._told.pop(key, None)
        finally:
            now = time.monotonic()
            self._record(self.kind, outcome, now - started)
            self._backlog.done(key, None if seconds is None else now + seconds)

    def _tell(self, key: Key, outcome: str, error: Exception, seconds: float) -> None:
        """Log a failure: bugs with their traceback, the same refusal once, a lost race only at debug level."""
        if not isinstance(error, RunwrightError):
            logger.error("Reconciling failed, next try in %.1f s", seconds, exc_info=error)
        elif outcome == "conflict":
            logger.debug("Lost a race, deciding again: %s", error)
        elif self._told.get(key) != str(error):
            self._told[key] = str(error)
            logger.warning("%s (next try in %.1f s)", error, seconds)
