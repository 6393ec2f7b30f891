"""`ports.Trackers`: one tracker, poller and sweeper per tracking server."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from runwright.errors import TrackerUnavailableError
from runwright.ports import Key, ResolveOrphan, TrackingServer
from runwright.tracking import metrics
from runwright.tracking.credentials import SecretReader, no_secrets
from runwright.tracking.follow import SECOND_LOOK_SECONDS
from runwright.tracking.poller import Poller, PollSettings
from runwright.tracking.sweeper import INTERVAL_SECONDS, Sweeper
from runwright.tracking.tracker import MLflowTracker
from runwright.tracking.transport import ClientSettings

log = logging.getLogger(__name__)
RESTART_SECONDS: Final = 5.0
UNUSED_SECONDS: Final = 60.0
"""How long nobody may have asked for a server that no stack names before it is given up: a stack's reconciler asks for
one a moment before it names it."""
FAREWELL_SECONDS: Final = 600.0
"""How long a server that is given up is still looked at for runs that are to be closed: their pods may be ending."""
FAREWELL_PAUSE: Final = 15.0


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Settings of all trackers."""

    client: ClientSettings = ClientSettings()  # noqa: RUF009 -- frozen
    poll: PollSettings = PollSettings()  # noqa: RUF009 -- frozen
    second_look_seconds: float = SECOND_LOOK_SECONDS
    sweep_seconds: float = INTERVAL_SECONDS
    unused_seconds: float = UNUSED_SECONDS
    farewell_seconds: float = FAREWELL_SECONDS
    farewell_pause: float = FAREWELL_PAUSE


@dataclass(slots=True)
class _Entry:
    tracker: MLflowTracker
    poller: Poller
    sweeper: Sweeper | None
    tasks: tuple[asyncio.Task[None], ...]
    asked_at: float = field(default_factory=time.monotonic)


class TrackerRegistry:
    """Call it with a `TrackingServer` to get its tracker, made and started on first use. Needs a running event loop.

    A server is told by its address, its login's Secret and its authorities: when one of them changes, a new tracker
    takes over, and `retain` has the old one given up.

    Args:
        cluster_uid: uid of the kube-system namespace: whose orphans to sweep.
        enqueue: Called with TrainingRuns to look at again. Synchronous, must not raise.
        resolve: The orphan sweeper's question (see `Sweeper`); without it there is no sweeper.
        settings: For all servers.
        read_secret: Reads the Secrets of servers that ask for a login.
        on_request: Called with each request's endpoint (tests count with it).
    """

    def __init__(
        self,
        cluster_uid: str,
        enqueue: Callable[[Key], None],
        *,
        resolve: ResolveOrphan | None = None,
        settings: RegistrySettings | None = None,
        read_secret: SecretReader = no_secrets,
        on_request: Callable[[str], None] = lambda _call: None,
    ) -> None:
        self._cluster_uid = cluster_uid
        self._enqueue = enqueue
        self._resolve = resolve
        self._settings = settings or RegistrySettings()
        self._read_secret = read_secret
        self._on_request = on_request
        self._entries: dict[TrackingServer, _Entry] = {}
        self._wanted: frozenset[TrackingServer] | None = None
        self._farewells: dict[TrackingServer, asyncio.Task[None]] = {}

    def __call__(self, server: TrackingServer) -> MLflowTracker:
        """The tracker of the server.

        Raises:
            RefusedError: its URI is not an http(s) URL.
        """
        entry = self._entry(server)
        entry.asked_at = time.monotonic()
        return entry.tracker

    def retain(self, servers: Iterable[TrackingServer]) -> None:
        """Say which servers the stacks name now; the others are given up when nobody asks for them any more.

        Before that, what their TrainingRuns left RUNNING is closed. A run that is still followed there is enqueued:
        its stack may name another server now.
        """
        self._wanted = frozenset(map(_identity, servers))
        for server, entry in self._entries.items():
            if server not in self._wanted and server not in self._farewells:
                for key in sorted(entry.tracker.followed.keys):
                    self._enqueue(key)
                task = asyncio.create_task(self._give_up(server), name=f"farewell to {server.uri}")
                self._farewells[server] = task
                task.add_done_callback(lambda _task, server=server: self._farewells.pop(server, None))  # type: ignore[misc]

    @property
    def oldest_beat_seconds(self) -> float:
        """Seconds since the least lively poller showed life; 0 without pollers. For ``/healthz``."""
        now = time.monotonic()
        return max((now - entry.poller.last_beat for entry in self._entries.values()), default=0.0)

    async def discard(self, server: TrackingServer) -> None:
        """Stop a server's tasks and close its connections; absent is fine."""
        server = _identity(server)
        entry = self._entries.pop(server, None)
        if entry is None:
            return
        for task in entry.tasks:
            task.cancel()
        await asyncio.gather(*entry.tasks, return_exceptions=True)
        await entry.tracker.aclose()
        if not self._namesakes(server):
            metrics.forget(entry.tracker.transport.name)

    async def aclose(self) -> None:
        """Stop everything."""
        farewells = tuple(self._farewells.values())
        for task in farewells:
            task.cancel()
        await asyncio.gather(*farewells, return_exceptions=True)
        for server in tuple(self._entries):
            await self.discard(server)

    async def _give_up(self, server: TrackingServer) -> None:
        entry = self._entries[server]
        while (left := entry.asked_at + self._settings.unused_seconds - time.monotonic()) > 0:
            await asyncio.sleep(left)
            if self._is_wanted(server):
                return
        give_up_at = time.monotonic() + self._settings.farewell_seconds
        while await _unsettled(entry.sweeper) and time.monotonic() < give_up_at:
            await asyncio.sleep(self._settings.farewell_pause)
            if self._is_wanted(server):
                return
        log.info("No TrackingStack names %s any more; it is given up", entry.tracker.transport.name)
        for heir in self._namesakes(server):
            for look in entry.tracker.followed.looks:
                heir.tracker.look_again(look)
        await self.discard(server)

    def _namesakes(self, server: TrackingServer) -> Sequence[_Entry]:
        """Those of the same address."""
        return [entry for other, entry in self._entries.items() if other.uri == server.uri and other != server]

    def _is_wanted(self, server: TrackingServer) -> bool:
        return self._wanted is not None and server in self._wanted

    def _entry(self, server: TrackingServer) -> _Entry:
        server = _identity(server)
        if server not in self._entries:
            self._entries[server] = self._start(server)
        return self._entries[server]

    def _start(self, server: TrackingServer) -> _Entry:
        settings = self._settings
        tracker = MLflowTracker(
            server,
            settings.client,
            read_secret=self._read_secret,
            second_look_seconds=settings.second_look_seconds,
            on_request=self._on_request,
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
            asyncio.create_task(_supervised(f"{name} of {tracker.transport.name}", loop), name=f"{name} {server.uri}")
            for name, loop in loops.items()
        )
        return _Entry(tracker, poller, sweeper, tasks)


def _identity(server: TrackingServer) -> TrackingServer:
    """What makes a server another one for us."""
    return replace(server, uri=server.uri.rstrip("/"), ui_url="", shared=False, client_secret="")


async def _unsettled(sweeper: Sweeper | None) -> bool:
    """Close what is to be closed; whether something may be left."""
    try:
        return sweeper is not None and await sweeper.sweep()
    except TrackerUnavailableError:
        return True
    except Exception:
        log.exception("looking for orphans failed")
        return True


async def _supervised(name: str, loop: Callable[[], Awaitable[Any]]) -> None:
    """Run a loop that should never end, again when it does."""
    while True:
        try:
            await loop()
            log.error("the %s ended; starting it again", name)
        except Exception:
            log.exception("the %s failed; starting it again", name)
        await asyncio.sleep(RESTART_SECONDS)
