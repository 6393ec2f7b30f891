"""`ports.Trackers`: one tracker, poller and sweeper per tracking server."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from runwright.ports import Key, ResolveOrphan, TrackingServer
from runwright.tracking.follow import SECOND_LOOK_SECONDS
from runwright.tracking.poller import Poller, PollSettings
from runwright.tracking.sweeper import INTERVAL_SECONDS, Sweeper
from runwright.tracking.tracker import MLflowTracker
from runwright.tracking.transport import ClientSettings

log = logging.getLogger(__name__)
RESTART_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Settings of all trackers."""

    client: ClientSettings = ClientSettings()  # noqa: RUF009 -- frozen
    poll: PollSettings = PollSettings()  # noqa: RUF009 -- frozen
    second_look_seconds: float = SECOND_LOOK_SECONDS
    sweep_seconds: float = INTERVAL_SECONDS


@dataclass(frozen=True, slots=True)
class _Entry:
    tracker: MLflowTracker
    poller: Poller
    sweeper: Sweeper | None
    tasks: tuple[asyncio.Task[None], ...]


class TrackerRegistry:
    """Call it with a `TrackingServer` to get its tracker, made and started on first use. Needs a running event loop.

    Args:
        cluster_uid: uid of the kube-system namespace: whose orphans to sweep.
        enqueue: Called with TrainingRuns to look at again. Synchronous, must not raise.
        resolve: The orphan sweeper's question (see `Sweeper`); without it there is no sweeper.
        settings: For all servers.
        on_request: Called with each request's endpoint (tests count with it).
    """

    def __init__(
        self,
        cluster_uid: str,
        enqueue: Callable[[Key], None],
        *,
        resolve: ResolveOrphan | None = None,
        settings: RegistrySettings | None = None,
        on_request: Callable[[str], None] = lambda _call: None,
    ) -> None:
        self._cluster_uid = cluster_uid
        self._enqueue = enqueue
        self._resolve = resolve
        self._settings = settings or RegistrySettings()
        self._on_request = on_request
        self._entries: dict[str, _Entry] = {}

    def __call__(self, server: TrackingServer) -> MLflowTracker:
        """The tracker of the server.

        Raises:
            RefusedError: its URI is not an http(s) URL.
        """
        return self._entry(server.uri).tracker

    def sweep(self) -> None:
        """Ask every sweeper for a round soon."""
        for entry in self._entries.values():
            if entry.sweeper is not None:
                entry.sweeper.request()

    @property
    def oldest_beat_seconds(self) -> float:
        """Seconds since the least lively poller showed life; 0 without pollers. For ``/healthz``."""
        now = time.monotonic()
        return max((now - entry.poller.last_beat for entry in self._entries.values()), default=0.0)

    async def discard(self, uri: str) -> None:
        """Stop a server's tasks and close its connections; absent is fine."""
        entry = self._entries.pop(uri.rstrip("/"), None)
        if entry is None:
            return
        for task in entry.tasks:
            task.cancel()
        await asyncio.gather(*entry.tasks, return_exceptions=True)
        await entry.tracker.aclose()

    async def aclose(self) -> None:
        """Stop everything."""
        for uri in tuple(self._entries):
            await self.discard(uri)

    def _entry(self, uri: str) -> _Entry:
        uri = uri.rstrip("/")
        if uri not in self._entries:
            self._entries[uri] = self._start(uri)
        return self._entries[uri]

    def _start(self, uri: str) -> _Entry:
        settings = self._settings
        tracker = MLflowTracker(
            uri, settings.client, second_look_seconds=settings.second_look_seconds, on_request=self._on_request
        )
        sweeper = (
            None
            if self._resolve is None
            else Sweeper(tracker, self._cluster_uid, self._resolve, self._enqueue, interval=settings.sweep_seconds)
        )
        on_return = sweeper.request if sweeper is not None else lambda: None
        poller = Poller(tracker, self._enqueue, on_return=on_return, settings=settings.poll)
        loops: dict[str, Callable[[], Awaitable[Any]]] = {"poller": poller.run}
        if sweeper is not None:
            loops["sweeper"] = sweeper.run
        tasks = tuple(
            asyncio.create_task(_supervised(f"{name} of {tracker.transport.name}", loop), name=f"{name} {uri}")
            for name, loop in loops.items()
        )
        return _Entry(tracker, poller, sweeper, tasks)


async def _supervised(name: str, loop: Callable[[], Awaitable[Any]]) -> None:
    """Run a loop that should never end, again when it does."""
    while True:
        try:
            await loop()
            log.error("the %s ended; starting it again", name)
        except Exception:
            log.exception("the %s failed; starting it again", name)
        await asyncio.sleep(RESTART_SECONDS)
