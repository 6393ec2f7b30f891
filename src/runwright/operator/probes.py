"""The HTTP side: /healthz and /readyz that prove progress, and /metrics."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from runwright.errors import ConfigurationError
from runwright.operator.queue import WorkQueue
from runwright.operator.streams import Streams

if TYPE_CHECKING:
    from runwright.operator.pulse import Beat

UNAVAILABLE: Final = 503
SHUTDOWN_SECONDS: Final = 1.0


class Health:
    """What must be true of a working operator.

    Attributes:
        beats: By name, what must recur: the Lease's renewal, the re-list.
        ages: By name, a limit and how to ask how long ago something recurred: the metrics pollers.
        ready: Whether the first LISTs are complete and reconciles may begin.
        watching: Whether the watches have been started.
    """

    def __init__(self, queues: Sequence[WorkQueue], streams: Streams) -> None:
        self._queues = queues
        self._streams = streams
        self.beats: dict[str, Beat] = {}
        self.ages: dict[str, tuple[float, Callable[[], float]]] = {}
        self.ready = False
        self.watching = False

    def problems(self) -> Mapping[str, str]:
        """Say what is wrong, by part; empty when all is well."""
        now = time.monotonic()
        found: dict[str, str] = {}
        for queue in self._queues:
            oldest = queue.oldest()
            if oldest is not None and oldest[1] > queue.hung_seconds:
                found[f"worker:{queue.kind.plural}"] = f"reconciling {oldest[0]} for {oldest[1]:.0f} s"
        if self.watching:
            for name, seconds in self._streams.silent().items():
                found[f"watch:{name}"] = f"silent for {seconds:.0f} s"
        silences = {name: beat.late(now) for name, beat in self.beats.items()}
        for name, (limit, age) in self.ages.items():
            silences[name] = seconds if (seconds := age()) > limit else None
        for name, silence in silences.items():
            if silence is not None:
                found[f"loop:{name}"] = f"no progress for {silence:.0f} s"
        return found


class ProbeServer:
    """Serves the probes until closed. Alive but not ready until `health` is set.

    Args:
        registry: The operator's metrics; those of the default registry are added.
        port: TCP port on all addresses; 0 picks a free one.
    """

    def __init__(self, registry: CollectorRegistry, port: int) -> None:
        self.health: Health | None = None
        self._registry = registry
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen; returns the port.

        Raises:
            ConfigurationError: the port is taken.
        """
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, port=self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigurationError(
                f"RUNWRIGHT_HTTP_PORT={self._port} cannot be used: {error}; choose another"
            ) from error
        # With port 0 each address family gets a port of its own; an IPv4 address is a pair.
        addresses = sorted(self._runner.addresses, key=len)
        return int(addresses[0][1])

    async def aclose(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        problems = self.health.problems() if self.health is not None else {}
        return _answer(not problems, {"problems": dict(problems)})

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self.health is not None and self.health.ready
        return _answer(ready, {} if ready else {"problems": {"start": "the first LISTs are not complete"}})

    async def _metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._registry) + generate_latest(REGISTRY)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(good: bool, body: Mapping[str, object]) -> web.Response:
    return web.json_response({"status": "ok" if good else "unavailable", **body}, status=200 if good else UNAVAILABLE)
