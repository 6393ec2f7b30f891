"""One poller per server: a shared search for all followed runs, second looks at closed ones, probes in outages."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from runwright.errors import RefusedError, TrackerUnavailableError
from runwright.ports import Key
from runwright.tracking import closing, metrics
from runwright.tracking.breaker import State
from runwright.tracking.follow import Look
from runwright.tracking.tracker import MLflowTracker

log = logging.getLogger(__name__)
IDLE_SECONDS: Final = 10.0
"""Longest sleep, so that the heartbeat shows a living loop."""
SOON_SECONDS: Final = 0.05
"""Least pause of the loop, whatever is due."""
FAILED_SECONDS: Final = 0.5
"""Least pause after a failed round; the breaker sets longer ones."""


@dataclass(frozen=True, slots=True)
class PollSettings:
    """How often to poll; seconds."""

    few: int = 50
    """Up to so many followed runs are polled every `few_seconds`, more every `many_seconds`: the cost for the server
    is 0.8 to 1.5 ms per run and poll."""
    few_seconds: float = 2.0
    many_seconds: float = 10.0
    jitter: float = 0.1


class Poller:
    """Enqueues the TrainingRuns whose MLflow run changed, and all of them when the server goes away or comes back.

    Args:
        tracker: The server.
        enqueue: Called with the TrainingRun to look at again.
        on_return: Called when the server answers again after it was considered away.
        settings: How often.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        tracker: MLflowTracker,
        enqueue: Callable[[Key], None],
        *,
        on_return: Callable[[], None] = lambda: None,
        settings: PollSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracker = tracker
        self._enqueue = enqueue
        self._on_return = on_return
        self._settings = settings or PollSettings()
        self._clock = clock
        self._wake = asyncio.Event()
        self._next_poll = 0.0
        self.last_beat = clock()
        """When the loop last showed life, in seconds of `clock`; never older than `IDLE_SECONDS` plus one request
        while all is well."""
        self.rounds = 0
        """Polls that ended well."""
        tracker.transport.breaker.on_change = self._breaker_changed
        tracker.on_work = self._wake.set
        metrics.BREAKER_OPEN.labels(tracker.transport.name).set(0)

    async def run(self) -> None:
        """Poll until canceled. Nothing that goes wrong in a round ends it."""
        while True:
            self.last_beat = self._clock()
            self._wake.clear()
            try:
                await self._round()
            except TrackerUnavailableError as error:
                log.debug("poll of %s: %s", self._tracker.transport.name, error)
                await asyncio.sleep(FAILED_SECONDS)
            except RefusedError as error:
                log.warning("poll of %s: %s", self._tracker.transport.name, error)
                await asyncio.sleep(FAILED_SECONDS)
            except Exception:
                log.exception("poll of %s failed", self._tracker.transport.name)
                await asyncio.sleep(FAILED_SECONDS)
            self.last_beat = self._clock()
            await self._sleep()

    async def _round(self) -> None:
        tracker, now = self._tracker, self._clock()
        if tracker.transport.breaker.state is not State.CLOSED:
            if tracker.transport.breaker.seconds_to_probe == 0:
                await tracker.client.probe()
            return
        looks = tracker.followed.due_looks(now)
        polled = tracker.followed.run_ids if now >= self._next_poll else frozenset[str]()
        metrics.FOLLOWED.labels(tracker.transport.name).set(len(tracker.followed))
        if not looks and not polled:
            return
        if polled:
            self._next_poll = now + self._interval()
        found = await tracker.locator.read(polled | {look.run_id for look in looks})
        for key in tracker.followed.record_all(polled, {run_id: stored.run for run_id, stored in found.items()}):
            self._enqueue(key)
        for look in looks:
            stored = found.get(look.run_id)
            changed = stored is not None and not stored.run.deleted and stored.run.status != look.status
            await self._settle(look, changed=changed)
        self.rounds += 1

    async def _settle(self, look: Look, *, changed: bool) -> None:
        """Write the state again that somebody changed after us, and plan another look then."""
        if changed:
            log.warning("MLflow run %s was changed after it was closed; writing %s again", look.run_id, look.status)
            try:
                await closing.set_status(self._tracker.client, look.run_id, look.status, look.end_time)
            except RefusedError:
                log.exception("MLflow run %s cannot be closed again", look.run_id)
            metrics.REWRITTEN.inc()
        followed = self._tracker.followed
        followed.looked(look)
        if changed and look.left > 1 and look.run_id not in followed.run_ids:
            self._tracker.look_again(replace(look, left=look.left - 1))

    def _interval(self) -> float:
        settings = self._settings
        many = len(self._tracker.followed) > settings.few
        seconds = settings.many_seconds if many else settings.few_seconds
        return seconds * (1 - settings.jitter * random.random())  # noqa: S311 -- jitter, not a secret

    async def _sleep(self) -> None:
        tracker, now = self._tracker, self._clock()
        pause = IDLE_SECONDS
        if tracker.transport.breaker.state is not State.CLOSED:
            pause = tracker.transport.breaker.seconds_to_probe
        else:
            if len(tracker.followed):
                pause = min(pause, self._next_poll - now)
            if (look := tracker.followed.next_look) is not None:
                pause = min(pause, look - now)
        await asyncio.sleep(SOON_SECONDS)
        try:
            async with asyncio.timeout(max(pause - SOON_SECONDS, 0)):
                await self._wake.wait()
        except TimeoutError:
            return

    def _breaker_changed(self) -> None:
        tracker = self._tracker
        away = bool(tracker.problem)
        metrics.BREAKER_OPEN.labels(tracker.transport.name).set(away)
        log.warning("%s", tracker.problem or f"MLflow at {tracker.transport.name} answers again")
        if not away:
            self._next_poll = 0.0
            self._on_return()
        for key in sorted(tracker.followed.keys):
            self._enqueue(key)
        self._wake.set()
